/** The header fields of a mail, in their order. */

import { fill, foreign, h } from "./dom.js";
import { copyButton } from "./copy.js";

/** @import { Context } from "./message.js" */

/** @param {Context} context */
export async function headers({ panel, event, signal }) {
  const fields = (await event()).headers;
  if (signal.aborted) return;
  if (!fields.length) return fill(panel, h("p", { class: "quiet" }, "This mail has no header."));
  const copy = copyButton(
    () => fields.map(({ name, value }) => `${name}: ${value}`).join("\n"),
    "Copy the header",
    false,
  );
  const rows = fields.map(({ name, value }) =>
    h("div", null, h("dt", null, foreign(name)), h("dd", null, foreign(value))),
  );
  const about = h("p", { class: "quiet" }, "Decoded and unfolded; the source has them as they came.");
  fill(panel, h("div", { class: "tools" }, about, copy), h("dl", { class: "header" }, ...rows));
}
