/** The tabs of a mail, in their order. */

import { attachments } from "./attachments.js";
import { deliveries } from "./deliveries.js";
import { event } from "./event.js";
import { headers } from "./headers.js";
import { html } from "./html.js";
import { source } from "./source.js";
import { text } from "./text.js";

/** @import { Detail } from "./api.js" */
/** @import { Context } from "./message.js" */

/**
 * @typedef {{
 *   id: string, name: string, has?: (mail: Detail) => boolean, count?: (mail: Detail) => number,
 *   show: (context: Context) => Promise<void> | void,
 * }} Part `has`: a mail without it does not show the tab
 */

/** @param {Detail} mail */
const files = (mail) => mail.Attachments.length + mail.Inline.length;

/** @type {Part[]} */
export const PARTS = [
  { id: "text", name: "Text", show: text },
  { id: "html", name: "HTML", has: (mail) => mail.HTML !== "", show: html },
  { id: "attachments", name: "Attachments", has: (mail) => files(mail) > 0, count: files, show: attachments },
  { id: "headers", name: "Headers", show: headers },
  { id: "source", name: "Source", show: source },
  { id: "event", name: "Event", show: event },
  { id: "deliveries", name: "Deliveries", show: deliveries },
];
