/** The text of a mail. */

import { button, fill, h } from "./dom.js";
import { size } from "./format.js";
import { thumbnails } from "./attachments.js";

/** @import { Context } from "./message.js" */

/** Characters shown at first: more make browsers slow. */
const MUCH = 200_000;
/** Columns made with blanks, as devices make them: these need letters of one width. */
const ALIGNED = /^.*\S(?: {3,}|\t)\S.*\n(?:.*\n){0,3}.*\S(?: {3,}|\t)\S/m;
const LINK =
  /https?:\/\/[^\s<>"'`\u200e\u200f\u202a-\u202e\u2066-\u2069]+[^\s<>"'`.,;:!?()[\]{}\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** @param {Context} context */
export function text({ mail, panel }) {
  const body = mail.Text.replace(/^(?:[ \t]*\n)+/, "").trimEnd();
  const shown = h("div", { class: ALIGNED.test(body) ? "body aligned" : "body", dir: "auto" });
  const cut = body.length > MUCH;
  fill(shown, ...linked(cut ? body.slice(0, MUCH) : body));
  const rest = button({
    text: `Show all of it, ${size(body.length)}`,
    onclick: () => {
      fill(shown, body); // without links: looking for them takes its time
      rest.remove();
    },
  });
  fill(
    panel,
    body ? shown : h("p", { class: "quiet" }, "This mail has no text."),
    cut && h("p", null, rest),
    thumbnails(mail),
  );
}

/**
 * Text in which addresses of the Web are links.
 * @param {string} text
 */
export function linked(text) {
  /** @type {(string | HTMLElement)[]} */
  const pieces = [];
  let end = 0;
  for (const { 0: href, index } of text.matchAll(LINK)) {
    pieces.push(text.slice(end, index), h("a", { href, target: "_blank", rel: "noopener noreferrer" }, href));
    end = index + href.length;
  }
  pieces.push(text.slice(end));
  return pieces;
}
