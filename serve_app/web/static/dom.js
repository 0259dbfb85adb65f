// The few helpers that every page needs. Text always goes in as text: nothing here ever parses markup.

export const find = (selector, within = document) => within.querySelector(selector);
export const findAll = (selector, within = document) => [...within.querySelectorAll(selector)];

/** An element: `make("a", { href: "/", class: "x", onclick: f }, "words", otherElement)`. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** What the page was rendered with. */
export const pageState = () => JSON.parse(find("#state").textContent);

export function toast(words, kind = "good") {
  const note = make("div", { class: `toast ${kind}`, role: kind === "bad" ? "alert" : null }, words);
  find("#toasts").append(note);
  setTimeout(() => note.remove(), kind === "bad" ? 9000 : 4000);
}

const asked = new Map();

/** Resolves to true when the dialog is ended by its "ok" button, to false by anything else. */
export function ask(dialog) {
  if (!asked.has(dialog)) {
    dialog.addEventListener("close", () => {
      // the event comes a moment after the end: by then the dialog may have been opened for somebody else
      if (!dialog.open) asked.get(dialog)(dialog.returnValue === "ok");
    });
  }
  asked.get(dialog)?.(false);
  return new Promise((resolve) => {
    asked.set(dialog, resolve);
    dialog.returnValue = "";
    dialog.showModal();
  });
}

export function confirmed(title, words, button) {
  find("#confirm-title").textContent = title;
  find("#confirm-words").textContent = words;
  find("#confirm-ok").textContent = button;
  return ask(find("#confirm"));
}

const number = new Intl.NumberFormat();
export const count = (value) => number.format(value);

/** `93` → "1 min 33 s". */
export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min${s < 600 ? ` ${s % 60} s` : ""}`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
/** A time, without its day when that is today. */
export function moment(time) {
  const date = new Date(time);
  return (date.toDateString() === new Date().toDateString() ? clock : day).format(date);
}
