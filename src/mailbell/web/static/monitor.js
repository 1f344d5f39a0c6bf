/** The IO MONITOR, live: what mail sets, and what scripts and the program say of it. */

import { button, fill, h } from "./dom.js";
import { date, number, precise } from "./format.js";
import { follow } from "./poll.js";
import { ago } from "./moments.js";
import { json } from "./json.js";
import { keep, recall } from "./prefs.js";
import { segments } from "./tabs.js";

/** @import { App } from "./app.js" */
/** @import { DataPoint } from "./api.js" */
/** @import { Route } from "./router.js" */
/** @typedef {{at: string, level: "info" | "error", source: string, text: string}} Entry */

/** Lines that are kept. */
const MOST = 2000;
const LONG = 240;
/** What the column of the sources says already. */
const PREFIX = /^IO MONITOR FORCED: /;
const POINTS_EVERY = 2000;
const TRY_AGAIN = 3000;
const KINDS = [
  { id: "all", label: ["All"] },
  { id: "io", label: ["I/O"] },
  { id: "script", label: ["Scripts"] },
  { id: "error", label: ["Errors"] },
];

export class MonitorView {
  title = "Monitor";
  field = h("input", {
    type: "search",
    placeholder: "Filter",
    "aria-label": "Filter the lines",
    autocomplete: "off",
    spellcheck: "false",
    oninput: () => this.#filter(),
  });
  kinds = h("div");
  pauser = h("span");
  state = h("p", { class: "problem", role: "status" });
  log = h("ol", {
    class: "log",
    tabindex: "0",
    "aria-label": "Lines, oldest first",
    onscroll: () => (this.jump.hidden = this.#atEnd()),
  });
  jump = h(
    "button",
    { type: "button", class: "news bottom", hidden: true, onclick: () => this.#toEnd() },
    "↓ Newest",
  );
  values = h("div", { class: "points" });

  /** @param {App} app */
  constructor(app) {
    this.app = app;
    /** @type {Entry[]} */
    this.entries = [];
    /** @type {Entry[]} those that are to be drawn with the next frame */
    this.fresh = [];
    /** @type {Entry[]} those that came while it was paused */
    this.held = [];
    this.paused = false;
    this.kind = recall("monitor") ?? "all";
    this.words = "";
    this.frame = 0;
    this.element = this.#layOut();
    this.#showTools();
    this.lastId = "";
    this.timer = 0;
    this.stream = this.#open();
    this.points = follow(POINTS_EVERY, {
      load: () => app.api.get("/api/v1/io"),
      show: (points) => this.#showPoints(points),
      fail: (error) => fill(this.values, h("p", { class: "problem" }, error.message)),
    });
  }

  #layOut() {
    return h(
      "div",
      { class: "view monitor" },
      h(
        "header",
        { class: "top" },
        h("h1", null, "Monitor"),
        h("div", { class: "search" }, this.field),
        this.kinds,
        this.pauser,
        button({ icon: "trash", text: "Clear", bare: true, key: "c", onclick: () => this.#clear() }),
      ),
      this.state,
      h(
        "div",
        { class: "columns" },
        h("section", { class: "lines", "aria-label": "Lines" }, this.log, this.jump),
        h(
          "section",
          { class: "side-panel", "aria-label": "Data points" },
          h("h2", null, "Data points"),
          this.values,
        ),
      ),
    );
  }

  /** Listen, from the last line that was heard on. */
  #open() {
    const stream = new EventSource(`/api/v1/monitor?last_event_id=${encodeURIComponent(this.lastId)}`);
    stream.addEventListener("line", (event) => {
      this.lastId = event.lastEventId;
      this.#take(JSON.parse(event.data));
    });
    stream.onopen = () => fill(this.state);
    stream.onerror = () => this.#lost();
    return stream;
  }

  show(/** @type {Route} */ _route) {}

  stop() {
    cancelAnimationFrame(this.frame);
    clearTimeout(this.timer);
    this.stream.close();
    this.points.stop();
  }

  get keys() {
    return [
      { keys: ["/"], what: "filter", run: () => this.field.focus() },
      { keys: ["p"], what: "pause, go on", run: () => this.#pause() },
      { keys: ["c"], what: "clear", run: () => this.#clear() },
      { keys: ["End", "G"], what: "to the newest line", run: () => this.#toEnd() },
    ];
  }

  #take(/** @type {Entry} */ entry) {
    if (this.paused) {
      this.held.push(entry);
      if (this.held.length > MOST) this.held.shift();
    } else {
      this.fresh.push(entry);
    }
    if (!this.frame) this.frame = requestAnimationFrame(() => this.#draw());
  }

  /** Lines may come by the thousand: they are drawn once a frame. */
  #draw() {
    this.frame = 0;
    if (this.paused) return this.#showTools();
    const atEnd = this.#atEnd();
    this.entries = [...this.entries, ...this.fresh].slice(-MOST);
    const rows = this.fresh
      .slice(-MOST)
      .filter((each) => this.#matches(each))
      .map(row);
    this.fresh = [];
    this.log.append(...rows);
    while (this.log.children.length > MOST) this.log.firstChild?.remove();
    if (atEnd) this.#toEnd();
    else this.jump.hidden = rows.length === 0 && this.jump.hidden;
  }

  #redraw() {
    fill(this.log, this.entries.filter((each) => this.#matches(each)).map(row));
    this.#toEnd();
  }

  #matches(/** @type {Entry} */ { level, source, text }) {
    if (this.kind === "error" ? level !== "error" : this.kind !== "all" && source !== this.kind) return false;
    return !this.words || text.toLowerCase().includes(this.words);
  }

  #filter() {
    this.words = this.field.value.trim().toLowerCase();
    this.#redraw();
  }

  #pause() {
    this.paused = !this.paused;
    this.fresh.push(...this.held.splice(0));
    this.#showTools();
    this.#draw();
  }

  #clear() {
    this.entries = [];
    this.fresh = [];
    this.held = [];
    fill(this.log);
    this.#showTools();
  }

  #showTools() {
    const more = this.held.length ? `, ${number(this.held.length)} new` : "";
    const choose = (/** @type {string} */ kind) => {
      this.kind = kind;
      keep("monitor", kind === "all" ? null : kind);
      this.#showTools();
      this.#redraw();
    };
    const state = JSON.stringify([this.kind, this.paused, more]);
    if (this.kinds.dataset.state === state) return;
    this.kinds.dataset.state = state;
    const focused = document.activeElement?.closest("[data-id], .pauser");
    fill(this.kinds, segments("Lines", KINDS, this.kind, choose));
    fill(
      this.pauser,
      button({
        icon: this.paused ? "play" : "pause",
        text: this.paused ? `Go on${more}` : "Pause",
        key: "p",
        kind: this.paused ? "pauser primary" : "pauser",
        onclick: () => this.#pause(),
      }),
    );
    if (focused?.classList.contains("pauser")) this.pauser.querySelector("button")?.focus();
    else if (focused)
      /** @type {HTMLElement | null} */ (this.kinds.querySelector("[aria-pressed=true]"))?.focus();
  }

  #atEnd() {
    const { scrollTop, scrollHeight, clientHeight } = this.log;
    return scrollHeight - scrollTop - clientHeight < 40;
  }

  #toEnd() {
    this.log.scrollTop = this.log.scrollHeight;
    this.jump.hidden = true;
  }

  /** The browser tries again by itself, but for an answer that was an error. */
  #lost() {
    fill(this.state, "The server does not give the lines at the moment; trying again …");
    if (this.stream.readyState !== EventSource.CLOSED) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => (this.stream = this.#open()), TRY_AGAIN);
  }

  #showPoints(/** @type {DataPoint[]} */ points) {
    if (!points.length)
      return fill(this.values, h("p", { class: "quiet" }, "None yet: the first mail sets one."));
    fill(
      this.values,
      h(
        "dl",
        null,
        ...points.map(({ name, value, at }) =>
          h(
            "div",
            null,
            h("dt", null, h("bdi", null, name), at && ago(at)),
            h("dd", null, shown(name, value)),
          ),
        ),
      ),
    );
  }
}

/**
 * A value: mail is JSON.
 * @param {string} name
 * @param {string} value
 */
function shown(name, value) {
  try {
    return json(JSON.parse(value), name);
  } catch {
    return h("bdi", null, value); // a script may set a data point to anything
  }
}

/** @param {Entry} entry */
function row({ at, level, source, text }) {
  const time = date(at);
  return h(
    "li",
    { class: `entry ${level}` },
    h("time", { datetime: at }, precise(time)),
    h("span", { class: `source ${source === "io" ? "io" : "script"}` }, source === "io" ? "I/O" : source),
    folded(text.replace(PREFIX, "")),
  );
}

/**
 * A long text, as that of a mail is, takes one line, and opens.
 * @param {string} text
 */
function folded(text) {
  if (text.length <= LONG) return h("span", { class: "said" }, h("bdi", null, text));
  const whole = h("div");
  const open = () => !whole.hasChildNodes() && fill(whole, unfolded(text));
  const summary = h("summary", null, h("bdi", null, text.slice(0, LONG)));
  return h("details", { class: "said", ontoggle: open }, summary, whole);
}

/**
 * All of it; the value of a data point as JSON.
 * @param {string} text
 */
function unfolded(text) {
  const value = / = (\{.*\})$/s.exec(text);
  return value ? shown("Value", value[1]) : h("pre", null, h("bdi", null, text));
}
