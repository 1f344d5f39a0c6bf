/** Light, dark, or as the system has it. */

import { icon } from "./dom.js";
import { keep, recall } from "./prefs.js";
import { segments } from "./tabs.js";

/** @typedef {"system" | "light" | "dark"} Theme */

/** The themes and their icons, in the order in which a button turns through them. */
export const THEMES = /** @type {const} */ ({ system: "contrast", light: "sun", dark: "moon" });
const NAMES = { system: "System", light: "Light", dark: "Dark" };

/** @returns {Theme} */
export function theme() {
  const kept = recall("theme");
  return kept === "light" || kept === "dark" ? kept : "system";
}

/**
 * Use it, and emit "theme" on the document.
 * @param {Theme} chosen
 */
export function setTheme(chosen) {
  keep("theme", chosen === "system" ? null : chosen);
  if (chosen === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
  document.dispatchEvent(new Event("theme"));
}

/** The theme after this one. */
export function nextTheme() {
  const all = /** @type {Theme[]} */ (Object.keys(THEMES));
  return all[(all.indexOf(theme()) + 1) % all.length];
}

/** All three to choose from. */
export function themeChoice() {
  const choices = /** @type {Theme[]} */ (Object.keys(THEMES)).map((id) => ({
    id,
    label: [icon(THEMES[id]), NAMES[id]],
  }));
  const made = segments("Theme", choices, theme(), (id) => {
    setTheme(/** @type {Theme} */ (id));
    for (const each of made.querySelectorAll("button"))
      each.setAttribute("aria-pressed", String(each.dataset.id === id));
  });
  return made;
}
