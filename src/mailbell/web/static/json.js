/** JSON for people: indented, its kinds of values told apart by colour. */

import { h } from "./dom.js";

const TOKEN = /"(?:[^"\\]|\\.)*"(\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
/** Above this colours take longer than they help. */
const MUCH = 100_000;

/**
 * @param {unknown} value
 * @param {string} name for a screen reader
 */
export function json(value, name) {
  const text = JSON.stringify(value, null, 2);
  const pieces = text.length > MUCH ? [text] : coloured(text);
  return h("pre", { class: "json", tabindex: "0", "aria-label": name }, ...pieces);
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
