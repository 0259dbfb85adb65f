// How fast a queue is, in words.
import { duration } from "./dom.js";

export function pace(queue) {
  const words = [];
  const rate = queue.jobsPerSecond;
  if (rate >= 0.005) words.push(rate >= 0.1 ? `${rate.toFixed(rate >= 10 ? 0 : 1)} jobs/s` : `${(rate * 60).toFixed(1)} jobs/min`);
  if (queue.secondsLeft !== null) words.push(`about ${duration(queue.secondsLeft)} left`);
  if (queue.oldestWaitingAt) {
    const age = (Date.now() - new Date(queue.oldestWaitingAt)) / 1000;
    if (age > 60) words.push(`oldest waits ${duration(age)}`);
  }
  return words.join(" · ");
}
