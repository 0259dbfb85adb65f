// One queue: its graph, what runs, what failed and why, what ended lately.
import { call } from "./api.js";
import { attempt, clear, clearFailed, pause, resume } from "./actions.js";
import { shape } from "./chart.js";
import { confirmed, count, duration, find, make, moment, pageState } from "./dom.js";
import { follow } from "./live.js";
import { pace } from "./pace.js";
import { why } from "./why.js";

const { queue: first, title } = pageState();
const name = first.name;
let queue = first;

// ---- head ----------------------------------------------------------------------------------------------------------

const badge = (words, kind = "") => make("span", { class: `badge ${kind}` }, words);
const button = (words, onclick, kind = "") => make("button", { type: "button", class: kind, onclick }, words);

function showHead() {
  find("#badges").replaceChildren(
    ...[
      queue.isPaused ? badge("Paused", "warn") : null,
      badge(`${count(queue.active)} active`, queue.active ? "good" : ""),
      badge(`${count(queue.waiting)} waiting`),
      queue.delayed ? badge(`${count(queue.delayed)} delayed`) : null,
      queue.failed ? badge(`${count(queue.failed)} failed`, "bad") : null,
    ].filter(Boolean),
  );
  find("#pace").textContent = pace(queue);
  find("#why").textContent = why(queue);
  find("#why").hidden = !why(queue);
}

function showActions() {
  find("#actions").replaceChildren(
    queue.isPaused ? button("Resume", () => resume(name, title), "primary") : button("Pause", () => pause(name, title)),
    button("Clear", () => clear(name, title)),
    make("button", { type: "button", class: "quiet-danger", disabled: !queue.failed, onclick: async () => {
      if (await confirmed("Remove failed jobs", "The list of what failed here goes. The files stay as they are.", "Remove"))
        await clearFailed(name, title);
    } }, "Remove failed jobs"),
  );
}

find("#quiet-hours").addEventListener("submit", (event) => {
  event.preventDefault();
  const { begin, end } = Object.fromEntries(new FormData(event.target));
  const hours = begin || end ? `${begin}-${end}` : "";
  attempt(() => call("PUT", `/quiet-hours/${name}`, { hours }), hours ? `Quiet from ${begin} to ${end}, each day` : "No quiet hours");
});

// ---- graph ---------------------------------------------------------------------------------------------------------

const POINTS = 150;
const points = [];

function drawGraph() {
  points.push({ active: queue.active, waiting: queue.waiting + queue.delayed, failed: queue.failed, rate: queue.jobsPerSecond });
  if (points.length > POINTS) points.shift();
  const lines = ["waiting", "failed", "active", "rate"].map((key) => {
    const most = Math.max(1, ...points.map((point) => (key === "rate" ? point.rate : Math.max(point.active, key === "active" ? 0 : point[key]))));
    const path = points.map((point, index) => {
      const x = 600 - (points.length - 1 - index) * (600 / (POINTS - 1));
      return `${x.toFixed(1)},${(126 - (point[key] / most) * 120).toFixed(1)}`;
    });
    return shape("polyline", { points: path.join(" "), class: key, "vector-effect": "non-scaling-stroke" });
  });
  find("#graph").replaceChildren(shape("rect", { x: 0, y: 126, width: 600, height: 1, class: "base" }), ...lines);
}

// ---- what runs -----------------------------------------------------------------------------------------------------

const subject = (job) => job.fileName || job.name;
const table = (heads, rows) =>
  make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table" }, make("table", { class: "plain" }, make("thead", {}, make("tr", {}, ...heads.map((words) => make("th", { scope: "col" }, words)))), make("tbody", {}, ...rows)));

async function showRunning() {
  const jobs = await call("GET", `/queues/${name}/running`);
  if (!jobs.length) return find("#running").replaceChildren(make("p", { class: "empty" }, "Nothing runs."));
  const rows = jobs.map((job) =>
    make("tr", {},
      make("th", { scope: "row" }, subject(job), " ", make("span", { class: "quiet" }, job.fileName ? job.name : "")),
      make("td", {}, job.node || "–"),
      make("td", { class: "elapsed", "data-since": job.startedAt || "" }, job.startedAt ? duration((Date.now() - new Date(job.startedAt)) / 1000) : ""),
      make("td", {}, job.progress === null ? "" : make("progress", { value: job.progress, max: 1, "aria-label": `${Math.round(job.progress * 100)} %` })),
      make("td", {}, button("Cancel", async () => {
        if (await confirmed("Cancel this job", `${subject(job)}: what was done so far is thrown away, and it is not tried again.`, "Cancel job"))
          await attempt(() => call("DELETE", `/queues/${name}/running/${job.id}`), "Cancelled");
        await attempt(showRunning);
      })),
    ),
  );
  find("#running").replaceChildren(table(["File", "Node", "For", "Progress", ""], rows));
}

async function showRecent() {
  const jobs = await call("GET", `/queues/${name}/recent`);
  if (!jobs.length) return;
  const rows = jobs.map((job) =>
    make("tr", {},
      make("th", { scope: "row" }, subject(job), " ", make("span", { class: "quiet" }, job.fileName ? job.name : "")),
      make("td", {}, badge(job.outcome, job.outcome === "failed" ? "bad" : job.outcome === "done" ? "good" : "")),
      make("td", { class: "words" }, job.reason),
      make("td", {}, job.node || "–"),
      make("td", {}, job.durationMs < 1000 ? `${job.durationMs} ms` : `${(job.durationMs / 1000).toFixed(1)} s`),
      make("td", {}, moment(job.endedAt)),
    ),
  );
  find("#recent").replaceChildren(table(["File", "Outcome", "Reason", "Node", "Took", "At"], rows));
}

// ---- what failed ---------------------------------------------------------------------------------------------------

const filter = find("#filter");
let next = null;

function query(extra = {}) {
  const asked = { ...Object.fromEntries(new FormData(filter)), ...extra };
  if (asked.since) asked.since = new Date(Date.now() - Number(asked.since) * 1000).toISOString();
  return new URLSearchParams(Object.entries(asked).filter(([, value]) => value)).toString();
}

function chosen() {
  const asked = Object.fromEntries(new URLSearchParams(query()));
  return { asked, narrowed: Object.keys(asked).length > 0 };
}

let asked = 0;
/** How many failed jobs there are by the list, null while it shows a choice of them; and whether it shows more than its first page. */
let listed = null;
let longer = false;
let shown = "";
let stale = false;
async function showFailures({ more = false, quiet = false } = {}) {
  const mine = ++asked;
  stale = false;
  longer = more; // from now on nobody else asks
  const page = await call("GET", `/queues/${name}/failures?${query(more ? { before: next } : {})}`).catch((error) => {
    longer = false;
    throw error;
  });
  if (mine !== asked) return; // somebody has asked for something else meanwhile
  if (quiet && isRead()) return void (stale = true);
  const list = find("#failures");
  const said = JSON.stringify(page.items);
  if (more) list.append(...page.items.map(failure));
  else if (said !== shown) list.replaceChildren(...page.items.map(failure)); // the same ones keep the focus
  shown = more ? "" : said;
  next = page.next;
  find("#more").hidden = !next;
  const { narrowed } = chosen();
  listed = narrowed ? null : page.total;
  find("#failed-count").textContent = page.total ? `${count(page.total)}${narrowed ? " match" : ""}` : "";
  find("#no-failures").hidden = page.total > 0;
  find("#no-failures").textContent = narrowed ? "Nothing matches." : "Nothing failed here.";
  for (const id of ["retry-all", "discard-all"]) find(`#${id}`).disabled = !page.total;
  find("#retry-all").textContent = narrowed ? "Retry matching" : "Retry all";
  find("#discard-all").textContent = narrowed ? "Discard matching" : "Discard all";
  // without an address the keyboard passes it by
  const download = find("#download");
  download.toggleAttribute("href", page.total > 0);
  if (page.total) download.href = `/api/queues/${name}/failures/download?${query()}`;
  download.setAttribute("aria-disabled", String(!page.total));
}

function failure(job) {
  const last = job.last;
  const act = (path, words) => async () => {
    await attempt(() => call("POST", `/queues/${name}/failures/${path}`, { ids: [job.id] }), words);
    await attempt(showFailures);
  };
  const details = make("details", {}, make("summary", {}, "Show what happened"));
  let filled = false;
  details.addEventListener("toggle", async () => {
    if (details.open && !filled) filled = (filled = true) && (await attempt(() => fill(details, job)));
  });
  return make("li", {},
    picture(job),
    make("div", { class: "story" },
      make("p", { class: "file" }, make("strong", {}, job.assetId && job.fileName ? make("a", { href: `/photos/${encodeURIComponent(job.assetId)}` }, job.fileName) : subject(job)), " ", make("span", { class: "quiet" }, job.fileName ? job.name : "")),
      make("p", { class: "error" }, job.error),
      make("p", { class: "quiet" }, [last?.errorClass, last?.node && `on ${last.node}`, `${job.attempts} ${job.attempts === 1 ? "attempt" : "attempts"}`, last && moment(last.at)].filter(Boolean).join(" · ")),
      details,
    ),
    make("div", { class: "buttons" }, button("Retry", act("retry", "Tried again")), button("Discard", act("discard", "Discarded"))),
  );
}

function picture(job) {
  const box = make("div", { class: "picture", "aria-hidden": "true" });
  if (job.assetId) {
    const image = make("img", { src: `/api/assets/${encodeURIComponent(job.assetId)}/thumbnail`, alt: "", loading: "lazy" });
    image.addEventListener("error", () => image.remove());
    box.append(image);
  }
  return box;
}

async function fill(details, job) {
  const attempts = await call("GET", `/queues/${name}/failures/${job.id}/attempts`);
  const block = (words, text) => (text ? make("div", {}, make("h4", {}, words), make("pre", { tabindex: "0" }, text)) : null);
  details.append(
    ...attempts.map((one) =>
      make("section", { class: "attempt" },
        make("h3", {}, `Attempt ${one.attempt} · ${one.errorClass}`),
        make("p", { class: "quiet" }, [moment(one.at), one.node && `on ${one.node}`, `took ${(one.durationMs / 1000).toFixed(1)} s`, one.peakMemoryMb ? `${one.peakMemoryMb} MB` : ""].filter(Boolean).join(" · ")),
        make("p", {}, one.message),
        block("Traceback", one.traceback),
        block("What the program said", one.toolOutput),
      ),
    ),
    attempts.length ? "" : make("p", { class: "quiet" }, "Its attempts are not remembered any more."),
  );
}

async function showKinds() {
  const kinds = await call("GET", `/queues/${name}/failures/kinds`);
  for (const key of ["errorClass", "node"]) {
    const select = filter.elements[key];
    const kept = select.value;
    const counts = new Map();
    for (const kind of kinds) if (kind[key]) counts.set(kind[key], (counts.get(kind[key]) || 0) + kind.count);
    select.replaceChildren(make("option", { value: "" }, "Any"), ...[...counts].map(([value, many]) => make("option", { value }, `${value} (${count(many)})`)));
    select.value = counts.has(kept) ? kept : "";
  }
}

let typing;
filter.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => attempt(showFailures), 200);
});
filter.addEventListener("submit", (event) => event.preventDefault());
find("#more").addEventListener("click", () => attempt(() => showFailures({ more: true })));
find("#retry-all").addEventListener("click", async () => {
  await attempt(async () => call("POST", `/queues/${name}/failures/retry`, chosen().asked), "All of them are tried again");
  await attempt(showFailures);
});
find("#discard-all").addEventListener("click", async () => {
  if (!(await confirmed("Discard failed jobs", "They are not tried again, and the reasons why they failed go from this list.", "Discard"))) return;
  await attempt(async () => call("POST", `/queues/${name}/failures/discard`, chosen().asked), "Discarded");
  await attempt(showFailures);
});

// ---- live ----------------------------------------------------------------------------------------------------------

/** At most once in a while, and once more for what came meanwhile. */
function rarely(action, every) {
  let waiting = false;
  let again = false;
  return async function run() {
    if (waiting) return void (again = true);
    waiting = true;
    await attempt(action);
    setTimeout(() => {
      waiting = false;
      if (again) {
        again = false;
        run();
      }
    }, every);
  };
}
/** What somebody reads must not move away. */
const isRead = () => find("#failures details[open]") || longer;
let connected = false;
let vain = 0;
/** A job that is tried again and fails at once leaves the count as it was, while the list was read in between. */
const differs = () => connected && vain < 5 && listed !== null && listed !== queue.failed;

const refreshRunning = rarely(showRunning, 1500);
const refreshRecent = rarely(showRecent, 3000);
const refreshFailures = rarely(async () => {
  if (isRead()) return;
  const before = `${listed} ${queue.failed}`;
  await showFailures({ quiet: true });
  // a list and a count that never agree are not asked for again for ever
  vain = before === `${listed} ${queue.failed}` ? vain + 1 : 0;
}, 1500);
const refreshKinds = rarely(showKinds, 60_000); // it counts every failed job

const lately = (one) => one.failedPerMinute.reduce((sum, number) => sum + number, 0);

function changed(one) {
  if (one.name !== name) return;
  const before = queue;
  queue = one;
  showHead();
  if (before.isPaused !== queue.isPaused || !before.failed !== !queue.failed) showActions();
  refreshRunning();
  if (String(before.perMinute) !== String(queue.perMinute) || before.failed !== queue.failed) refreshRecent();
  if (before.failed !== queue.failed || lately(queue) > lately(before)) {
    stale = true;
    vain = 0;
    refreshFailures();
    refreshKinds();
  }
}

showHead();
showActions();
drawGraph();
attempt(async () => {
  await Promise.all([showRunning(), showRecent(), showKinds(), showFailures()]);
  if (location.hash === "#failed") find("#failed").scrollIntoView();
});
follow(changed, (yes) => (find("#connection").hidden = connected = yes));
setInterval(() => {
  drawGraph();
  if ((stale || differs()) && !document.hidden && !isRead()) refreshFailures();
  for (const cell of document.querySelectorAll(".elapsed[data-since]")) {
    if (cell.dataset.since) cell.textContent = duration((Date.now() - new Date(cell.dataset.since)) / 1000);
  }
}, 1000);
// progress comes with the beats, which change no count
setInterval(() => queue.active && !document.hidden && refreshRunning(), 4000);
