/** The octets of a mail. */

import { fill, h, icon } from "./dom.js";
import { messagePath } from "./api.js";
import { copyButton } from "./copy.js";
import { size } from "./format.js";

/** @import { Context } from "./message.js" */

/** Octets shown: a 25 MB mail is for an editor. */
const MUCH = 256 * 1024;

/** @param {Context} context */
export async function source({ app, mail, panel, signal }) {
  const response = await app.api.ask("GET", messagePath(mail.ID, "/raw"), undefined, signal);
  const octets = await begin(response, MUCH);
  if (signal.aborted) return;
  const text = decode(octets);
  const cut = mail.Size > octets.length;
  fill(
    panel,
    h(
      "div",
      { class: "tools" },
      h(
        "p",
        { class: "quiet" },
        cut ? `The first ${size(octets.length)} of ${size(mail.Size)}.` : size(mail.Size),
      ),
      copyButton(() => text, "Copy", false),
      h(
        "a",
        { class: "button", href: messagePath(mail.ID, "/raw?dl=1"), download: "" },
        icon("download"),
        h("span", null, "Save"),
      ),
    ),
    h("pre", { tabindex: "0", "aria-label": "Source" }, text),
  );
}

/**
 * The first octets of a response; the rest is not fetched.
 * @param {Response} response
 * @param {number} most
 */
async function begin(response, most) {
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  /** @type {Uint8Array[]} */
  const pieces = [];
  let length = 0;
  while (length < most) {
    const { done, value } = await reader.read();
    if (done) break;
    pieces.push(value);
    length += value.length;
  }
  reader.cancel();
  const octets = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    octets.set(piece, at);
    at += piece.length;
  }
  return octets.subarray(0, most);
}

/**
 * As UTF-8, or where it is none as Latin-1, in which every octet is a character.
 * @param {Uint8Array} octets
 */
function decode(octets) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(octets, { stream: true });
  } catch {
    return new TextDecoder("latin1").decode(octets);
  }
}
