// The commands of the package cypress-mailpit, on a `cy` that does what Cypress' does with them, without a browser.
// usage: node cypress-mailpit.mjs URL
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";

// The package is for bundlers: its index names files without their endings.
const file = new URL("node_modules/cypress-mailpit/dist/src/MailpitCommands.js", import.meta.url);
const { MailpitCommands } = await import(`data:text/javascript,${encodeURIComponent(await readFile(file, "utf8"))}`);

globalThis.Cypress = { expose: () => process.argv[2], config: () => 10_000 };
globalThis.cy = {
  env: async () => ({}),
  wrap: async (value) => value,
  wait: (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds)),
  async request({ method, url, qs, body }) {
    const address = new URL(url);
    for (const [name, value] of Object.entries(qs ?? {})) address.searchParams.set(name, value);
    const headers = body ? { "Content-Type": "application/json" } : {};
    const response = await fetch(address, { method, headers, body: body && JSON.stringify(body) });
    assert.equal(response.status, 200, await response.clone().text());
    const json = response.headers.get("Content-Type").startsWith("application/json");
    return { body: json ? await response.json() : await response.text() };
  },
};

const commands = new MailpitCommands();
const quickly = [0, 50, { timeout: 10_000, interval: 20 }];
await commands.mailpitDeleteAllEmails();
await commands.mailpitSendMail({ subject: "Reset your password", to: [{ Email: "jane@example.com", Name: "Jane" }] });
await commands.mailpitHasEmailsBySubject("Reset", ...quickly);
await commands.mailpitHasEmailsByTo("jane@example.com", ...quickly);
await commands.mailpitHasEmailsBySearch("is:unread", ...quickly);
const message = await commands.mailpitGetMail();
assert.equal(await commands.mailpitGetSubject(message), "Reset your password");
assert.equal(await commands.mailpitGetFromAddress(message), "from@example.com");
assert.deepEqual(await commands.mailpitGetRecipientAddress(message), ["jane@example.com"]);
assert.deepEqual(await commands.mailpitGetAttachments(message), []);
assert.match(await commands.mailpitGetMailHTMlBody(message), /<p>hello from mailpit<\/p>/);
assert.match(await commands.mailpitGetMailTextBody(message), /hello from mailpit/);
await commands.mailpitSetStatusAsUnRead(message);
assert.equal((await commands.mailpitGetAllMails()).unread, 1);
await commands.mailpitSetAllEmailStatusAsRead();
assert.equal((await commands.mailpitGetAllMails()).unread, 0);
await commands.mailpitDeleteEmailsBySearch("subject:Reset");
await commands.mailpitNotHasEmailsBySubject("Reset", ...quickly);
await commands.mailpitNotHasEmailsByTo("jane@example.com", ...quickly);
console.log("all as it should be");
