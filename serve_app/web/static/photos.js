// The timeline: months that are near the eye hold their pictures, the others only their height.
import { call, Refused, wordsOf } from "./api.js";
import { attempt } from "./actions.js";
import { find, make, toast } from "./dom.js";
import { showPicture } from "./pictures.js";
import { draw } from "./thumbhash.js";
import { watchDrops } from "./upload.js";

const ROW = 190;
const timeline = find("#timeline");
const month = new Intl.DateTimeFormat(undefined, { month: "long", year: "numeric", timeZone: "UTC" });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "long", timeStyle: "short", timeZone: "UTC" });

/** `takenAt`: as the clock stood where it was taken, said as UTC. */
const called = ({ isImage, name, takenAt, city }) => name || [isImage ? "Photo" : "Video", takenAt && `of ${moment.format(takenAt)}`, city].filter(Boolean).join(", ");

function tile(asset) {
  const { id, ratio, thumbhash, isImage, duration } = asset;
  const shape = Math.min(3, Math.max(0.4, ratio || 1));
  const link = make("a", { href: `/photos/${id}`, class: "tile", "aria-label": called(asset) });
  link.style.flexGrow = shape;
  link.style.flexBasis = `${shape * ROW}px`;
  if (thumbhash) {
    const blur = make("canvas", { "aria-hidden": "true" });
    draw(blur, thumbhash);
    link.append(blur);
  }
  showPicture(link, `/api/assets/${id}/thumbnail`);
  if (!isImage) link.append(make("span", { class: "length" }, `▶ ${length(duration || 0)}`));
  return link;
}

function length(milliseconds) {
  const seconds = Math.round(milliseconds / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

const filler = () => make("span", { class: "filler", "aria-hidden": "true" });

const near = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) attempt(() => fill(target));
      else empty(target);
    }
  },
  { rootMargin: "1500px 0px" },
);

async function fill(section) {
  if (section.filled) return;
  section.filled = true;
  const columns = await call("GET", `/timeline/bucket?timeBucket=${section.dataset.month}&visibility=timeline`).catch((error) => {
    section.filled = false; // to be tried again when it comes near again
    throw error;
  });
  if (!section.filled) return;
  const tiles = columns.id.map((id, index) => {
    const at = (name) => columns[name][index];
    const takenAt = new Date(Date.parse(at("fileCreatedAt")) + at("localOffsetHours") * 3_600_000);
    return tile({ id, ratio: at("ratio"), thumbhash: at("thumbhash"), isImage: at("isImage"), duration: at("duration"), takenAt, city: at("city") });
  });
  const grid = find(".tiles", section);
  grid.replaceChildren(...tiles, filler());
  grid.style.height = "";
}

function empty(section) {
  if (!section.filled) return;
  section.filled = false;
  const grid = find(".tiles", section);
  grid.style.height = `${grid.offsetHeight}px`; // so that nothing moves
  grid.replaceChildren();
}

export async function showTimeline() {
  const buckets = await call("GET", "/timeline/buckets?visibility=timeline");
  near.disconnect();
  find("#words").hidden = true;
  find("#empty").hidden = buckets.length > 0;
  const each = Math.max(1, Math.floor(timeline.clientWidth / (ROW * 1.3)));
  timeline.replaceChildren(
    ...buckets.map(({ timeBucket, count }) => {
      const grid = make("div", { class: "tiles" });
      grid.style.height = `${Math.ceil(count / each) * (ROW + 4)}px`;
      return make("section", { "data-month": timeBucket, "aria-label": month.format(new Date(timeBucket)) }, make("h2", {}, month.format(new Date(timeBucket)), " ", make("span", { class: "quiet" }, String(count))), grid);
    }),
  );
  for (const section of timeline.children) near.observe(section);
}

// ---- search --------------------------------------------------------------------------------------------------------

const seen = (asset) => ({ id: asset.id, ratio: asset.width && asset.height ? asset.width / asset.height : 1, thumbhash: asset.thumbhash, isImage: asset.type === "IMAGE", duration: asset.duration, name: asset.originalFileName });

/** By its meaning, where a model for that is there; and by file names and printed words, which is what is left without one. */
async function search(query) {
  const words = find("#words");
  words.hidden = false;
  words.textContent = "Searching…";
  let note = "";
  const byMeaning = call("POST", "/search/smart", { query, size: 100 }).catch((error) => {
    if (!(error instanceof Refused)) throw error;
    note = ` Looked at file names and printed words alone: ${error.message}`;
    return null;
  });
  const byName = call("POST", "/search/metadata", { originalFileName: query, size: 100 });
  const byPrint = call("POST", "/search/metadata", { ocr: query, size: 100 });
  const answers = await Promise.all([byName, byPrint, byMeaning]);
  const found = new Map();
  for (const answer of answers) for (const asset of answer?.assets.items ?? []) if (!found.has(asset.id)) found.set(asset.id, asset);
  near.disconnect();
  find("#empty").hidden = true;
  words.textContent = (found.size ? `${found.size} found for “${query}”.` : `Nothing found for “${query}”.`) + note;
  timeline.replaceChildren(make("div", { class: "tiles" }, ...[...found.values()].map((asset) => tile(seen(asset))), filler()));
}

const input = find("#query");
const show = () => attempt(() => (input.value.trim() ? search(input.value.trim()) : showTimeline()));
find("#search").addEventListener("submit", (event) => {
  event.preventDefault();
  const query = input.value.trim();
  history.replaceState(null, "", query ? `/photos?${new URLSearchParams({ q: query })}` : "/photos");
  show();
});
input.addEventListener("search", () => input.value || find("#search").requestSubmit());
show();

// ---- what comes in -------------------------------------------------------------------------------------------------

watchDrops((failed) => {
  if (!input.value.trim()) attempt(showTimeline);
  if (failed) toast(wordsOf(failed), "bad");
});
