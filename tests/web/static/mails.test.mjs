/** The list of mails against a server on which anything may happen while answers and news are on their way. */

import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { Mails, PAGE } from "../../../src/mailbell/web/static/mails.js";

mock.timers.enable({ apis: ["setTimeout"] });

/** Numbers that look random, and are the same each time. */
function random(seed) {
  return (below) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
}

const settle = () => new Promise(setImmediate);

/** A server: its mails, the answers that it owes, the news that it has sent. */
class Server {
  constructor(count) {
    this.next = 0;
    this.mails = [];
    this.news = [];
    this.requests = [];
    for (let index = 0; index < count; index += 1) this.mails.unshift(this.make());
  }

  make() {
    const number = this.next++;
    return {
      ID: `m${number}`,
      Sequence: number + 1,
      Created: new Date(2026, 0, 1, 0, number * 20).toISOString(),
      Read: false,
      Tags: [],
    };
  }

  arrive() {
    const mail = this.make();
    this.mails.unshift(mail);
    this.news.push({ Type: "new", Data: { ...mail } });
  }

  remove(index) {
    const [mail] = this.mails.splice(index, 1);
    if (mail) this.news.push({ Type: "delete", Data: { ID: mail.ID } });
  }

  mark(index) {
    const mail = this.mails[index];
    if (!mail) return;
    mail.Read = !mail.Read;
    this.news.push({ Type: "update", Data: { ID: mail.ID, Read: mail.Read } });
  }

  empty() {
    this.mails = [];
    this.news.push({ Type: "truncate", Data: null });
  }

  get = (path) =>
    new Promise((resolve, reject) => this.requests.push({ path, resolve, reject, answer: null }));

  /** Look at the mails for one of the requests. */
  evaluate(request) {
    const query = new URLSearchParams(request.path.split("?")[1]);
    const start = Number(query.get("start"));
    const messages = this.mails.slice(start, start + Number(query.get("limit"))).map((each) => ({ ...each }));
    const total = this.mails.length;
    request.answer ??= { total, unread: total, messages_count: total, start, tags: [], messages };
  }

  async send(index) {
    const [request] = this.requests.splice(index, 1);
    if (!request) return;
    this.evaluate(request);
    request.resolve(request.answer);
    await settle();
  }

  /** Until nothing is on its way any more. */
  async flush(mails) {
    for (let round = 0; round < 200; round += 1) {
      while (this.news.length) mails.hear(this.news.shift());
      while (this.requests.length) await this.send(0);
      mock.timers.tick(5000);
      await settle();
      if (!this.requests.length && !this.news.length) return;
    }
    assert.fail("it never comes to rest");
  }
}

async function opened(server) {
  const mails = new Mails(server.get);
  mails.open("");
  await server.send(0);
  return mails;
}

async function all(server, mails) {
  for (let first = 0; first < mails.length; first += PAGE) {
    mails.look(first, Math.min(first + PAGE, mails.length) - 1);
    await server.flush(mails);
  }
  return Array.from({ length: mails.length }, (_, index) => mails.at(index)?.ID);
}

test("a mail that arrives is the first", async () => {
  const server = new Server(3);
  const mails = await opened(server);
  server.arrive();
  mails.hear(server.news.shift());
  assert.deepEqual(await all(server, mails), ["m3", "m2", "m1", "m0"]);
  assert.equal(mails.count, 4);
});

test("what is told twice is there once", async () => {
  const server = new Server(3);
  const mails = new Mails(server.get);
  mails.open("");
  server.arrive();
  await server.send(0); // the answer knows of it, and then it is told
  mails.hear(server.news.shift());
  assert.deepEqual(await all(server, mails), ["m3", "m2", "m1", "m0"]);
});

test("pages are asked for when somebody looks, and once", async () => {
  const server = new Server(1000);
  const mails = await opened(server);
  mails.look(450, 460);
  mails.look(455, 465);
  assert.deepEqual(
    server.requests.map(({ path }) => path),
    [`/api/v1/messages?start=400&limit=${PAGE}`],
  );
  await server.flush(mails);
  assert.equal(mails.at(450)?.ID, "m549");
  assert.equal(mails.at(250), undefined);
});

test("an answer that is late finds its places", async () => {
  const server = new Server(1000);
  const mails = await opened(server);
  mails.look(400, 410);
  server.evaluate(server.requests[0]);
  for (let count = 0; count < 5; count += 1) server.arrive();
  for (const each of server.news.splice(0)) mails.hear(each);
  await server.send(0);
  assert.equal(mails.at(405)?.ID, "m599");
  assert.equal(mails.at(399), undefined);
});

test("whatever happens, the list ends up as the server has it", async () => {
  for (let seed = 1; seed <= 150; seed += 1) {
    const pick = random(seed);
    const server = new Server(pick(450));
    const mails = await opened(server);
    for (let step = 0; step < 60; step += 1) {
      const what = pick(100);
      if (pick(4) === 0) server.mark(pick(server.mails.length || 1));
      if (what < 25) server.arrive();
      else if (what < 40) server.remove(pick(server.mails.length || 1));
      else if (what < 42) server.empty();
      else if (what < 60 && server.news.length) mails.hear(server.news.shift());
      else if (what < 70 && server.requests.length)
        server.evaluate(server.requests[pick(server.requests.length)]);
      else if (what < 85) await server.send(pick(server.requests.length || 1));
      else if (what < 95) mails.look(pick(400), pick(400) + 5);
      else mock.timers.tick(200);
    }
    await server.flush(mails);
    assert.deepEqual(
      await all(server, mails),
      server.mails.map(({ ID }) => ID),
      `seed ${seed}`,
    );
    assert.deepEqual(
      mails.items.map(({ Read }) => Read),
      server.mails.map(({ Read }) => Read),
      `seed ${seed}`,
    );
    assert.equal(mails.known.size, mails.items.filter(Boolean).length, `seed ${seed}`);
  }
});

test("a search is asked anew when mail comes, and counts on behind its limit", async () => {
  const server = new Server(300);
  const mails = await opened(server);
  mails.open("gate & door");
  assert.match(
    server.requests[0].path,
    /^\/api\/v1\/search\?query=gate%20%26%20door&tz=[^&]+&start=0&limit=100$/,
  );
  server.evaluate(server.requests[0]);
  server.requests[0].answer.messages_count = 10_000;
  await server.send(0);
  assert.equal(mails.uncounted, true);
  assert.equal(mails.count, 10_000);
  server.arrive();
  mails.hear(server.news.shift());
  assert.equal(mails.at(0)?.ID, "m299");
  mock.timers.tick(200);
  assert.equal(server.requests.length, 1);
});

test("a server that does not answer is asked again", async () => {
  const server = new Server(3);
  const mails = new Mails(server.get);
  mails.open("");
  server.requests.shift().reject(new Error("away"));
  await settle();
  assert.equal(mails.trouble?.message, "away");
  mock.timers.tick(2000);
  await server.send(0);
  assert.equal(mails.trouble, null);
  assert.equal(mails.count, 3);
});

test("days begin where the mail above is of another one", async () => {
  const server = new Server(200);
  const mails = await opened(server);
  const days = mails.days.map((index) => mails.at(index)?.Created.slice(0, 10));
  assert.equal(mails.days[0], 0);
  assert.equal(new Set(days).size, days.length);
  mails.look(150, 199);
  await server.flush(mails);
  assert.equal(mails.days.length, 3);
});

test("a search is shown however fast mail comes in, and however slow the answers are", async () => {
  const server = new Server(300);
  const mails = await opened(server);
  mails.open("door");
  let shown = 0;
  mails.addEventListener("change", () => (shown += Number(mails.ready)));
  for (let step = 0; step < 50; step += 1) {
    server.arrive();
    mails.hear(server.news.shift());
    mock.timers.tick(100);
    if (step % 10 === 9) await server.send(0);
  }
  assert.ok(shown >= 4, `${shown} answers were shown`);
});

test("what is told of a mail holds, though an answer on its way does not know of it", async () => {
  const server = new Server(3);
  const mails = await opened(server);
  mails.reload();
  server.evaluate(server.requests[0]);
  mails.hear({ Type: "update", Data: { ID: "m2", Read: true } });
  await server.send(0);
  assert.equal(mails.at(0)?.Read, true);
});
