// A thumbhash → a blurred picture. The format is described at evanw.github.io/thumbhash: a luminance and two colour
// channels (and perhaps opacity), each a mean and a few cosine waves, four bits a wave.

const bytes = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

function waves(across, down, scale, nibbles) {
  const found = [];
  for (let y = 0; y < down; y++) {
    for (let x = y ? 0 : 1; x * down < across * (down - y); x++) found.push({ x, y, value: (nibbles() / 7.5 - 1) * scale });
  }
  return found;
}

/** Draws the hash over the whole canvas, whose size it sets. */
export function draw(canvas, base64) {
  const hash = bytes(base64);
  const head = hash[0] | (hash[1] << 8) | (hash[2] << 16);
  const more = hash[3] | (hash[4] << 8);
  const alpha = head >> 23 === 1;
  const wide = more >> 15 === 1;
  const across = Math.max(3, wide ? (alpha ? 5 : 7) : more & 7);
  const down = Math.max(3, wide ? more & 7 : alpha ? 5 : 7);
  let at = (alpha ? 6 : 5) * 2;
  const nibbles = () => (hash[at >> 1] >> ((at++ & 1) * 4)) & 15;
  const channels = [
    { mean: (head & 63) / 63, waves: waves(across, down, ((head >> 18) & 31) / 31, nibbles) },
    { mean: ((head >> 6) & 63) / 31.5 - 1, waves: waves(3, 3, (((more >> 3) & 63) / 63) * 1.25, nibbles) },
    { mean: ((head >> 12) & 63) / 31.5 - 1, waves: waves(3, 3, (((more >> 9) & 63) / 63) * 1.25, nibbles) },
  ];
  const ratio = across / down;
  const width = (canvas.width = Math.max(1, Math.round(ratio > 1 ? 16 : 16 * ratio)));
  const height = (canvas.height = Math.max(1, Math.round(ratio > 1 ? 16 / ratio : 16)));
  const cosines = (size) => Array.from({ length: 8 }, (_, wave) => Array.from({ length: size }, (_, i) => Math.cos((Math.PI / size) * (i + 0.5) * wave)));
  const horizontal = cosines(width);
  const vertical = cosines(height);
  const pen = canvas.getContext("2d");
  const picture = pen.createImageData(width, height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [light, yellow, red] = channels.map((channel) =>
        channel.waves.reduce((sum, wave) => sum + 2 * wave.value * horizontal[wave.x][x] * vertical[wave.y][y], channel.mean),
      );
      const b = light - (2 / 3) * yellow;
      const r = (3 * light - b + red) / 2;
      picture.data.set([r, r - red, b, 1].map((value) => Math.max(0, Math.min(255, Math.round(value * 255)))), (y * width + x) * 4);
    }
  }
  pen.putImageData(picture, 0, 0);
}
