/** The small parts that need no page. */

import assert from "node:assert/strict";
import { test } from "node:test";
import * as format from "../../../src/mailbell/web/static/format.js";
import { link, parse } from "../../../src/mailbell/web/static/router.js";
import { headingsUpTo } from "../../../src/mailbell/web/static/rows.js";
import { has, tagTerm, terms, toggle } from "../../../src/mailbell/web/static/terms.js";
import { visible } from "../../../src/mailbell/web/static/connections.js";

test("sizes", () => {
  const pairs = [
    [0, "0 B"],
    [999, "999 B"],
    [1000, "1.0 kB"],
    [1234, "1.2 kB"],
    [9999, "10 kB"],
    [999_999, "1.0 MB"],
    [25e6, "25 MB"],
    [5e15, "5000 TB"],
  ];
  for (const [octets, text] of pairs) assert.equal(format.size(octets), text);
});

test("durations", () => {
  const pairs = [
    [0, "0 ms"],
    [12, "12 ms"],
    [1500, "1.5 s"],
    [45_000, "45 s"],
    [600_000, "10 min"],
    [7.2e6, "2 h"],
    [4e8, "5 days"],
    [-5, "0 ms"],
  ];
  for (const [ms, text] of pairs) assert.equal(format.duration(ms), text);
});

test("days and moments", () => {
  const now = new Date(2026, 10, 22, 12);
  assert.equal(format.day(new Date(2026, 10, 22, 0, 1), now), "Today");
  assert.equal(format.day(new Date(2026, 10, 21, 23, 59), now), "Yesterday");
  assert.match(format.day(new Date(2026, 0, 5), now), /Monday/);
  assert.match(format.day(new Date(2025, 0, 5), now), /2025/);
  assert.equal(format.day(new Date(2026, 1, 28), new Date(2026, 2, 1)), "Yesterday");
  assert.equal(format.relative(new Date(now.getTime() + 12_000), now.getTime()), "in 12 s");
  assert.equal(format.relative(new Date(now.getTime() - 300_000), now.getTime()), "5 min ago");
  assert.equal(format.relative(now, now.getTime()), "now");
});

test("a way there and back", () => {
  for (const route of [
    { view: "inbox", id: "", tab: "", query: "" },
    { view: "inbox", id: "a/b?c#d", tab: "html", query: 'subject:"x & y" 100%' },
    { view: "connections", id: "7", tab: "", query: "" },
  ]) {
    assert.deepEqual(parse(link(route)), route);
  }
  for (const strange of ["", "#", "#/", "#/nowhere/x", "#/%", "#/constructor", "#/__proto__"]) {
    assert.equal(parse(strange).view, "inbox", strange);
  }
});

test("terms of a query", () => {
  assert.deepEqual(terms('battery  -"on low" tag:"a b" subject:x'), [
    "battery",
    '-"on low"',
    'tag:"a b"',
    "subject:x",
  ]);
  assert.equal(toggle("battery", "is:unread"), "battery is:unread");
  assert.equal(toggle("battery IS:unread x", "is:unread"), "battery x");
  assert.equal(has('tag:"A b"', 'tag:"a b"'), true);
  assert.equal(tagTerm("night"), "tag:night");
  assert.equal(tagTerm('two "words"'), 'tag:"two words"');
});

test("headings above rows", () => {
  assert.deepEqual(
    [-1, 0, 1, 4, 5, 99].map((index) => headingsUpTo([0, 5, 9], index)),
    [0, 1, 1, 1, 2, 3],
  );
  assert.equal(headingsUpTo([], 3), 0);
});

test("what would turn a line around is written out", () => {
  assert.equal(visible("a\x1b[31mb\u202ec\x00\td"), "a\\x1b[31mb\\u202ec\\x00\td");
});
