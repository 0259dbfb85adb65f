// Small graphs as SVG.
const SVG = "http://www.w3.org/2000/svg";

export function shape(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** Bars of jobs that ended, with what failed on top of each, in a box of 120 by 28. */
export function spark(svg, ended, failed) {
  const most = Math.max(1, ...ended.map((value, index) => value + failed[index]));
  const width = 120 / ended.length;
  const bars = [];
  ended.forEach((value, index) => {
    const good = (value / most) * 27;
    const bad = (failed[index] / most) * 27;
    const x = index * width + 0.4;
    if (good) bars.push(shape("rect", { x, y: 28 - good, width: width - 0.8, height: good, class: "good" }));
    if (bad) bars.push(shape("rect", { x, y: 28 - good - bad, width: width - 0.8, height: bad, class: "bad" }));
  });
  bars.push(shape("rect", { x: 0, y: 27.5, width: 120, height: 0.5, class: "base" }));
  svg.replaceChildren(...bars);
}
