// The machines of the cluster, what each runs, and which queue runs where.
import { call } from "./api.js";
import { attempt } from "./actions.js";
import { confirmed, count, duration, find, make, moment, pageState } from "./dom.js";

const { nodes, queues } = pageState();

const gib = (bytes) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;

function job(one) {
  const words = [one.startedAt && duration((Date.now() - new Date(one.startedAt)) / 1000), one.progress !== null && `${Math.round(one.progress * 100)} %`];
  return make("li", {}, make("span", { class: "file" }, one.fileName || one.name), make("span", { class: "quiet" }, words.filter(Boolean).join(" · ")));
}

const state = (node) => (node.drain ? ["warn", node.drain === "drained" ? "Drained" : "Draining"] : node.isAlive ? ["good", "Alive"] : ["bad", "Not in the cluster"]);

async function drain(name) {
  const words = "It is given nothing new. What runs there has a minute to end; what takes longer goes to another machine. It stays so until you let it work again.";
  if (!(await confirmed(`Drain ${name}`, words, "Drain"))) return;
  await attempt(() => call("PUT", `/nodes/${encodeURIComponent(name)}/drain`, {}), `${name} gets nothing new`);
  await refresh();
}

async function undrain(name) {
  await attempt(() => call("DELETE", `/nodes/${encodeURIComponent(name)}/drain`), `${name} is given work again`);
  await refresh();
}

function action(node) {
  if (!node.isAlive || node.isGoing) return null;
  const press = () => (node.drain ? undrain(node.name) : drain(node.name));
  return make("p", {}, make("button", { type: "button", onclick: press }, node.drain ? "Let it work again" : "Drain"));
}

function card(node) {
  const [kind, word] = state(node);
  const facts = [`${count(node.cpus)} CPUs`, node.gpus ? `${count(node.gpus)} ${node.gpus === 1 ? "GPU" : "GPUs"}` : "", node.memoryBytes ? gib(node.memoryBytes) : "", node.address];
  const labels = Object.entries(node.labels).map(([name, value]) => make("span", { class: "badge" }, `${name}: ${value}`));
  return make("section", { class: "card", "aria-label": node.name },
    make("header", {}, make("h2", {}, node.name), make("span", { class: `badge ${kind}` }, word)),
    node.drain ? make("p", {}, node.drainReason) : null,
    node.isAlive ? make("p", { class: "quiet" }, facts.filter(Boolean).join(" · ")) : null,
    make("p", { class: "badges left" }, ...node.workers.map((name) => make("span", { class: "badge" }, name)), ...labels),
    make("ul", { class: "working" }, ...node.running.map(job)),
    make("p", { class: "quiet" }, node.running.length ? "" : "Runs nothing. ", node.lastEndedAt ? `A job ended here last at ${moment(node.lastEndedAt)}.` : ""),
    action(node),
  );
}

function show(seen) {
  const live = seen.filter((node) => node.isAlive);
  find("#nodes").replaceChildren(...seen.map(card));
  find("#none").hidden = seen.length > 0;
  find("#summary").textContent = live.length ? `${live.length === 1 ? "One node" : `${count(live.length)} nodes`}, ${count(live.reduce((sum, node) => sum + node.cpus, 0))} CPUs` : "";
  find("#matrix-head").replaceChildren(make("th", { scope: "col" }, "Queue"), ...live.map((node) => make("th", { scope: "col" }, node.name)));
  find("#matrix").replaceChildren(
    ...queues.map(([name, title]) => {
      const served = live.some((node) => node.queues.includes(name));
      const cells = live.map((node) => make("td", {}, node.queues.includes(name) ? "✓" : make("span", { class: "quiet" }, "–")));
      return make("tr", {}, make("th", { scope: "row" }, title, served ? "" : " ", served || !live.length ? "" : make("span", { class: "badge warn" }, "nowhere")), ...cells);
    }),
  );
}

show(nodes);
const refresh = () => attempt(async () => show(await call("GET", "/nodes")));
setInterval(() => document.hidden || refresh(), 5000);
