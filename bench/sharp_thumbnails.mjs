// Immich's calls on npm's sharp, answered line by line: {"files": [...], "colorspace": "srgb" | "p3", "out": folder or null}
// in, {"cpu_ms": per file, "preview_bytes": …, "thumbnail_bytes": …} out. CPU is of the whole process, all threads.
import { createInterface } from 'node:readline';
import { writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import sharp from 'sharp';
import { rgbaToThumbHash } from 'thumbhash';

const decode = (input, colorspace, options) =>
  sharp(input, { failOn: 'error', limitInputPixels: false, unlimited: true, ...options })
    .pipelineColorspace(colorspace === 'srgb' ? 'srgb' : 'rgb16')
    .withIccProfile(colorspace);

async function render(file, colorspace, out) {
  const { data, info } = await decode(file, colorspace)
    .rotate()
    .resize(1440, 1440, { fit: 'outside', withoutEnlargement: true })
    .raw()
    .toBuffer({ resolveWithObject: true });
  const raw = { raw: { width: info.width, height: info.height, channels: info.channels } };
  const [thumbnail, preview] = await Promise.all([
    decode(data, colorspace, raw)
      .resize(250, 250, { fit: 'outside', withoutEnlargement: true })
      .webp({ quality: 80 })
      .toBuffer(),
    decode(data, colorspace, raw).jpeg({ quality: 80, chromaSubsampling: '4:4:4', progressive: false }).toBuffer(),
    hash(data, raw),
  ]);
  if (out) await writeFile(join(out, basename(file)), preview);
  return [preview.length, thumbnail.length];
}

async function hash(data, raw) {
  const { data: pixels, info } = await sharp(data, raw)
    .resize(100, 100, { fit: 'inside', withoutEnlargement: true })
    .ensureAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  return rgbaToThumbHash(info.width, info.height, pixels);
}

for await (const line of createInterface({ input: process.stdin })) {
  const { files, colorspace, out } = JSON.parse(line);
  const sizes = [0, 0];
  const before = process.cpuUsage();
  for (const file of files) {
    const made = await render(file, colorspace, out);
    sizes[0] += made[0];
    sizes[1] += made[1];
  }
  const used = process.cpuUsage(before);
  console.log(
    JSON.stringify({
      cpu_ms: (used.user + used.system) / 1000 / files.length,
      preview_bytes: sizes[0] / files.length,
      thumbnail_bytes: sizes[1] / files.length,
    }),
  );
}
