// One photo or video: what it looks like, what is known of it, and where its jobs stand.
import { call } from "./api.js";
import { attempt } from "./actions.js";
import { find, make, moment, pageState } from "./dom.js";

const { id, titles, mayRetry } = pageState();
const shown = (value) => value !== null && value !== undefined && value !== "";

function megabytes(bytes) {
  return bytes > 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${Math.ceil(bytes / 1e3)} kB`;
}

function facts(asset) {
  const exif = asset.exifInfo || {};
  const place = [exif.city, exif.state, exif.country].filter(shown).join(", ");
  const camera = [exif.make, exif.model].filter(shown).join(" ");
  const settings = [exif.fNumber && `ƒ/${exif.fNumber}`, exif.exposureTime && `${exif.exposureTime} s`, exif.focalLength && `${exif.focalLength} mm`, exif.iso && `ISO ${exif.iso}`].filter(Boolean).join("  ");
  return [
    ["Size", [asset.width && `${asset.width} × ${asset.height}`, exif.fileSizeInByte && megabytes(exif.fileSizeInByte)].filter(Boolean).join(" · ")],
    ["Camera", camera],
    ["Lens", exif.lensModel],
    ["Exposure", settings],
    ["Place", place],
    ["Description", exif.description],
    ["Kept as", asset.originalPath.replace(/^.*\/(?=(upload|library)\/)/, "")],
  ].filter(([, value]) => shown(value));
}

function stage(asset) {
  if (asset.type === "VIDEO") return make("video", { src: `/api/assets/${id}/video/playback`, poster: `/api/assets/${id}/thumbnail?size=preview`, controls: true, playsinline: true });
  const image = make("img", { src: `/api/assets/${id}/thumbnail?size=preview`, alt: asset.originalFileName });
  image.addEventListener("error", () => {
    image.replaceWith(make("p", { class: "empty", id: "no-picture" }));
    sayWhyNone();
  });
  return image;
}

let pictureFailed = false;
function sayWhyNone() {
  const note = document.getElementById("no-picture");
  if (note) note.textContent = pictureFailed ? "No picture could be made of it. The reason stands at its jobs." : "There is no picture of it yet.";
}

function person(one) {
  const image = make("img", { src: `/api/people/${one.id}/thumbnail`, alt: "" });
  image.addEventListener("error", () => image.remove());
  return make("li", {}, image, make("span", {}, one.name || "Not named"));
}

async function showAsset() {
  const asset = await call("GET", `/assets/${id}`);
  document.title = `${asset.originalFileName} · Heliostat`;
  find("#name").textContent = asset.originalFileName;
  find("#taken").textContent = moment(asset.fileCreatedAt);
  find("#original").href = `/api/assets/${id}/original`;
  find("#original").download = asset.originalFileName;
  find("#stage").replaceChildren(stage(asset));
  find("#facts").replaceChildren(...facts(asset).flatMap(([word, value]) => [make("dt", {}, word), make("dd", {}, value)]));
  const people = asset.people || [];
  find("#people-part").hidden = !people.length;
  find("#people").replaceChildren(...people.map(person));
  const text = (await call("GET", `/assets/${id}/ocr`)).map((line) => line.text);
  find("#text-part").hidden = !text.length;
  find("#text").textContent = text.join("\n");
  const again = [["refresh-metadata", "Read again"], ["regenerate-thumbnail", "New thumbnails"], ["refresh-faces", "Look for faces"], ...(asset.type === "VIDEO" ? [["transcode-video", "Transcode"]] : [])];
  find("#again").replaceChildren(
    ...again.map(([name, words]) =>
      make("button", { type: "button", onclick: async () => {
        await attempt(() => call("POST", "/assets/jobs", { assetIds: [id], name }), `${words}: asked for`);
        await attempt(showSteps);
      } }, words),
    ),
  );
}

const kinds = { active: "good", failed: "bad", waiting: "", delayed: "warn" };
async function showSteps() {
  const [steps, failures] = await Promise.all([call("GET", `/asset-steps/${id}`), call("GET", `/failures?assetId=${id}`)]);
  find("#steps").replaceChildren(
    ...steps.map((step) => make("li", {}, make("span", {}, titles[step.name] || step.name), step.state ? make("span", { class: `badge ${kinds[step.state]}` }, step.state) : make("span", { class: "quiet" }, "nothing to do"))),
  );
  pictureFailed = steps.some((step) => step.name === "AssetGenerateThumbnails" && step.state === "failed");
  sayWhyNone();
  find("#failed-part").hidden = !failures.items.length;
  find("#failures").replaceChildren(
    ...failures.items.map((job) =>
      make("li", { class: "story" },
        make("strong", {}, titles[job.name] || job.name),
        make("p", { class: "error" }, job.error),
        make("p", { class: "quiet" }, [`${job.attempts} ${job.attempts === 1 ? "attempt" : "attempts"}`, job.last && moment(job.last.at)].filter(Boolean).join(" · ")),
        mayRetry ? make("div", { class: "buttons" }, make("button", { type: "button", onclick: () => retry(job) }, "Retry")) : null,
      ),
    ),
  );
  return steps.some((step) => step.state === "waiting" || step.state === "active");
}

async function retry(job) {
  await attempt(() => call("POST", `/queues/${job.queue}/failures/retry`, { ids: [job.id] }), "Tried again");
  await attempt(showSteps);
}

let busy = false;
let away = false;
async function look() {
  const before = busy;
  if (!document.hidden) busy = await showSteps();
  if (before && !busy) await showAsset(); // now there is something to see
}

/** Also after a look that failed: the server may be back by then. */
async function watch() {
  try {
    await look();
    away = false;
  } catch (error) {
    if (!away) await attempt(() => { throw error; }); // said once, not at every look
    away = true;
  }
  setTimeout(watch, busy && !away ? 2000 : 15_000);
}
attempt(showAsset).then(watch);
