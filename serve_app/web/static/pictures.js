// Pictures of tiles. One that is not there yet is asked for again while its tile is in sight, with growing pauses, and
// given up after some minutes in sight: a damaged file never has a picture.
import { make } from "./dom.js";

const PAUSES_S = [1, 1, 2, 3, 5, 8, 10, 15, 20, 30, 30, 30, 45, 45, 60];
const AT_ONCE = 8;

/** Tile → how often it was asked for, when it is due, and whether a person could see it now. */
const waiting = new Map();
let asked = 0;
let clock = null;

const sight = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) if (waiting.has(target)) waiting.get(target).seen = isIntersecting;
});

export function showPicture(tile, address) {
  const image = make("img", { src: address, alt: "", loading: "lazy", decoding: "async" });
  image.addEventListener("load", () => arrived(tile, image));
  image.addEventListener("error", () => {
    image.remove();
    waitFor(tile, address, 0);
  });
  tile.append(image);
}

function arrived(tile, image) {
  image.classList.add("there");
  forget(tile);
}

function waitFor(tile, address, tries) {
  if (tries >= PAUSES_S.length) return giveUp(tile);
  waiting.set(tile, { address, tries, seen: waiting.get(tile)?.seen ?? false, due: Date.now() + PAUSES_S[tries] * 1000, busy: false });
  sight.observe(tile);
  clock ??= setInterval(look, 500);
}

function forget(tile) {
  waiting.delete(tile);
  sight.unobserve(tile);
}

function giveUp(tile) {
  forget(tile);
  tile.append(make("span", { class: "none" }, "No picture"));
  tile.setAttribute("aria-label", `${tile.getAttribute("aria-label")}, no picture`);
}

function look() {
  for (const tile of waiting.keys()) if (!tile.isConnected) forget(tile); // its month is far away now
  if (!waiting.size) {
    clearInterval(clock);
    clock = null;
  }
  if (document.hidden) return;
  for (const [tile, one] of waiting) {
    if (asked >= AT_ONCE) return;
    if (one.seen && !one.busy && one.due <= Date.now()) ask(tile, one);
  }
}

function ask(tile, one) {
  one.busy = true;
  asked++;
  const image = make("img", { alt: "", decoding: "async" });
  image.addEventListener("load", () => {
    asked--;
    tile.insertBefore(image, tile.querySelector(".length"));
    arrived(tile, image);
  });
  image.addEventListener("error", () => {
    asked--;
    if (waiting.has(tile)) waitFor(tile, one.address, one.tries + 1);
  });
  image.src = one.address;
}
