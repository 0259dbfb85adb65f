// The jobs page: a card for each queue, moved by the stream.
import { call } from "./api.js";
import { attempt, clear, clearFailed, pause, resume, start } from "./actions.js";
import { spark } from "./chart.js";
import { ask, count, duration, find, findAll, make, pageState } from "./dom.js";
import { follow } from "./live.js";
import { pace } from "./pace.js";
import { why } from "./why.js";

const { queues, secondsLeft, starts, titles } = pageState();
let allSecondsLeft = secondsLeft;
const known = new Map();

function badges(queue) {
  const shown = [];
  if (queue.isPaused) shown.push(make("span", { class: "badge warn" }, "Paused"));
  else if (queue.active) shown.push(make("span", { class: "badge good" }, "Active"));
  if (queue.failed) {
    const title = titles[queue.name];
    shown.push(
      make(
        "span",
        { class: "badge bad" },
        make("a", { href: `${link(queue.name)}#failed` }, `${count(queue.failed)} failed`),
        make("button", { type: "button", class: "x", title: "Clear failed", "aria-label": `Clear failed jobs of ${title}`, onclick: () => clearFailed(queue.name, title) }, "×"),
      ),
    );
  }
  if (queue.delayed) shown.push(make("span", { class: "badge" }, `${count(queue.delayed)} delayed`));
  return shown;
}

const link = (name) => `/admin/jobs/${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

function buttons(queue, disabled) {
  const title = titles[queue.name];
  const button = (label, onclick, kind = "") => make("button", { type: "button", class: kind, onclick }, label);
  const waiting = queue.waiting + queue.delayed;
  if (disabled) return [make("button", { type: "button", disabled: true, title: "Switched off in the settings" }, "⚠ Disabled")];
  if (queue.active || queue.waiting || queue.isPaused) {
    return [
      waiting ? button("Clear", () => clear(queue.name, title)) : null,
      queue.isPaused
        ? button("Resume", () => resume(queue.name, title), "primary")
        : button("Pause", () => pause(queue.name, title)),
    ].filter(Boolean);
  }
  return starts[queue.name].map((one) => button(one.label, () => start(queue.name, title, one)));
}

/** Which buttons there are: they are made anew only when this changes, so that none vanishes under a click. */
const mode = (queue) => [queue.active || queue.waiting || queue.isPaused, queue.isPaused, queue.waiting + queue.delayed > 0].map(Boolean).join();
const badgeMode = (queue) => [queue.isPaused, queue.active > 0, queue.failed, queue.delayed].join();

function setText(element, words) {
  if (element.textContent !== words) element.textContent = words;
}

function show(queue) {
  const before = known.get(queue.name);
  known.set(queue.name, queue);
  const card = document.getElementById(queue.name);
  const place = card || find(`[data-row="${queue.name}"]`);
  if (!place) return;
  setText(find("[data-count=active]", place), count(queue.active));
  setText(find("[data-count=waiting]", place), count(queue.waiting + queue.delayed));
  if (!card) {
    setText(find("[data-count=failed]", place), count(queue.failed));
    setText(find(".state", place), why(queue) || (queue.isPaused ? "Paused" : queue.active ? "Active" : ""));
    return;
  }
  card.classList.toggle("moving", queue.active > 0);
  if (!before || badgeMode(before) !== badgeMode(queue)) find(".badges", card).replaceChildren(...badges(queue));
  find(".spark", card).toggleAttribute("hidden", !queue.perMinute.some(Boolean) && !queue.failedPerMinute.some(Boolean));
  setText(find(".pace", card), pace(queue));
  const reason = why(queue);
  find(".why", card).hidden = !reason;
  setText(find(".why", card), reason);
  const same = before && String(before.perMinute) === String(queue.perMinute);
  if (!same) spark(find(".spark", card), queue.perMinute, queue.failedPerMinute);
  if (!before || mode(before) !== mode(queue)) {
    const disabled = "disabled" in card.dataset;
    find(".buttons", card).replaceChildren(...buttons(queue, disabled));
  }
}

function summary() {
  const all = [...known.values()];
  const sum = (key) => all.reduce((total, queue) => total + queue[key], 0);
  const busy = sum("active") + sum("waiting") + sum("delayed");
  const words = busy ? `${count(sum("active"))} active, ${count(sum("waiting") + sum("delayed"))} waiting` : "Nothing to do";
  const failed = sum("failed") ? `, ${count(sum("failed"))} failed` : "";
  const left = busy && allSecondsLeft !== null ? ` · about ${duration(allSecondsLeft)} left` : "";
  setText(find("#summary"), words + failed + left);
  const paused = all.filter((queue) => queue.isPaused).length;
  const button = find("#resume-all");
  button.hidden = !paused;
  setText(button, `Resume ${paused} paused ${paused === 1 ? "job" : "jobs"}`);
}

let pending = null;
const changes = new Map();
function changed(part) {
  if (part.name === "all") allSecondsLeft = part.secondsLeft;
  else changes.set(part.name, part);
  pending ??= requestAnimationFrame(() => {
    pending = null;
    changes.forEach(show);
    changes.clear();
    summary();
  });
}

queues.forEach(show);
summary();
follow(changed, (yes) => (find("#connection").hidden = yes));
// rates fall and ages grow while nothing changes
setInterval(() => known.forEach((queue) => document.getElementById(queue.name) && setText(find(".pace", document.getElementById(queue.name)), pace(queue))), 10_000);

find("#resume-all").addEventListener("click", async () => {
  for (const queue of known.values()) if (queue.isPaused) await resume(queue.name, titles[queue.name]);
});

const names = new Map(findAll("#manual-jobs option").map((option) => [option.value, option.dataset.name]));
const input = find("#create-name");
input.addEventListener("input", () => (find("#create-ok").disabled = !names.has(input.value)));

async function createJob() {
  input.value = "";
  find("#create-ok").disabled = true;
  if (!(await ask(find("#create"))) || !names.has(input.value)) return;
  await attempt(() => call("POST", "/jobs", { name: names.get(input.value) }), "Job created", "Unable to create job");
}
find("#create-job").addEventListener("click", createJob);
document.addEventListener("keydown", (event) => {
  const typing = event.target instanceof Element && event.target.closest("input, select, textarea, dialog");
  if (event.shiftKey && event.key.toLowerCase() === "n" && !typing && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    createJob();
  }
});
