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
    h("tr", null, h("th", { scope: "row" }, foreign(name)), h("td", null, foreign(value))),
  );
  fill(
    panel,
    h(
      "div",
      { class: "tools" },
      h("p", { class: "quiet" }, "Decoded and unfolded; the source has them as they came."),
      copy,
    ),
    h(
      "table",
      { class: "header" },
      h("caption", { class: "unseen" }, "Header fields"),
      h("tbody", null, ...rows),
    ),
  );
}
