/** The composer: builds the parts, and shows the view that the hash names. */

import { Api, ApiError } from "./api.js";
import { fill } from "./dom.js";
import { Keys } from "./keys.js";
import { Live } from "./live.js";
import { Mails } from "./mails.js";
import { keepMoments } from "./moments.js";
import { Notices } from "./notices.js";
import { poll } from "./poll.js";
import { link, parse } from "./router.js";
import { part, Shell } from "./shell.js";
import { signIn } from "./signin.js";
import { ConnectionsView } from "./connections.js";
import { Inbox } from "./inbox.js";
import { MonitorView } from "./monitor.js";
import { OverviewView } from "./overview.js";
import { SinksView } from "./sinks.js";

/** @import { Me, Status, WebUi } from "./api.js" */
/** @import { Binding } from "./keys.js" */
/** @import { Route, ViewName } from "./router.js" */

/**
 * @typedef {{
 *   title: string, element: HTMLElement, keys: Binding[], show: (route: Route) => void, stop: () => void,
 * }} View
 */

const STATUS_EVERY = 10_000;
/** @type {Record<ViewName, new (app: App) => View>} */
const MAKE = {
  inbox: Inbox,
  monitor: MonitorView,
  connections: ConnectionsView,
  sinks: SinksView,
  overview: OverviewView,
};

export class App {
  constructor() {
    this.api = new Api(() => this.#askToSignIn());
    this.live = new Live("/api/events");
    this.mails = new Mails((path) => this.api.get(path));
    this.notices = new Notices(part("notices"), part("announcer"));
    this.keys = new Keys(this.#everywhere());
    /** @type {Me | null} */
    this.me = null;
    /** @type {Status | null} */
    this.status = null;
    /** @type {WebUi | null} */
    this.webui = null;
    /** @type {View | null} */
    this.view = null;
    /** @type {ViewName | null} */
    this.name = null;
    this.shell = new Shell(this);
    this.main = part("main");
    this.signingIn = false;
  }

  start() {
    addEventListener("hashchange", () => this.#route());
    this.mails.addEventListener("change", () => this.#showUnread());
    this.live.addEventListener("message", (event) =>
      this.mails.hear(/** @type {CustomEvent} */ (event).detail),
    );
    this.live.addEventListener("state", () => this.live.state === "live" && this.#catchUp());
    this.live.start();
    this.statusPoll = poll(STATUS_EVERY, () => this.#ask());
    this.#route();
    if (!this.mails.ready) this.mails.open(parse(location.hash).query);
    keepMoments();
  }

  /**
   * Go somewhere. `replace` keeps Back from stepping through all that was skimmed.
   * @param {Partial<Route> & {view: ViewName}} route
   * @param {{replace?: boolean}} [options]
   */
  go(route, { replace = false } = {}) {
    const hash = link(route);
    if (hash === location.hash) return;
    if (!replace) return void (location.hash = hash);
    history.replaceState(null, "", hash);
    this.#route();
  }

  /** @param {string} title */
  setTitle(title) {
    this.heading = title;
    this.#showUnread();
  }

  async signOut() {
    try {
      await this.api.change("POST", "/api/v1/logout");
      location.reload();
    } catch (error) {
      this.notices.failed(error);
    }
  }

  #route() {
    if (this.signingIn) return;
    const route = parse(location.hash);
    const isOther = route.view !== this.name || !this.view;
    if (isOther) this.#change(route.view);
    const view = /** @type {View} */ (this.view);
    this.setTitle(view.title);
    view.show(route);
    this.keys.use(view.title, view.keys);
  }

  /** @param {ViewName} name */
  #change(name) {
    const isFirst = this.view === null;
    this.view?.stop();
    this.name = name;
    this.view = new MAKE[name](this);
    fill(this.main, this.view.element);
    this.shell.mark(name);
    if (!isFirst) this.main.focus({ preventScroll: true });
  }

  /** After a connection was lost: what has happened in between nobody has told us. */
  #catchUp() {
    if (this.mails.ready || this.mails.trouble) this.mails.reload();
    this.statusPoll?.now();
  }

  async #ask() {
    try {
      this.status = await this.api.get("/api/v1/status");
      this.me ??= await this.api.get("/api/v1/me");
      this.webui ??= await this.api.get("/api/v1/webui");
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      return; // the banner tells of a lost connection, and each view of what it lacks
    }
    const bad = this.status?.sinks.filter(({ state, parked }) => state === "down" || parked > 0).length ?? 0;
    this.shell.badge("sinks", bad, bad === 1 ? "sink in trouble" : "sinks in trouble", true);
    this.shell.update();
    if (this.view instanceof Inbox) this.view.changed();
  }

  #showUnread() {
    const { unread } = this.mails;
    this.shell.badge("inbox", unread, "unread");
    document.title = `${unread ? `(${unread}) ` : ""}${this.heading ?? "mailbell"} · mailbell`;
  }

  #askToSignIn() {
    if (this.signingIn) return;
    this.signingIn = true;
    this.view?.stop();
    const form = signIn(this.api, () => location.reload());
    document.body.classList.add("signed-out");
    document.title = "Sign in · mailbell";
    fill(this.main, form.element);
    form.focus();
  }

  /** @returns {Binding[]} */
  #everywhere() {
    /** @type {(key: string, view: ViewName) => Binding} */
    const way = (key, view) => ({ keys: [`g ${key}`], what: `go to ${view}`, run: () => this.go({ view }) });
    return [
      way("i", "inbox"),
      way("m", "monitor"),
      way("c", "connections"),
      way("s", "sinks"),
      way("o", "overview"),
      { keys: ["?"], what: "these keys", run: () => this.keys.help() },
    ];
  }
}

new App().start();
