// The list of what admins did.
import { call } from "./api.js";
import { attempt } from "./actions.js";
import { find, make, moment, pageState } from "./dom.js";

const { titles } = pageState();
const PAGE = 100;
let last = null;

function line(one) {
  return make("tr", {},
    make("td", { class: "when", "data-label": "When" }, make("time", { datetime: one.at }, moment(one.at))),
    make("th", { scope: "row" }, one.userName),
    make("td", { class: "action" }, make("span", { class: "badge" }, one.action)),
    make("td", { "data-label": "To" }, titles[one.subject] || one.subject),
    make("td", { class: "words" }, one.detail),
  );
}

async function show(more = false) {
  const asked = { action: find("#filter").elements.action.value, ...(more && { before: last }) };
  const lines = await call("GET", `/admin/actions?${new URLSearchParams(Object.entries(asked).filter(([, value]) => value))}`);
  if (!more) find("#lines").replaceChildren();
  find("#lines").append(...lines.map(line));
  last = lines.at(-1)?.id ?? last;
  find("#more").hidden = lines.length < PAGE;
  find("#none").hidden = find("#lines").children.length > 0;
}

find("#filter").addEventListener("change", () => attempt(() => show()));
find("#more").addEventListener("click", () => attempt(() => show(true)));
attempt(() => show());
