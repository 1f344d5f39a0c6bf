/** An inbox without mail: how to send the first one. */

import { button, h, icon } from "./dom.js";
import { copyButton } from "./copy.js";

/** @import { App } from "./app.js" */
/** @import { Status } from "./api.js" */

/**
 * @param {App} app
 * @param {Status | null} status
 */
export function firstMail(app, status) {
  const server = status && serverOf(status);
  return h(
    "section",
    { class: "first" },
    h("div", { class: "bell" }, icon("mail")),
    h("h2", null, "No mail yet"),
    h(
      "p",
      null,
      "Mail shows up here the moment it arrives. Point a device at this server, or send one yourself.",
    ),
    server && device(server),
    server && commands(server),
    !server &&
      status &&
      h(
        "p",
        { class: "problem" },
        "No I/O server is listening: add one to the settings and start mailbell again.",
      ),
    h(
      "p",
      null,
      button({
        icon: "send",
        text: "Send a test mail from here",
        kind: "primary",
        onclick: () => sendTest(app),
      }),
    ),
  );
}

/** @param {{host: string, port: string}} server */
function device({ host, port }) {
  return h(
    "dl",
    { class: "device" },
    h("div", null, h("dt", null, "SMTP server"), h("dd", null, host)),
    h("div", null, h("dt", null, "Port"), h("dd", null, port)),
    h("div", null, h("dt", null, "Recipient"), h("dd", null, "any address")),
  );
}

/** @param {{host: string, port: string}} server */
function commands({ host, port }) {
  const server = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  return h(
    "div",
    { class: "commands" },
    command(`mailbell send --server ${server}`),
    command(`swaks --server ${server} --to alarm@house.lan`),
  );
}

/** @param {string} text */
function command(text) {
  return h(
    "p",
    { class: "command" },
    h("code", null, text),
    copyButton(() => text, "Copy the command"),
  );
}

/** @param {App} app */
async function sendTest(app) {
  const mail = {
    From: { Email: "page@mailbell.lan", Name: "mailbell's page" },
    To: [{ Email: "test@mailbell.lan" }],
    Subject: "A test mail",
    Text: "This mail was sent from mailbell's page.\n\nIt went the way of all mail: into the journal, then to every sink.\n",
  };
  try {
    await app.api.change("POST", "/api/v1/send", mail);
  } catch (error) {
    app.notices.failed(error);
  }
}

/**
 * Where a device reaches the server: one that listens on all addresses by the name that this page has.
 * @param {Status} status
 */
export function serverOf({ ioservers }) {
  const address = ioservers.flatMap(({ listening }) => listening)[0];
  const found = address && /^\[?(.*?)\]?:(\d+)$/.exec(address);
  if (!found) return null;
  const isAny = found[1] === "0.0.0.0" || found[1] === "::";
  return { host: isAny ? location.hostname.replace(/^\[|\]$/g, "") : found[1], port: found[2] };
}
