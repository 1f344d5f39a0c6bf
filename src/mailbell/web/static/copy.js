/** Copying to the clipboard, which only pages over HTTPS and on localhost may do by its interface. */

import { button, h } from "./dom.js";

const SAID = 1500;

/**
 * @param {() => string | Promise<string>} text
 * @param {string} name
 * @param {boolean} [bare]
 */
export function copyButton(text, name, bare = true) {
  const made = button({
    icon: "copy",
    text: name,
    bare,
    onclick: async () => {
      const done = await copy(await text());
      made.classList.add(done ? "copied" : "uncopied");
      made.setAttribute("aria-label", done ? "Copied" : "The browser does not allow it");
      setTimeout(() => {
        made.classList.remove("copied", "uncopied");
        made.setAttribute("aria-label", name);
      }, SAID);
    },
  });
  made.setAttribute("aria-label", name);
  return made;
}

/**
 * @param {string} text
 * @returns {Promise<boolean>}
 */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyFromField(text);
  }
}

/** @param {string} text */
function copyFromField(text) {
  const field = h("textarea", { class: "unseen", value: text });
  const focused = document.activeElement;
  (document.querySelector("dialog[open]") ?? document.body).append(field); // outside of a dialog all is inert
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  if (focused instanceof HTMLElement) focused.focus();
  return done;
}
