// One stream of server-sent events: every queue and all together first, then what changes. The browser connects again by itself.
import { call } from "./api.js";

/** `changed(part)` for each queue, and for `all` together, that is new or has changed; `connected(yes)` when the connection comes and goes. */
export function follow(changed, connected) {
  let stream;
  const open = () => {
    stream = new EventSource("/api/queue-activity/stream");
    stream.onopen = () => connected(true);
    stream.onmessage = (event) => JSON.parse(event.data).forEach(changed);
    stream.onerror = () => {
      connected(false);
      if (stream.readyState !== EventSource.CLOSED) return;
      call("GET", "/users/me").catch(() => {}); // the stream does not say why it is refused: who is signed out goes to the door
      setTimeout(open, 5000);
    };
  };
  open();
  // a page that goes into the browser's memory must not hold the connection
  addEventListener("pagehide", () => stream.close());
  addEventListener("pageshow", (event) => event.persisted && open());
}
