/** The sinks: how each is doing, what it has given up, and a hand on it. */

import { button, fill, h } from "./dom.js";
import { number, plural } from "./format.js";
import { ask, confirm } from "./dialog.js";
import { bars } from "./charts.js";
import { ago } from "./moments.js";
import { follow } from "./poll.js";

/** @import { App } from "./app.js" */
/** @import { Parked, Sink } from "./api.js" */
/** @import { Route } from "./router.js" */

const EVERY = 2000;
/** Parked events listed on a card. */
const MOST = 50;
const STATES = /** @type {const} */ ({ up: "Up", down: "Down", paused: "Paused" });

export class SinksView {
  title = "Sinks";

  /** @param {App} app */
  constructor(app) {
    this.app = app;
    /** @type {Set<string>} cards that show their parked events */
    this.opened = new Set();
    this.problem = h("p", { class: "problem", role: "alert" });
    this.cards = h("div", { class: "sinks" });
    this.element = h(
      "div",
      { class: "view" },
      h("header", { class: "top" }, h("h1", null, "Sinks")),
      this.problem,
      h("div", { class: "scroll" }, this.cards),
    );
    this.following = follow(EVERY, {
      load: () => this.#load(),
      show: ({ sinks, parked }) => this.#show(sinks, parked),
      fail: (error) => fill(this.problem, error.message),
    });
  }

  show(/** @type {Route} */ _route) {}

  stop() {
    this.following.stop();
  }

  get keys() {
    return [];
  }

  /** @returns {Promise<{sinks: Sink[], parked: Parked[]}>} */
  async #load() {
    /** @type {Sink[]} */
    const sinks = await this.app.api.get("/api/v1/sinks");
    const parked = sinks.some((each) => each.parked)
      ? await this.app.api.get("/api/v1/deliveries?state=parked")
      : [];
    return { sinks, parked };
  }

  #show(/** @type {Sink[]} */ sinks, /** @type {Parked[]} */ parked) {
    fill(this.problem);
    const focused = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset.act;
    if (sinks.length)
      fill(
        this.cards,
        sinks.map((each) =>
          this.#card(
            each,
            parked.filter(({ sink }) => sink === each.name),
          ),
        ),
      );
    else fill(this.cards, none());
    if (focused)
      /** @type {HTMLElement | null} */ (
        this.cards.querySelector(`[data-act="${CSS.escape(focused)}"]`)
      )?.focus({ preventScroll: true });
  }

  #card(/** @type {Sink} */ sink, /** @type {Parked[]} */ parked) {
    const id = `sink-${sink.name}`;
    return h(
      "section",
      { class: `sink ${sink.state}`, "aria-labelledby": id },
      h(
        "header",
        null,
        h("h2", { id }, sink.name),
        h("span", { class: `state ${sink.state}` }, STATES[sink.state]),
      ),
      h("p", { class: "quiet describe", title: sink.describe }, h("bdi", null, sink.describe)),
      history(sink),
      figures(sink),
      sink.paused && h("p", { class: "note" }, `Paused: ${sink.paused}.`),
      lastError(sink),
      sink.parked > 0 && this.#parked(sink, parked),
      h("footer", null, ...this.#acts(sink)),
    );
  }

  #acts(/** @type {Sink} */ sink) {
    const path = `/api/v1/sinks/${encodeURIComponent(sink.name)}`;
    const paused = sink.state === "paused";
    return [
      paused
        ? button({
            icon: "play",
            text: "Resume",
            kind: "primary",
            "data-act": `pause ${sink.name}`,
            onclick: () => this.#do(`${path}/resume`),
          })
        : button({
            icon: "pause",
            text: "Pause",
            "data-act": `pause ${sink.name}`,
            onclick: () => this.#do(`${path}/pause`),
          }),
      button({
        icon: "replay",
        text: "Replay …",
        "data-act": `replay ${sink.name}`,
        onclick: () => this.#replay(sink, path),
      }),
    ];
  }

  #parked(/** @type {Sink} */ sink, /** @type {Parked[]} */ parked) {
    const toggle = (/** @type {Event} */ event) => {
      if (/** @type {HTMLDetailsElement} */ (event.target).open) this.opened.add(sink.name);
      else this.opened.delete(sink.name);
    };
    const all = parked.map(({ sequence }) => sequence);
    return h(
      "details",
      { class: "parked", open: this.opened.has(sink.name), ontoggle: toggle },
      h("summary", { "data-act": `open ${sink.name}` }, `${plural(sink.parked, "event")} parked`),
      h(
        "div",
        { class: "tools" },
        button({
          icon: "replay",
          text: "Retry all",
          "data-act": `retry all ${sink.name}`,
          onclick: () => this.#retry(sink.name, all),
        }),
        button({
          icon: "trash",
          text: "Drop all",
          kind: "danger",
          "data-act": `drop all ${sink.name}`,
          onclick: () => this.#drop(sink.name, all),
        }),
      ),
      h("ul", null, ...parked.slice(0, MOST).map((each) => this.#event(each))),
      parked.length > MOST && h("p", { class: "quiet" }, `and ${number(parked.length - MOST)} more`),
    );
  }

  #event(/** @type {Parked} */ { sink, sequence, attempts, parked_at, reason }) {
    return h(
      "li",
      null,
      h(
        "p",
        null,
        h("strong", null, `Mail ${number(sequence)}`),
        ` ${plural(attempts, "try", "tries")}, parked `,
        ago(parked_at),
      ),
      h("p", { class: "reason" }, h("bdi", null, reason)),
      h(
        "div",
        { class: "acts" },
        button({
          icon: "replay",
          text: "Retry",
          "data-act": `retry ${sink} ${sequence}`,
          onclick: () => this.#retry(sink, [sequence]),
        }),
        button({
          icon: "trash",
          text: "Drop",
          "data-act": `drop ${sink} ${sequence}`,
          onclick: () => this.#drop(sink, [sequence]),
        }),
      ),
    );
  }

  #retry(/** @type {string} */ sink, /** @type {number[]} */ sequences) {
    return this.#do("/api/v1/deliveries/retry", { sink, sequences });
  }

  async #drop(/** @type {string} */ sink, /** @type {number[]} */ sequences) {
    const text = `${sink} never gets ${sequences.length === 1 ? "it" : "them"}. The mail stays in the inbox.`;
    const sure = await confirm({
      title: `Drop ${plural(sequences.length, "parked event")}?`,
      text,
      action: "Drop",
      danger: true,
    });
    if (sure) await this.#do("/api/v1/deliveries/drop", { sink, sequences });
  }

  /** Ask from when on, and deliver once more. */
  #replay(/** @type {Sink} */ sink, /** @type {string} */ path) {
    const since = h("input", {
      type: "datetime-local",
      value: localInput(new Date(Date.now() - 3_600_000)),
      required: true,
    });
    ask({
      title: `Replay to ${sink.name}`,
      fields: [
        h("p", null, "Every mail received since then is delivered to this sink once more."),
        h("label", { class: "field" }, h("span", null, "Since"), since),
      ],
      action: "Replay",
      run: async () => {
        const moment = new Date(since.value).getTime() / 1000;
        if (!Number.isFinite(moment)) throw new Error("Give a day and a time.");
        const { replayed } = await this.app.api.change("POST", `${path}/replay`, { since: moment });
        this.app.notices.done(`${plural(replayed, "event")} on the way to ${sink.name} again.`);
        this.following.now();
      },
    });
  }

  async #do(/** @type {string} */ path, /** @type {unknown} */ body = {}) {
    try {
      await this.app.api.change("POST", path, body);
    } catch (error) {
      this.app.notices.failed(error);
    }
    this.following.now();
  }
}

/** @param {Sink} sink */
function history({ history: values = [] }) {
  const sum = values.reduce((total, value) => total + value, 0);
  const label = `Delivered over the last hour: ${plural(sum, "event")}`;
  const titles = values.map((value, index) => `${value}, ${values.length - 1 - index} min ago`);
  return h(
    "figure",
    { class: "spark" },
    bars({ values, titles, label, height: 36 }),
    h("figcaption", null, `${number(sum)} in the last hour`),
  );
}

/** @param {Sink} sink */
function figures({ lag, delivered, retried, rate }) {
  const pairs = [
    ["Waiting", number(lag)],
    ["Delivered", number(delivered)],
    ["Retried", number(retried)],
    ["Per minute", (rate * 60).toLocaleString(undefined, { maximumFractionDigits: 1 })],
  ];
  return h(
    "dl",
    { class: "figures" },
    ...pairs.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))),
  );
}

/** @param {Sink} sink */
function lastError({ state, last_error, last_error_at }) {
  if (!last_error) return null;
  return h(
    "div",
    { class: `last-error ${state === "down" ? "now" : ""}` },
    h("p", null, h("strong", null, "Last error"), " ", last_error_at && ago(last_error_at)),
    h("p", { class: "reason" }, h("bdi", null, last_error)),
  );
}

function none() {
  const example = '[sinks.alarms]\ntype = "script"\npath = "alarms.js"';
  return h(
    "section",
    { class: "first" },
    h("h2", null, "No sinks yet"),
    h(
      "p",
      null,
      "A sink is where events go: a script, a command, a webhook, an MQTT broker, another mail server. Add one to the settings; on SIGHUP mailbell reads them again.",
    ),
    h("pre", { class: "command", tabindex: "0", "aria-label": "An example" }, example),
  );
}

/** @param {Date} at */
function localInput(at) {
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
