/** The attachments of a mail: pictures to look at, files to save. */

import { fill, foreign, h, icon } from "./dom.js";
import { messagePath } from "./api.js";
import { open } from "./dialog.js";
import { size } from "./format.js";

/** @import { Context } from "./message.js" */
/** @import { Detail, Part } from "./api.js" */

const PICTURES = /^image\/(png|jpeg|pjpeg|jpg|gif|webp|avif|bmp|x-icon|vnd\.microsoft\.icon)$/i;
const ENDINGS = /\.(png|jpe?g|gif|webp|avif|bmp|ico)$/i;
/** Under the text. */
const MOST_BELOW = 12;

/** @param {Context} context */
export function attachments({ mail, panel }) {
  const cards = [
    ...mail.Attachments.map((part) => card(mail, part, false)),
    ...mail.Inline.map((part) => card(mail, part, true)),
  ];
  fill(panel, h("ul", { class: "cards" }, ...cards));
}

/**
 * The attachments in small, under the text.
 * @param {Detail} mail
 */
export function thumbnails(mail) {
  const parts = [...mail.Attachments, ...mail.Inline];
  if (!parts.length) return null;
  const shown = parts.slice(0, MOST_BELOW);
  return h(
    "section",
    { class: "below", "aria-label": "Attachments" },
    h(
      "ul",
      { class: "thumbs" },
      ...shown.map((part) =>
        h(
          "li",
          null,
          isPicture(part) ? look(mail, part) : save(mail, part, [icon("file"), foreign(nameOf(part))]),
        ),
      ),
    ),
    parts.length > shown.length &&
      h("p", { class: "quiet" }, `and ${parts.length - shown.length} more under Attachments`),
  );
}

/**
 * @param {Detail} mail
 * @param {Part} part
 * @param {boolean} inline
 */
function card(mail, part, inline) {
  return h(
    "li",
    { class: "card" },
    isPicture(part)
      ? look(mail, part)
      : h("div", { class: "kind" }, icon("file"), h("span", null, ending(part))),
    h(
      "div",
      { class: "about" },
      h("p", { class: "name", title: nameOf(part) }, foreign(nameOf(part))),
      h(
        "p",
        { class: "quiet" },
        foreign(part.ContentType),
        ` · ${size(part.Size)}`,
        inline && " · in the HTML",
      ),
    ),
    save(mail, part, [icon("download")], "button bare"),
  );
}

/**
 * A picture that opens large.
 * @param {Detail} mail
 * @param {Part} part
 */
function look(mail, part) {
  const picture = h("img", {
    src: messagePath(mail.ID, `/part/${part.PartID}/thumb`),
    alt: "",
    loading: "lazy",
    decoding: "async",
    onerror: () => picture.replaceWith(icon("file")), // it only said that it is one
  });
  return h(
    "button",
    {
      type: "button",
      class: "look",
      "aria-label": `Look at ${nameOf(part)}`,
      onclick: () => enlarge(mail, part),
    },
    picture,
  );
}

/**
 * @param {Detail} mail
 * @param {Part} part
 */
function enlarge(mail, part) {
  const src = messagePath(mail.ID, `/part/${part.PartID}`);
  open({
    title: nameOf(part),
    kind: "picture",
    body: [h("img", { src, alt: nameOf(part) })],
    actions: [
      h("p", { class: "quiet" }, foreign(part.ContentType), ` · ${size(part.Size)}`),
      save(mail, part, [icon("download"), h("span", null, "Save")], "button primary"),
    ],
  });
}

/**
 * A link that saves; the server gives the name.
 * @param {Detail} mail
 * @param {Part} part
 * @param {(Node | string)[]} label
 * @param {string} [kind]
 */
function save(mail, part, label, kind = "chip") {
  const name = `Save ${nameOf(part)}`;
  return h(
    "a",
    {
      class: kind,
      href: messagePath(mail.ID, `/part/${part.PartID}`),
      download: "",
      title: name,
      "aria-label": name,
    },
    ...label,
  );
}

/** @param {Part} part */
function isPicture({ ContentType, FileName }) {
  return PICTURES.test(ContentType) || (ContentType === "application/octet-stream" && ENDINGS.test(FileName));
}

/** @param {Part} part */
function nameOf({ FileName, PartID }) {
  return FileName || `Attachment ${PartID}`;
}

/** @param {Part} part */
function ending({ FileName, ContentType }) {
  const found = /\.([A-Za-z0-9]{1,5})$/.exec(FileName);
  return (found?.[1] ?? ContentType.split("/")[1] ?? "").slice(0, 5).toUpperCase();
}
