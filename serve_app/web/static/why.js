// Why a queue does not move, in words.
import { moment } from "./dom.js";

export function why(queue) {
  if (queue.isPaused) {
    const until = queue.pausedUntil ? `until ${moment(queue.pausedUntil)}` : "";
    const by = queue.pausedBy ? `by ${queue.pausedBy}` : "";
    const words = ["Paused", by, until].filter(Boolean).join(" ");
    return by || until || queue.pausedReason ? words + (queue.pausedReason ? `: ${queue.pausedReason}` : "") : "";
  }
  return (queue.waiting || queue.delayed) && queue.waitReason ? `Waits: ${queue.waitReason}` : "";
}
