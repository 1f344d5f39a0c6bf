/** What became of the event at each sink. */

import { button, fill, h, icon } from "./dom.js";
import { messagePath } from "./api.js";
import { plural } from "./format.js";
import { link } from "./router.js";
import { ago } from "./moments.js";
import { follow } from "./poll.js";

/** @import { Context } from "./message.js" */
/** @import { SinkDelivery } from "./api.js" */
/** @typedef {(path: string, body: unknown) => void} Act */

const EVERY = 1500;
const STATES = /** @type {const} */ ({
  settled: { icon: "check", text: "delivered", kind: "done" },
  pending: { icon: "clock", text: "not tried yet", kind: "pending" },
  waiting: { icon: "replay", text: "tried again", kind: "trouble" },
  parked: { icon: "alert", text: "given up and parked", kind: "trouble" },
  skipped: { icon: "close", text: "not for this mail", kind: "skipped" },
});

/** @param {Context} context */
export function deliveries({ app, mail, panel, signal }) {
  const problem = h("p", { class: "problem", role: "alert" });
  const list = h("div", { "aria-live": "polite" });
  fill(panel, problem, list);
  const act = async (/** @type {string} */ path, /** @type {unknown} */ body) => {
    try {
      await app.api.change("POST", path, body);
    } catch (error) {
      app.notices.failed(error);
    }
    following.now();
  };
  const following = follow(EVERY, {
    load: () => app.api.get(messagePath(mail.ID, "/deliveries"), signal),
    show: (found) => (fill(problem), show(list, found, act)),
    fail: (error) => fill(problem, error.message),
  });
  signal.addEventListener("abort", following.stop);
}

/**
 * @param {HTMLElement} list
 * @param {{sequence: number, deliveries: SinkDelivery[]}} found
 * @param {Act} act
 */
function show(list, found, act) {
  const focused = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset.act;
  fill(
    list,
    found.deliveries.length
      ? h("ul", { class: "deliveries" }, ...found.deliveries.map((each) => row(each, found.sequence, act)))
      : noSinks(),
    h("p", { class: "quiet" }, `The mail is number ${found.sequence} of the journal.`),
  );
  if (focused)
    /** @type {HTMLElement | null} */ (list.querySelector(`[data-act="${CSS.escape(focused)}"]`))?.focus();
}

function noSinks() {
  return h(
    "p",
    { class: "quiet" },
    "There is no sink: events go nowhere. ",
    h("a", { href: link({ view: "sinks" }) }, "What sinks are"),
  );
}

/**
 * @param {SinkDelivery} delivery
 * @param {number} sequence
 * @param {Act} act
 */
function row({ sink, state, attempts, due, reason, at }, sequence, act) {
  const { icon: name, text, kind } = STATES[state];
  return h(
    "li",
    { class: `delivery ${kind}` },
    h("span", { class: `mark ${kind}` }, icon(name)),
    h(
      "div",
      { class: "about" },
      h("p", null, h("strong", null, sink), `: ${text}`, due && [" ", ago(due)]),
      attempts > 0 &&
        h(
          "p",
          { class: "quiet" },
          plural(attempts, "try", "tries"),
          at && [", ", attempts > 1 && "the last ", ago(at)],
        ),
      reason && h("p", { class: "reason" }, h("bdi", null, reason)),
    ),
    h("div", { class: "acts" }, ...acts(sink, state, sequence, act)),
  );
}

/**
 * @param {string} sink
 * @param {SinkDelivery["state"]} state
 * @param {number} sequence
 * @param {Act} act
 */
function acts(sink, state, sequence, act) {
  const these = { sink, sequences: [sequence] };
  const retry = () => act("/api/v1/deliveries/retry", these);
  const drop = () => act("/api/v1/deliveries/drop", these);
  const replay = () => act(`/api/v1/sinks/${encodeURIComponent(sink)}/replay`, { sequences: [sequence] });
  if (state === "waiting")
    return [
      button({
        icon: "replay",
        text: "Retry now",
        kind: "primary",
        "data-act": `retry ${sink}`,
        onclick: retry,
      }),
    ];
  if (state === "settled")
    return [button({ icon: "replay", text: "Deliver again", "data-act": `replay ${sink}`, onclick: replay })];
  if (state !== "parked") return [];
  return [
    button({
      icon: "replay",
      text: "Retry now",
      kind: "primary",
      "data-act": `retry ${sink}`,
      onclick: retry,
    }),
    button({ icon: "trash", text: "Drop", "data-act": `drop ${sink}`, onclick: drop }),
  ];
}
