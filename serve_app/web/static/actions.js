// What the buttons of a queue do. Each is a call of the API.
import { call, wordsOf } from "./api.js";
import { ask, confirmed, find, toast } from "./dom.js";

/** Runs `action`; says what went wrong, or `done`. Returns whether it went well. */
export async function attempt(action, done = "", failed = "") {
  try {
    await action();
    if (done) toast(done);
    return true;
  } catch (error) {
    toast([failed, wordsOf(error)].filter(Boolean).join(": "), "bad");
    return false;
  }
}

const command = (queue, title, name, force) =>
  attempt(
    () => call("PUT", `/jobs/${queue}`, force === null || force === undefined ? { command: name } : { command: name, force }),
    name === "empty" ? `Cleared jobs for: ${title}` : name === "clear-failed" ? `Cleared failed jobs for: ${title}` : "",
    `Command ${name} failed for job: ${title}`,
  );

export async function start(queue, title, { label, force, question }) {
  if (question && !(await confirmed(`${label}: ${title}`, question, label))) return;
  await command(queue, title, "start", force);
}

export const resume = (queue, title) => command(queue, title, "resume");
export const clear = (queue, title) => command(queue, title, "empty");
export const clearFailed = (queue, title) => command(queue, title, "clear-failed");

/** Asks for how long and why. */
export async function pause(queue, title) {
  find("#pause-title").textContent = `Pause ${title}`;
  find("#pause-reason").value = "";
  if (!(await ask(find("#pause")))) return;
  const reason = find("#pause-reason").value.trim();
  const until = end(find("#pause-for").value);
  if (!reason && !until) return void (await command(queue, title, "pause"));
  const body = { isPaused: true, reason, ...(until && { until: until.toISOString() }) };
  await attempt(() => call("PUT", `/queues/${queue}`, body), "", `Command pause failed for job: ${title}`);
}

function end(choice) {
  if (!choice) return null;
  if (choice !== "morning") return new Date(Date.now() + Number(choice) * 60_000);
  const morning = new Date();
  morning.setDate(morning.getDate() + 1);
  morning.setHours(6, 0, 0, 0);
  return morning;
}
