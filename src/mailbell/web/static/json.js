/** JSON for people: indented, its kinds of values told apart by colour. */

import { button, fill, h } from "./dom.js";
import { size } from "./format.js";

const TOKEN = /"(?:[^"\\]|\\.)*"(\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
/** Characters: above the first colours take longer than they help, above the second browsers get slow. */
const MUCH = 100_000;
const TOO_MUCH = 200_000;

/**
 * @param {unknown} value
 * @param {string} name for a screen reader
 */
export function json(value, name) {
  const text = JSON.stringify(value, null, 2);
  const pieces = text.length > MUCH ? [text.slice(0, TOO_MUCH)] : coloured(text);
  const box = h("pre", { class: "json", tabindex: "0", "aria-label": name }, ...pieces);
  const all = () => fill(box, text);
  if (text.length > TOO_MUCH)
    box.append("…\n\n", button({ text: `Show all of it, ${size(text.length)}`, onclick: all }));
  return box;
}

/** @param {string} text */
function coloured(text) {
  /** @type {(string | HTMLElement)[]} */
  const pieces = [];
  let end = 0;
  for (const found of text.matchAll(TOKEN)) {
    const [token, colon] = found;
    const name = colon ? token.slice(0, -colon.length) : token;
    pieces.push(
      text.slice(end, found.index),
      h("span", { class: kind(token, Boolean(colon)) }, name),
      colon ?? "",
    );
    end = found.index + token.length;
  }
  pieces.push(text.slice(end));
  return pieces;
}

/**
 * @param {string} token
 * @param {boolean} isKey
 */
function kind(token, isKey) {
  if (isKey) return "key";
  return token[0] === '"' ? "string" : "word";
}
