/** Small plots, as SVG. Each is an image to a screen reader, with a sentence that says what it shows. */

import { svg } from "./dom.js";

/**
 * Bars side by side.
 * @param {{values: number[], titles?: string[], label: string, height?: number, marked?: number[]}} what
 *   `marked` are parts of the bars that stand out, at their feet
 */
export function bars({ values, titles = [], label, height = 32, marked = [] }) {
  const most = Math.max(1, ...values.map((value, index) => value + (marked[index] ?? 0)));
  const step = 10;
  const tall = (/** @type {number} */ value) => (value ? Math.max(2, (value / most) * height) : 0);
  const made = values.map((value, index) => {
    const foot = tall(marked[index] ?? 0);
    const x = index * step + 1;
    const title = titles[index] ? svg("title", {}, titles[index]) : null;
    const bar = svg("rect", {
      class: "bar",
      x,
      y: height - tall(value) - foot,
      width: step - 2,
      height: tall(value),
      rx: 1,
    });
    const trouble = foot
      ? svg("rect", { class: "bar bad", x, y: height - foot, width: step - 2, height: foot, rx: 1 })
      : null;
    // The whole column answers the pointer, not the bar alone.
    const column = svg("rect", { class: "column", x: index * step, y: 0, width: step, height });
    return svg("g", {}, column, bar, trouble, title);
  });
  return svg(
    "svg",
    {
      class: "bars",
      viewBox: `0 0 ${values.length * step} ${height}`,
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": label,
    },
    svg("line", { class: "base", x1: 0, x2: values.length * step, y1: height, y2: height }),
    ...made,
  );
}

/**
 * A part of a whole.
 * @param {{part: number, whole: number, label: string}} what
 */
export function share({ part, whole, label }) {
  const width = whole ? Math.min(100, Math.max(0.5, (part / whole) * 100)) : 0;
  return svg(
    "svg",
    { class: "share", viewBox: "0 0 100 4", preserveAspectRatio: "none", role: "img", "aria-label": label },
    svg("rect", { class: "rest", width: 100, height: 4, rx: 1 }),
    svg("rect", { class: "part", width, height: 4, rx: 1 }),
  );
}
