// Upload by drag and drop, or by choosing files: three at a time, with their progress.
import { find, make } from "./dom.js";

const AT_ONCE = 3;
const waiting = [];
const all = [];
let running = 0;

/** `done()` after each batch. */
export function watchDrops(done) {
  const cover = find("#drop");
  let depth = 0;
  const holdsFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  addEventListener("dragenter", (event) => {
    if (!holdsFiles(event)) return;
    depth++;
    cover.hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (holdsFiles(event) && --depth <= 0) cover.hidden = true;
  });
  addEventListener("dragover", (event) => holdsFiles(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    depth = 0;
    cover.hidden = true;
    add([...event.dataTransfer.files], done);
  });
  find("#upload").addEventListener("click", () => find("#files").click());
  find("#files").addEventListener("change", (event) => {
    add([...event.target.files], done);
    event.target.value = "";
  });
  find("#uploads-close").addEventListener("click", () => (find("#uploads").hidden = true));
  addEventListener("beforeunload", (event) => running && event.preventDefault());
}

function add(files, done) {
  for (const file of files) {
    const state = make("span", { class: "quiet" }, "waiting");
    const line = make("li", {}, make("span", { class: "file" }, file.name), state);
    find("#uploads-list").prepend(line);
    const item = { file, state, line, sent: 0, over: false };
    all.push(item);
    waiting.push(item);
  }
  find("#uploads").hidden = false;
  showTotal();
  for (let free = running; free < AT_ONCE; free++) next(done);
}

async function next(done) {
  const item = waiting.shift();
  if (!item) return;
  running++;
  try {
    const status = await send(item);
    item.state.textContent = status === "duplicate" ? "was here already" : "uploaded";
    item.line.classList.add("good");
  } catch (error) {
    item.state.textContent = error.message;
    item.line.classList.add("bad");
  }
  item.over = true;
  running--;
  showTotal();
  if (waiting.length) next(done);
  else if (!running) done();
}

/** XMLHttpRequest, since fetch does not say how much of a body has gone out. */
function send(item) {
  const { file } = item;
  const form = new FormData();
  const time = new Date(file.lastModified).toISOString();
  form.append("fileCreatedAt", time);
  form.append("fileModifiedAt", time);
  form.append("assetData", file);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "/api/assets");
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => {
      item.sent = event.loaded;
      item.state.textContent = `${Math.round((100 * event.loaded) / event.total)} %`;
      showTotal();
    });
    request.addEventListener("load", () => {
      if (request.status < 300) resolve(request.response.status);
      else reject(new Error(request.response?.message || `the server answered ${request.status}`));
    });
    request.addEventListener("error", () => reject(new Error("the connection broke off")));
    request.send(form);
  });
}

function showTotal() {
  const over = all.filter((item) => item.over).length;
  const bad = all.filter((item) => item.line.classList.contains("bad")).length;
  const bytes = all.reduce((sum, item) => sum + item.file.size, 0);
  const sent = all.reduce((sum, item) => sum + (item.over ? item.file.size : Math.min(item.sent, item.file.size)), 0);
  find("#uploads-bar").value = bytes ? sent / bytes : 1;
  find("#uploads-title").textContent = (over < all.length ? `Uploading ${over} of ${all.length}` : `${over - bad} uploaded`) + (bad ? `, ${bad} refused` : "");
}
