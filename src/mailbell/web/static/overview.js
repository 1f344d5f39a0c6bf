/** The whole in figures and small plots. */

import { button, fill, h, icon } from "./dom.js";
import { clock, date, duration, number, plural, size } from "./format.js";
import { bars, share } from "./charts.js";
import { ago } from "./moments.js";
import { follow } from "./poll.js";
import { link } from "./router.js";
import { themeChoice } from "./theme.js";

/** @import { App } from "./app.js" */
/** @import { Ha, Sink, Stats, Status } from "./api.js" */
/** @import { Route } from "./router.js" */

const EVERY = 3000;
const MODES = /** @type {const} */ ({
  single: "Single node",
  "active-standby": "Active and standby",
  "all-active": "All nodes active",
});

export class OverviewView {
  title = "Overview";

  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.problem = h("p", { class: "problem", role: "alert" });
    this.tiles = h("div", { class: "tiles" });
    this.element = h(
      "div",
      { class: "view" },
      h("header", { class: "top" }, h("h1", null, "Overview")),
      this.problem,
      h("div", { class: "scroll" }, this.tiles),
    );
    this.following = follow(EVERY, {
      load: () => this.#load(),
      show: (all) => this.#show(all),
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

  /** @returns {Promise<{stats: Stats, ha: Ha, status: Status}>} */
  async #load() {
    const { api } = this.app;
    const [stats, ha, status] = await Promise.all([
      api.get("/api/v1/stats"),
      api.get("/api/v1/ha"),
      api.get("/api/v1/status"),
    ]);
    return { stats, ha, status };
  }

  #show(/** @type {{stats: Stats, ha: Ha, status: Status}} */ { stats, ha, status }) {
    fill(this.problem);
    fill(
      this.tiles,
      status.journal.trouble && alarm("Mail is refused", status.journal.trouble),
      mails(stats),
      latency(stats),
      disk(stats, status),
      nodes(ha),
      servers(status),
      sinks(status.sinks),
      program(stats, status, this.app),
    );
  }
}

/**
 * @param {string} title
 * @param {string} kind
 * @param {...import("./dom.js").Child} content
 */
function tile(title, kind, ...content) {
  return h("section", { class: `tile ${kind}`, "aria-label": title }, h("h2", null, title), ...content);
}

/**
 * @param {string | number} value
 * @param {string} [unit]
 */
function big(value, unit) {
  return h("p", { class: "big" }, String(value), unit && h("small", null, ` ${unit}`));
}

/**
 * @param {string} title
 * @param {string} text
 */
function alarm(title, text) {
  return h(
    "section",
    { class: "tile alarm", role: "alert" },
    h("h2", null, icon("alert"), title),
    h("p", null, h("bdi", null, text)),
  );
}

/** @param {Stats} stats */
function mails({ minutes }) {
  const values = minutes.map((each) => each.mails);
  const refused = minutes.map((each) => each.refused);
  const sum = values.reduce((total, value) => total + value, 0);
  const lost = refused.reduce((total, value) => total + value, 0);
  const titles = minutes.map(
    ({ at, mails: count, octets, refused: no }) =>
      `${clock(date(at))}: ${plural(count, "mail")}, ${size(octets)}${no ? `, ${no} refused` : ""}`,
  );
  const most = Math.max(0, ...values);
  const label = `Mails per minute over the last hour: ${number(sum)} in all, at most ${number(most)} in a minute, ${number(lost)} refused`;
  return tile(
    "Mails per minute",
    "wide",
    h(
      "div",
      { class: "row" },
      big(number(sum), "in the last hour"),
      lost > 0 && h("p", { class: "bad" }, `${number(lost)} refused`),
      h("p", { class: "quiet" }, `at most ${number(most)} a minute`),
    ),
    h("figure", { class: "plot" }, bars({ values, titles, label, height: 96, marked: refused })),
    h(
      "p",
      { class: "axis quiet", "aria-hidden": "true" },
      h("span", null, minutes[0] ? clock(date(minutes[0].at)) : ""),
      h("span", null, "now"),
    ),
  );
}

/** @param {Stats} stats */
function latency({ latency: found }) {
  const body = found
    ? [
        big(duration(found.p50)),
        h("p", { class: "quiet" }, `half of all; 99 of 100 within ${duration(found.p99)}`),
      ]
    : [h("p", { class: "quiet" }, "Nothing was delivered in the last hour.")];
  return tile("From final dot to delivered", "", ...body);
}

/**
 * @param {Stats} stats
 * @param {Status} status
 */
function disk({ disk: { used, free } }, { journal }) {
  const label = `${size(used)} used by mailbell, ${size(free)} free`;
  return tile(
    "Disk",
    "",
    big(size(used)),
    share({ part: used, whole: used + free, label }),
    h("p", { class: "quiet" }, `${size(free)} free · ${plural(journal.last_sequence, "mail")} so far`),
  );
}

/** @param {Ha} ha */
function nodes({ mode, active, node, since }) {
  return tile(
    "High availability",
    "",
    h(
      "p",
      { class: "big" },
      h("span", { class: `dot ${active ? "good" : "idle"}` }),
      active ? "Active" : "Standby",
    ),
    h(
      "p",
      { class: "quiet" },
      [MODES[mode] ?? mode, node].filter(Boolean).join(", "),
      since && [" · since ", ago(since)],
    ),
  );
}

/** @param {Status} status */
function servers({ ioservers }) {
  const rows = ioservers.map(({ id, listening, served, waiting }) =>
    h(
      "li",
      null,
      h("span", { class: `dot ${listening.length ? "good" : "idle"}` }),
      h(
        "div",
        null,
        h("strong", null, id),
        h("p", { class: "quiet" }, listening.join(", ") || "does not listen"),
      ),
      h(
        "span",
        { class: "quiet end" },
        waiting ? `${served} served, ${waiting} waiting` : `${served} served now`,
      ),
    ),
  );
  return tile(
    "I/O servers",
    "",
    rows.length ? h("ul", { class: "plain" }, ...rows) : h("p", { class: "quiet" }, "None."),
  );
}

/** @param {Sink[]} all */
function sinks(all) {
  const rows = all.map(({ name, state, lag, parked }) => {
    const kind = state === "up" ? "good" : state === "paused" ? "idle" : "bad";
    const trouble = parked ? `${number(parked)} parked` : `${number(lag)} waiting`;
    return h(
      "li",
      null,
      h("span", { class: `dot ${kind}` }),
      h("div", null, h("strong", null, name), h("span", { class: "unseen" }, ` ${state}`)),
      h("span", { class: "quiet end" }, trouble),
    );
  });
  return tile(
    "Sinks",
    "",
    rows.length ? h("ul", { class: "plain" }, ...rows) : h("p", { class: "quiet" }, "None."),
    h("p", null, h("a", { href: link({ view: "sinks" }) }, "All about the sinks")),
  );
}

/**
 * @param {Stats} stats
 * @param {Status} status
 * @param {App} app
 */
function program({ uptime }, { version }, app) {
  const leave =
    app.me?.user && button({ icon: "leave", text: `Sign out ${app.me.user}`, onclick: () => app.signOut() });
  return tile(
    "mailbell",
    "",
    big(version),
    h("p", { class: "quiet" }, `up for ${duration(uptime * 1000)} · `, h("a", { href: "/api" }, "API")),
    h("div", { class: "row" }, themeChoice(), leave),
  );
}
