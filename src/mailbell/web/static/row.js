/** One mail in the list. */

import { foreign, h, icon, unseen } from "./dom.js";
import { clock, full, size } from "./format.js";

/** @import { Address, Delivery, Summary } from "./api.js" */

const HUES = 8;
/** Tags that a row has room for. */
const FEW = 2;
/** What is read aloud and shown in a tooltip for each mark. */
const MARKS = /** @type {const} */ ({
  done: { icon: "check", text: "Delivered" },
  pending: { icon: "clock", text: "Being delivered" },
  trouble: { icon: "alert", text: "Not delivered everywhere" },
});

/**
 * @param {Summary} mail
 * @param {{
 *   href: string, open: boolean, selected: boolean, current: boolean,
 *   onselect: (event: MouseEvent) => void,
 * }} state
 */
export function mailRow(mail, { href, open, selected, current, onselect }) {
  const subject = mail.Subject || "No subject";
  const kind = [!mail.Read && "unread", open && "open", selected && "selected", current && "current"];
  return h(
    "li",
    { class: `mail ${kind.filter(Boolean).join(" ")}` },
    h(
      "label",
      { class: "tick" },
      h("input", {
        type: "checkbox",
        checked: selected,
        tabindex: current ? 0 : -1,
        "aria-label": `Select ${subject}`,
        onclick: onselect,
      }),
    ),
    h(
      "a",
      { href, tabindex: current ? 0 : -1, "aria-current": open ? "true" : null, draggable: "false" },
      !mail.Read && unseen("Unread. "),
      who(mail.From),
      h("span", { class: "what" }, subjectOf(mail), snippetOf(mail)),
      tagsOf(mail.Tags),
      files(mail.Attachments),
      h("span", { class: "size" }, size(mail.Size)),
      mark(mail.Delivery),
      when(mail.Created),
    ),
  );
}

/** Something that is not here yet, at its place. */
export function holeRow() {
  return h("li", { class: "mail hole", "aria-hidden": "true" }, h("span"), h("span"));
}

/** @param {Address} from */
function who({ Name, Address }) {
  const named = Name || Address;
  return h("span", { class: named ? "who" : "who none" }, foreign(named || "No sender"));
}

/** @param {Summary} mail */
function subjectOf({ Subject }) {
  return foreign(Subject || "No subject", Subject ? "subject" : "subject none");
}

/** @param {Summary} mail */
function snippetOf({ Snippet }) {
  return Snippet ? foreign(Snippet, "snippet") : null;
}

/** @param {string[]} tags */
function tagsOf(tags) {
  const more = tags.length - FEW;
  const rest = more > 0 && h("span", { class: "quiet", title: tags.slice(FEW).join(", ") }, `+${more}`);
  return h("span", { class: "tags" }, ...tags.slice(0, FEW).map(tag), rest);
}

/**
 * @param {string} name
 */
export function tag(name) {
  return h("span", { class: `tag hue-${hue(name)}` }, foreign(name));
}

/**
 * A colour for a name, always the same.
 * @param {string} name
 */
export function hue(name) {
  let sum = 0;
  for (const letter of name) sum = (sum * 31 + (letter.codePointAt(0) ?? 0)) % 65_521;
  return sum % HUES;
}

/** @param {number} count */
function files(count) {
  if (!count) return h("span", { class: "files" });
  const text = count === 1 ? "1 attachment" : `${count} attachments`;
  return h(
    "span",
    { class: "files", title: text },
    icon("clip"),
    count > 1 && String(count),
    unseen(` ${text}`),
  );
}

/** @param {Delivery | undefined} delivery */
export function mark(delivery) {
  const known = delivery && MARKS[delivery];
  if (!known) return h("span", { class: "mark" });
  return h("span", { class: `mark ${delivery}`, title: known.text }, icon(known.icon), unseen(known.text));
}

/** @param {string} created */
function when(created) {
  const date = new Date(created);
  return h("time", { datetime: created, title: full(date) }, clock(date));
}
