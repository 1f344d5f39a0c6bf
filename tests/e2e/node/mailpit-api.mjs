// What a test suite does with the package mailpit-api. usage: node mailpit-api.mjs URL [USER PASSWORD]
import assert from "node:assert/strict";
import { MailpitClient } from "mailpit-api";

const [url, username, password] = process.argv.slice(2);
const mailpit = new MailpitClient(url, username ? { auth: { username, password } } : undefined);

// Send, and wait for what was sent.
const waiting = mailpit.waitForMessage({ query: "subject:Welcome" }, { timeout: 10_000, interval: 20 });
const picture = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const { ID } = await mailpit.sendMessage({
  From: { Email: "shop@example.com", Name: "The Shop" },
  To: [{ Email: "jane@example.com", Name: "Jane" }, { Email: "joe@example.com" }],
  Cc: [{ Email: "cc@example.com", Name: "C" }],
  Bcc: ["hidden@example.com"],
  ReplyTo: [{ Email: "help@example.com", Name: "Help" }],
  Subject: "Welcome, Jané",
  Text: "Hello Jane,\nyour code is 123456.",
  HTML: "<p>Hello <b>Jane</b>, your code is 123456.</p><img src=\"cid:logo\">",
  Tags: ["welcome", "shop"],
  Headers: { "X-Campaign": "spring" },
  Attachments: [
    { Content: Buffer.from("a,b\n1,2\n").toString("base64"), Filename: "order.csv", ContentType: "text/csv" },
    { Content: picture, Filename: "logo.png", ContentType: "image/png", ContentID: "logo" },
  ],
});
const message = await waiting;
assert.equal(message.ID, ID);
assert.equal(message.Subject, "Welcome, Jané");
assert.deepEqual(message.From, { Name: "The Shop", Address: "shop@example.com" });
assert.deepEqual(message.To.map((to) => to.Address), ["jane@example.com", "joe@example.com"]);
assert.deepEqual(message.Bcc.map((bcc) => bcc.Address), ["hidden@example.com"]);
assert.deepEqual(message.Tags, ["shop", "welcome"]);
assert.match(message.Text, /your code is (\d{6})/);
assert.match(message.HTML, /<b>Jane<\/b>/);

// A list, and its pages.
for (const Subject of ["Second", "Third"]) {
  await mailpit.sendMessage({ From: { Email: "a@example.com" }, To: [{ Email: "b@example.com" }], Subject, Text: "." });
}
const three = await mailpit.waitForMessages({ count: 3 });
assert.deepEqual(three.messages.map((each) => each.Subject), ["Third", "Second", "Welcome, Jané"]);
assert.deepEqual([three.total, three.messages_count, three.unread], [3, 3, 2]);
const page = await mailpit.listMessages(1, 1);
assert.deepEqual(page.messages.map((each) => each.Subject), ["Second"]);
assert.equal(page.start, 1);
const summary = three.messages[2];
assert.deepEqual([summary.ID, summary.Read, summary.Attachments], [ID, true, 1]);
assert.ok(summary.Snippet.startsWith("Hello Jane"));
assert.ok(Math.abs(Date.parse(summary.Created) - Date.now()) < 60_000);

// Search.
const found = await mailpit.searchMessages({ query: 'from:shop@example.com "your code"' });
assert.deepEqual(found.messages.map((each) => each.ID), [ID]);
assert.equal((await mailpit.searchMessages({ query: "subject:nothing" })).messages_count, 0);
assert.equal((await mailpit.searchMessages({ query: "has:attachment is:read tag:shop" })).messages_count, 1);

// Headers, source, parts, thumbnails, how it looks.
const headers = await mailpit.getMessageHeaders(ID);
assert.deepEqual(headers["X-Campaign"], ["spring"]);
assert.deepEqual(headers["Message-Id"].length, 1);
assert.match(await mailpit.getMessageSource(ID), /^From: The Shop <shop@example\.com>\r\n/);
assert.deepEqual(message.Attachments.map((each) => [each.FileName, each.ContentType]), [["order.csv", "text/csv"]]);
const csv = await mailpit.getMessageAttachment(ID, message.Attachments[0].PartID);
assert.equal(await csv.text(), "a,b\n1,2\n");
assert.ok(csv.type.startsWith("text/csv"));
const [logo] = message.Inline;
assert.equal(logo.ContentID, "logo");
assert.equal((await mailpit.getMessageAttachment(ID, logo.PartID)).size, logo.Size);
assert.equal((await mailpit.getAttachmentThumbnail(ID, logo.PartID)).type, "image/jpeg");
assert.match(await mailpit.renderMessageHTML(ID), /<b>Jane<\/b>.*data:image\/png/);
assert.match(await mailpit.renderMessageText(ID), /your code is 123456/);
await assert.rejects(mailpit.getMessageSummary("none"), /404/);

// Read and unread.
assert.equal(await mailpit.setReadStatus({ IDs: [ID], Read: false }), "ok");
assert.equal((await mailpit.listMessages()).unread, 3);
assert.equal(await mailpit.setReadStatus({ Search: "subject:Second", Read: true }, { tz: "Europe/Rome" }), "ok");
assert.equal((await mailpit.searchMessages({ query: "is:read" })).messages[0].Subject, "Second");
assert.equal(await mailpit.setReadStatus(), "ok");
assert.equal((await mailpit.listMessages()).unread, 3);

// Tags.
assert.deepEqual(await mailpit.getTags(), ["shop", "welcome"]);
assert.equal(await mailpit.setTags({ IDs: [ID], Tags: ["vip", "a b"] }), "ok");
assert.equal(await mailpit.renameTag("vip", "gold"), "ok");
assert.equal(await mailpit.deleteTag("a b"), "ok");
assert.deepEqual((await mailpit.searchMessages({ query: "tag:gold" })).messages[0].Tags, ["gold"]);

// The server.
const info = await mailpit.getInfo();
assert.deepEqual([info.Messages, info.Tags], [3, { gold: 1 }]);
const configuration = await mailpit.getConfiguration();
assert.equal(configuration.MessageRelay.Enabled, true);
assert.equal(await mailpit.releaseMessage(ID, { To: ["office@example.com"] }), "ok");
const off = await mailpit.setChaosTriggers();
assert.equal(off.Sender.Probability, 0);
const chaos = await mailpit.setChaosTriggers({ Recipient: { ErrorCode: 451, Probability: 5 } });
assert.deepEqual(chaos.Recipient, { ErrorCode: 451, Probability: 5 });
await mailpit.setChaosTriggers();
assert.equal((await mailpit.getChaosTriggers()).Recipient.Probability, 0);

// Delete: one, what a search finds, all.
assert.equal(await mailpit.deleteMessages({ IDs: [three.messages[0].ID] }), "ok");
assert.equal(await mailpit.deleteMessagesBySearch({ query: "subject:Second" }), "ok");
assert.deepEqual((await mailpit.listMessages()).messages.map((each) => each.ID), [ID]);
assert.equal(await mailpit.deleteMessages(), "ok");
assert.deepEqual((await mailpit.listMessages()).messages, []);
await assert.rejects(mailpit.waitForMessage({ query: "x" }, { timeout: 50, interval: 20 }), /Timeout/);
console.log("all as it should be");
