// What runs at its times, and running it now.
import { call } from "./api.js";
import { attempt } from "./actions.js";
import { duration, find, make, moment, pageState } from "./dom.js";

const { entries, titles } = pageState();
const until = (time) => `in ${duration((new Date(time) - Date.now()) / 1000)}`;

function row(entry) {
  const title = titles[entry.name] || entry.name;
  const last = entry.last;
  const result = last
    ? [make("span", { class: `badge ${last.outcome === "failed" ? "bad" : "good"}` }, last.outcome), " ", make("span", { class: "quiet" }, [last.reason, `${(last.durationMs / 1000).toFixed(1)} s`, moment(last.endedAt)].filter(Boolean).join(" · "))]
    : [make("span", { class: "quiet" }, "–")];
  const run = make("button", { type: "button", "aria-label": `Run now: ${title}`, onclick: async () => {
    run.disabled = true;
    await attempt(() => call("POST", `/schedule/${entry.name}/run`), `Started: ${title}`);
    run.disabled = false;
    setTimeout(load, 2000);
  } }, "Run now");
  return make("tr", { "data-entry": entry.name },
    make("th", { scope: "row" }, title, " ", make("code", { class: "quiet" }, entry.cron ?? "")),
    make("td", { "data-label": "Next run" }, entry.nextRunAt ? `${moment(entry.nextRunAt)}, ${until(entry.nextRunAt)}` : make("span", { class: "badge" }, "Switched off")),
    make("td", { "data-label": "Last run" }, entry.lastRunAt ? moment(entry.lastRunAt) : "–"),
    make("td", { "data-label": "Result" }, ...result),
    make("td", { class: "action" }, run),
  );
}

const show = (list) => find("#entries").replaceChildren(...list.map(row));
const load = () => attempt(async () => show(await call("GET", "/schedule")));
show(entries);
setInterval(() => document.hidden || load(), 60_000);
