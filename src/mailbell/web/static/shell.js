/** What stands around every view: the way to the others, the state of the connection, the theme. */

import { button, fill, h, icon } from "./dom.js";
import { number } from "./format.js";
import { link, VIEWS } from "./router.js";
import { nextTheme, setTheme, theme, THEMES } from "./theme.js";

/** @import { App } from "./app.js" */
/** @import { ViewName } from "./router.js" */

const NAMES = /** @type {Record<ViewName, string>} */ ({
  inbox: "Inbox",
  monitor: "Monitor",
  connections: "Connections",
  sinks: "Sinks",
  overview: "Overview",
});
/** A new connection is there in no time: only what takes longer is worth a word. */
const PATIENCE = 700;

export class Shell {
  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.timer = 0;
    this.banner = part("banner");
    this.foot = part("foot");
    /** @type {Map<ViewName, HTMLElement>} */
    this.badges = new Map(VIEWS.map((view) => [view, h("span", { class: "badge", hidden: true })]));
    fill(
      part("views"),
      VIEWS.map((view) => this.#item(view)),
    );
    app.live.addEventListener("state", () => this.#showConnection());
    document.addEventListener("theme", () => this.#showFoot());
    this.#showFoot();
  }

  /** @param {ViewName} view */
  #item(view) {
    const badge = this.badges.get(view);
    return h(
      "li",
      null,
      h(
        "a",
        { href: link({ view }), "data-view": view },
        icon(view),
        h("span", { class: "name" }, NAMES[view]),
        badge,
      ),
    );
  }

  /** @param {ViewName} view */
  mark(view) {
    for (const each of part("views").querySelectorAll("a")) {
      if (each.dataset.view === view) each.setAttribute("aria-current", "page");
      else each.removeAttribute("aria-current");
    }
  }

  /**
   * A figure beside the name of a view.
   * @param {ViewName} view
   * @param {number} count
   * @param {string} meaning read aloud
   * @param {boolean} [bad]
   */
  badge(view, count, meaning, bad = false) {
    const badge = /** @type {HTMLElement} */ (this.badges.get(view));
    badge.hidden = count === 0;
    badge.classList.toggle("bad", bad);
    badge.setAttribute("aria-label", `${number(count)} ${meaning}`);
    badge.setAttribute("role", "img");
    fill(badge, count > 9999 ? "9999+" : number(count));
  }

  #showConnection() {
    clearTimeout(this.timer);
    if (this.app.live.state === "live") return this.#drawConnection();
    this.timer = setTimeout(() => this.#drawConnection(), PATIENCE);
  }

  #drawConnection() {
    const lost = this.app.live.state === "lost";
    this.banner.classList.toggle("lost", lost);
    document.documentElement.classList.toggle("offline", lost);
    this.#showFoot();
    if (!lost) return fill(this.banner);
    if (this.banner.childElementCount) return;
    fill(
      this.banner,
      h("p", null, "The connection to mailbell is lost. What you see may be old; it comes back by itself."),
      button({ text: "Try now", onclick: () => this.app.live.retry() }),
    );
  }

  #showFoot() {
    const { me, live } = this.app;
    const focused =
      document.activeElement instanceof HTMLElement && this.foot.contains(document.activeElement)
        ? document.activeElement.dataset.act
        : "";
    fill(
      this.foot,
      h(
        "p",
        { class: `connection ${live.state}` },
        h("span", { class: "dot" }),
        live.state === "live" ? "Live" : live.state === "lost" ? "Not connected" : "Connecting",
      ),
      h(
        "div",
        { class: "buttons" },
        button({
          icon: THEMES[theme()],
          text: `Theme: ${theme()}`,
          bare: true,
          "data-act": "theme",
          onclick: () => setTheme(nextTheme()),
        }),
        button({
          icon: "keyboard",
          text: "Keys",
          key: "?",
          bare: true,
          kind: "keys-button",
          "data-act": "keys",
          onclick: () => this.app.keys.help(),
        }),
        me?.sign_in &&
          me.user !== null &&
          button({
            icon: "leave",
            text: `Sign out ${me.user}`,
            bare: true,
            "data-act": "leave",
            onclick: () => this.app.signOut(),
          }),
      ),
    );
    if (focused)
      /** @type {HTMLElement | null} */ (this.foot.querySelector(`[data-act="${focused}"]`))?.focus();
  }

  /** Who has signed in is known. */
  update() {
    this.#showFoot();
  }
}

/** @param {string} id */
export function part(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}
