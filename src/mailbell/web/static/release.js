/** Sending a mail on to a real mail server. */

import { h } from "./dom.js";
import { messagePath } from "./api.js";
import { ask } from "./dialog.js";

/** @import { App } from "./app.js" */
/** @import { Detail } from "./api.js" */

/**
 * Ask to whom, and release.
 * @param {App} app
 * @param {Detail} mail
 */
export function askToRelease(app, mail) {
  const value = [...mail.To, ...mail.Cc, ...mail.Bcc].map(({ Address }) => Address).join(", ");
  const input = h("input", { type: "text", value, spellcheck: "false", autocomplete: "off" });
  const server = app.webui?.MessageRelay.SMTPServer;
  ask({
    title: "Release",
    fields: [
      h("p", null, `The mail goes to ${server}, as it was received.`),
      h("label", { class: "field" }, h("span", null, "Recipients, with commas between them"), input),
    ],
    action: "Release",
    run: async () => {
      const To = recipients(input.value);
      if (!To.length) throw new Error("Give at least one recipient.");
      await app.api.change("POST", messagePath(mail.ID, "/release"), { To });
      app.notices.done("Released.");
    },
  });
}

/** @param {string} text */
function recipients(text) {
  const each = text.split(",").map((address) => address.trim());
  return each.filter(Boolean);
}
