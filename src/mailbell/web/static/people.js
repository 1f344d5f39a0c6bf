/** Who wrote to whom. */

import { fill, foreign, h } from "./dom.js";
/** @import { Address, Detail } from "./api.js" */

/** Addresses shown at first. */
const FEW = 4;

/** @param {Detail} mail */
export function people(mail) {
  return h(
    "dl",
    { class: "people" },
    line("From", [mail.From]),
    mail.ReturnPath !== mail.From.Address &&
      mail.ReturnPath &&
      line("Envelope", [{ Name: "", Address: mail.ReturnPath }]),
    line("To", mail.To),
    line("Cc", mail.Cc),
    line("Bcc", mail.Bcc),
    line("Reply to", mail.ReplyTo),
    mail.Username && h("div", null, h("dt", null, "User"), h("dd", null, foreign(mail.Username))),
  );
}

/**
 * @param {string} name
 * @param {Address[]} addresses
 */
function line(name, addresses) {
  if (!addresses.length) return null;
  const list = h("dd", null, ...between(addresses.slice(0, FEW)));
  const more = addresses.length - FEW;
  if (more > 0) {
    const show = () => fill(list, ...between(addresses));
    list.append(" ", h("button", { type: "button", class: "link", onclick: show }, `and ${more} more`));
  }
  return h("div", null, h("dt", null, name), list);
}

/** @param {Address[]} addresses */
function between(addresses) {
  return addresses.flatMap((each, index) => [index ? ", " : "", person(each)]);
}

/** @param {Address} address */
function person(address) {
  if (!address.Name && !address.Address) return h("span", { class: "none" }, "No sender");
  if (!address.Name || !address.Address) return foreign(address.Name || address.Address);
  return h(
    "bdi",
    { class: "person" },
    foreign(address.Name, "name"),
    " ",
    h("span", { class: "address" }, "<", foreign(address.Address), ">"),
  );
}
