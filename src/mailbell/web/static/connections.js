/** The last SMTP connections: what was said, and in a sentence why each ended. Those that failed stand first. */

import { fill, foreign, h, icon, unseen } from "./dom.js";
import { date, duration, full, moment, plural } from "./format.js";
import { follow } from "./poll.js";
import { copyButton } from "./copy.js";
import { link } from "./router.js";

/** @import { App } from "./app.js" */
/** @import { Line, Session } from "./api.js" */
/** @import { Route } from "./router.js" */

const EVERY = 2000;
const LIMIT = 400;
const SPEAKERS = /** @type {Record<string, string>} */ ({ "<": "Client: ", ">": "Server: ", "=": "" });

export class ConnectionsView {
  title = "Connections";

  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.id = "";
    /** @type {Session[]} */
    this.sessions = [];
    this.shown = "";
    this.list = h("div", { class: "groups" });
    this.pane = h("article", { class: "transcript", "aria-label": "Transcript", tabindex: "-1" });
    this.problem = h("p", { class: "problem", role: "alert" });
    this.element = h(
      "div",
      { class: "view connections" },
      h(
        "header",
        { class: "top" },
        h("h1", null, "Connections"),
        h("p", { class: "count" }, "The last 200 that failed, and the last 200 that brought mail"),
      ),
      this.problem,
      h("div", { class: "columns" }, this.list, this.pane),
    );
    this.following = follow(EVERY, {
      load: async () => (await app.api.get(`/api/v1/sessions?limit=${LIMIT}`)).sessions,
      show: (sessions) => this.#take(sessions),
      fail: (error) => fill(this.problem, error.message),
    });
  }

  /** @param {Route} route */
  show({ id }) {
    this.id = id;
    this.element.classList.toggle("reading", id !== "");
    this.#mark();
    this.#load();
  }

  stop() {
    this.following.stop();
  }

  get keys() {
    return [
      { keys: ["j", "ArrowDown"], what: "next connection", run: () => this.#move(1) },
      { keys: ["k", "ArrowUp"], what: "previous connection", run: () => this.#move(-1) },
      { keys: ["Escape", "u"], what: "back to the list", run: () => this.app.go({ view: "connections" }) },
    ];
  }

  #move(/** @type {number} */ step) {
    const links = [...this.list.querySelectorAll("a")];
    const at = links.findIndex((each) => each.dataset.id === this.id || each === document.activeElement);
    const next = links[Math.max(0, at + step)];
    if (!next) return;
    next.focus();
    this.app.go({ view: "connections", id: next.dataset.id }, { replace: this.id !== "" });
  }

  #take(/** @type {Session[]} */ sessions) {
    fill(this.problem);
    this.sessions = sessions;
    const focused = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset.id;
    const open = sessions.filter(({ ended_at }) => ended_at === null);
    const failed = sessions.filter((each) => each.failed);
    const good = sessions.filter((each) => each.ended_at !== null && !each.failed);
    if (sessions.length)
      fill(
        this.list,
        group("Failed", failed, "None has failed."),
        group("Open", open, ""),
        group("Brought mail", good, ""),
      );
    else fill(this.list, none());
    this.#mark();
    if (focused)
      /** @type {HTMLElement | null} */ (
        this.list.querySelector(`[data-id="${CSS.escape(focused)}"]`)
      )?.focus({ preventScroll: true });
    this.#load();
  }

  #mark() {
    for (const each of this.list.querySelectorAll("a")) {
      if (each.dataset.id === this.id) each.setAttribute("aria-current", "true");
      else each.removeAttribute("aria-current");
    }
  }

  /** The transcript of the one that is chosen; of one that is open again and again. */
  async #load() {
    const { id } = this;
    if (!id) return this.#showNothing();
    const known = this.sessions.find((each) => String(each.id) === id);
    if (this.shown === id && known && known.ended_at !== null) return;
    try {
      const session = await this.app.api.get(`/api/v1/sessions/${encodeURIComponent(id)}`);
      if (id !== this.id) return;
      this.shown = session.ended_at === null ? "" : id;
      this.#showTranscript(session);
    } catch (error) {
      if (id !== this.id) return;
      this.shown = "";
      fill(
        this.pane,
        back(),
        h("p", { class: "problem", role: "alert" }, /** @type {Error} */ (error).message),
      );
    }
  }

  #showNothing() {
    this.shown = "";
    fill(this.pane, h("p", { class: "quiet center" }, "Choose a connection to see what was said."));
  }

  #showTranscript(/** @type {Session} */ session) {
    const lines = session.lines ?? [];
    const text = () =>
      lines
        .map(({ at, mark, text: said }) => `${at.toFixed(3)} ${mark} ${said}`)
        .concat(session.outcome)
        .join("\n");
    fill(
      this.pane,
      back(),
      h("header", { class: "head" }, h("h2", null, who(session)), copyButton(text, "Copy", false)),
      h(
        "p",
        { class: `outcome ${session.failed ? "failed" : ""}` },
        session.failed && icon("alert"),
        h("bdi", null, session.outcome || "It is still open."),
      ),
      facts(session),
      session.left_out
        ? h("p", { class: "quiet" }, `The first ${plural(session.left_out, "line")} are not kept.`)
        : null,
      h("ol", { class: "dialogue", tabindex: "0", "aria-label": "Dialogue" }, ...lines.map(said)),
    );
  }
}

/**
 * @param {string} title
 * @param {Session[]} sessions
 * @param {string} empty
 */
function group(title, sessions, empty) {
  if (!sessions.length && !empty) return null;
  return h(
    "section",
    { class: "group", "aria-label": title },
    h("h2", null, title, " ", h("span", { class: "badge" }, String(sessions.length))),
    sessions.length ? h("ul", null, ...sessions.map(item)) : h("p", { class: "quiet" }, empty),
  );
}

/** @param {Session} session */
function item(session) {
  const state = session.failed ? "failed" : session.ended_at === null ? "open" : "good";
  return h(
    "li",
    null,
    h(
      "a",
      {
        href: link({ view: "connections", id: String(session.id) }),
        class: state,
        "data-id": String(session.id),
      },
      h("span", { class: "who" }, foreign(session.ip), h("span", { class: "to" }, ` to ${session.ioserver}`)),
      session.tls && h("span", { class: "tls" }, icon("lock"), session.tls),
      h("time", { datetime: date(session.started_at).toISOString() }, moment(date(session.started_at))),
      h("span", { class: "why" }, h("bdi", null, sentence(session))),
    ),
  );
}

/** @param {Session} session */
function sentence({ outcome, ended_at, mails, failed }) {
  if (ended_at === null) return "Still open.";
  return `${failed ? "No mail" : plural(mails, "mail")}. ${outcome}`;
}

/** @param {Session} session */
function who({ ip, port, ioserver }) {
  return [foreign(ip), h("span", { class: "quiet" }, ` port ${port} to ${ioserver}`)];
}

/** @param {Session} session */
function facts({ started_at, ended_at, tls, mails }) {
  const lasted = ended_at === null ? "open" : `for ${duration((ended_at - started_at) * 1000)}`;
  const parts = [full(date(started_at)), lasted, tls || "without TLS", plural(mails, "mail")];
  return h("p", { class: "quiet" }, parts.join(" · "));
}

/** @param {Line} line */
function said({ at, mark, text }) {
  const kind =
    mark === "<" ? "client" : mark === "=" ? "note" : /^[45]\d\d/.test(text) ? "refusal" : "server";
  return h(
    "li",
    { class: kind },
    h("span", { class: "at" }, at.toFixed(3)),
    h("span", { class: "mark", "aria-hidden": "true" }, mark),
    h("span", { class: "line" }, unseen(SPEAKERS[mark] ?? ""), h("bdi", null, visible(text))),
  );
}

/**
 * Control characters as they are written in a program: here they would be nothing, or turn the text around.
 * @param {string} text
 */
export function visible(text) {
  return text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g, (each) => {
    const code = each.codePointAt(0) ?? 0;
    return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16)}`;
  });
}

function back() {
  return h(
    "a",
    { class: "button bare back", href: link({ view: "connections" }), "aria-label": "Back to the list" },
    icon("left"),
  );
}

function none() {
  return h(
    "section",
    { class: "first" },
    h("h2", null, "No connections yet"),
    h(
      "p",
      null,
      "When a device connects it shows up here, with all that was said. If its test fails and nothing shows, it did not get here: check the address and port in the device, and a firewall in between.",
    ),
  );
}
