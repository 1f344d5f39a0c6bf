/** "5 min ago", which grows older by itself. */

import { h } from "./dom.js";
import { date, full, relative } from "./format.js";

const EVERY = 1000;

/**
 * @param {string | number} value as the API gives it
 */
export function ago(value) {
  const at = date(value);
  return h("time", { datetime: at.toISOString(), title: full(at), "data-relative": "" }, relative(at));
}

/** Let them all grow older. */
export function keepMoments() {
  setInterval(() => {
    if (document.hidden) return;
    for (const each of document.querySelectorAll("time[data-relative]")) {
      const text = relative(new Date(/** @type {HTMLTimeElement} */ (each).dateTime));
      if (each.textContent !== text) each.textContent = text;
    }
  }, EVERY);
}
