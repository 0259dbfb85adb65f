// The settings: what was changed is put into the whole config, and what is wrong is said beside its field.
import { call, Refused, wordsOf } from "./api.js";
import { find, findAll, pageState, toast } from "./dom.js";

const { values } = pageState();
const form = find("#settings");
const fields = findAll(".field", form).filter((one) => !find("input, select", one).disabled);

function read(field) {
  const input = find("input, select", field);
  const number = (text) => (text.trim() !== "" && !Number.isNaN(Number(text)) ? Number(text) : text);
  switch (field.dataset.kind) {
    case "flag": return input.checked;
    case "several": return findAll("input:checked", field).map((one) => (typeof values[field.dataset.path][0] === "number" ? Number(one.value) : one.value));
    case "words": return input.value.split(",").map((one) => one.trim()).filter(Boolean);
    case "number": return number(input.value);
    default: return input.value;
  }
}

const same = (one, other) => JSON.stringify(Array.isArray(one) ? [...one].sort() : one) === JSON.stringify(Array.isArray(other) ? [...other].sort() : other);
const changes = () => fields.filter((field) => !same(read(field), values[field.dataset.path]));

function showChanges() {
  const changed = changes();
  for (const field of fields) field.classList.toggle("changed", changed.includes(field));
  find("#save").hidden = !changed.length;
  find("#save-words").textContent = changed.length === 1 ? "One change" : `${changed.length} changes`;
}

function complain(field, words) {
  const problem = find(".problem", field);
  problem.textContent = words || "";
  problem.hidden = !words;
  for (const input of findAll("input, select", field)) {
    if (words) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  }
}

function put(tree, path, value) {
  const steps = path.split(".");
  const last = steps.pop();
  steps.reduce((below, step) => below[step], tree)[last] = value;
}

const fieldAt = (path) => fields.find((field) => path === field.dataset.path || path.startsWith(`${field.dataset.path}.`));

async function save() {
  fields.forEach((field) => complain(field, ""));
  const changed = changes();
  try {
    const config = await call("GET", "/system-config");
    for (const field of changed) put(config, field.dataset.path, read(field));
    await call("PUT", "/system-config", config);
    for (const field of changed) values[field.dataset.path] = read(field);
    toast("Saved. It holds everywhere from now on.");
    showChanges();
  } catch (error) {
    const placed = error instanceof Refused ? error.issues.filter((issue) => fieldAt(issue.path.join("."))) : [];
    for (const issue of placed) complain(fieldAt(issue.path.join(".")), issue.message);
    if (/storage template/i.test(error.message)) complain(fieldAt("storageTemplate.template"), error.message);
    else if (!placed.length) toast(wordsOf(error), "bad");
    find("[aria-invalid]", form)?.focus();
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  save();
});
form.addEventListener("input", showChanges);
find("#revert").addEventListener("click", () => {
  form.reset();
  fields.forEach((field) => complain(field, ""));
  showChanges();
  preview();
});
addEventListener("beforeunload", (event) => changes().length && event.preventDefault());

// ---- where the template would put a picture ------------------------------------------------------------------------

const template = find("#storageTemplate-template");
let typing;
async function preview() {
  const place = find("#template-preview");
  try {
    const { path } = await call("GET", `/storage-template-preview?${new URLSearchParams({ template: template.value })}`);
    place.textContent = `For example: ${path}`;
    complain(template.closest(".field"), "");
  } catch (error) {
    place.textContent = wordsOf(error);
  }
}
template.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(preview, 200);
});
preview();
