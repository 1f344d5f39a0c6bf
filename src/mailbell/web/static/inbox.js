/** The inbox: the list, and beside or over it the mail that is open. */

import { fill, h } from "./dom.js";
import { day, number, plural } from "./format.js";
import { Actions } from "./actions.js";
import { Bulk } from "./bulk.js";
import { Empty } from "./empty.js";
import { MessagePane } from "./message.js";
import { MOST } from "./mails.js";
import { holeRow, mailRow } from "./row.js";
import { link } from "./router.js";
import { Rows } from "./rows.js";
import { Search } from "./search.js";
import { Selection } from "./selection.js";

/** @import { App } from "./app.js" */
/** @import { Route } from "./router.js" */
/** @import { Summary } from "./api.js" */
/** @import { Binding } from "./keys.js" */

/** While a key is held down, mails are opened only once it rests. */
const REST = 150;

export class Inbox {
  title = "Inbox";
  count = h("p", { class: "count" });
  tick = h("input", { type: "checkbox", "aria-label": "Select all", onclick: () => this.#toggleAll() });
  news = h("button", { type: "button", class: "news", hidden: true, onclick: () => this.toTop() });
  list = h("ol", { class: "rows", "aria-label": "Mails" });
  ending = h(
    "p",
    { class: "ending", hidden: true },
    `The newest ${number(MOST)} are listed; the search finds the older ones too.`,
  );
  scroller = h("div", { class: "scroller" }, this.list, this.ending);

  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.mails = app.mails;
    this.selection = new Selection(app.mails);
    this.actions = new Actions(app);
    /** @type {Route} */
    this.route = { view: "inbox", id: "", tab: "", query: "" };
    /** The mail that j and k start from. */
    this.current = "";
    /** The mail that we are deleting. */
    this.removing = "";
    /** Mails that came while one has scrolled down. */
    this.unseen = 0;
    this.timer = 0;
    this.frame = 0;
    this.pane = new MessagePane(app, this);
    this.search = new Search((query) => this.find(query));
    this.bulk = new Bulk(this.selection, this.actions, () => this.changed());
    this.empty = new Empty(app, () => this.search.set(""));
    this.element = this.#layOut();
    this.rows = new Rows(this.scroller, this.list, this.mails, {
      row: (mail, index) => this.#row(mail, index),
      stamp: (mail, index) => this.#stamp(mail, index),
      heading: (mail) => day(new Date(mail.Created)),
    });
    this.scroller.addEventListener("look", () => this.#looked());
    this.onchange = () => this.#changedSoon();
    this.onmessage = (/** @type {Event} */ event) => this.#heard(/** @type {CustomEvent} */ (event).detail);
    this.mails.addEventListener("change", this.onchange);
    app.live.addEventListener("message", this.onmessage);
  }

  #layOut() {
    const top = h(
      "header",
      { class: "top" },
      h("label", { class: "tick" }, this.tick),
      h("h1", null, "Inbox"),
      this.count,
      this.bulk.element,
      this.search.form,
      this.search.filters,
    );
    const side = h(
      "section",
      { class: "list", "aria-label": "List" },
      top,
      this.news,
      this.empty.element,
      this.scroller,
    );
    return h("div", { class: "inbox" }, side, this.pane.element);
  }

  /** @param {Route} route */
  show(route) {
    const before = this.route;
    this.route = route;
    if (route.query !== this.mails.query) {
      this.selection.clear();
      this.mails.open(route.query);
      this.rows.toTop();
    }
    if (route.id) this.current = route.id;
    this.element.classList.toggle("reading", route.id !== "");
    this.pane.show(route.id, route.tab);
    this.changed();
    if (before.id && !route.id) this.#focusCurrent();
  }

  stop() {
    clearTimeout(this.timer);
    cancelAnimationFrame(this.frame);
    this.rows.stop();
    this.pane.stop();
    this.mails.removeEventListener("change", this.onchange);
    this.app.live.removeEventListener("message", this.onmessage);
  }

  /** Mail may come by the thousand: it is drawn once a frame. The rows are told at once, for one may scroll. */
  #changedSoon() {
    this.rows.renderSoon();
    this.frame ||= requestAnimationFrame(() => this.changed());
  }

  /** Draw what has changed. */
  changed() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    this.selection.prune();
    this.search.show(this.mails.query, this.mails.tags);
    this.#showCount();
    this.bulk.update();
    this.element.classList.toggle("choosing", this.selection.size > 0);
    this.element.classList.toggle("bare", this.empty.update());
    this.rows.renderSoon();
    this.pane.update();
  }

  /** @param {string} query */
  find(query) {
    if (query !== this.mails.query) this.app.go({ view: "inbox", query }, { replace: true });
  }

  toTop() {
    this.rows.toTop();
    this.#looked();
  }

  /**
   * Where a mail is to be read.
   * @param {string} id
   * @param {string} [tab]
   */
  href(id, tab = this.route.tab) {
    return link({ view: "inbox", id, tab, query: this.mails.query });
  }

  close() {
    this.app.go({ view: "inbox", query: this.mails.query });
  }

  /**
   * The neighbours of the open mail.
   * @param {number} step
   * @returns {Summary | undefined}
   */
  neighbour(step) {
    const index = this.mails.indexOf(this.current);
    return index < 0 ? this.mails.at(0) : this.mails.at(index + step);
  }

  /**
   * Go to the next or the previous mail: where one is open, open it.
   * @param {number} step
   * @param {boolean} [held] the key is held down
   */
  move(step, held = false) {
    const mail = this.neighbour(this.current ? step : 0);
    if (!mail) return;
    this.current = mail.ID;
    this.rows.reveal(this.mails.indexOf(mail.ID));
    clearTimeout(this.timer);
    if (!this.route.id) return this.#focusCurrent();
    const open = () =>
      this.app.go(
        { view: "inbox", id: mail.ID, tab: this.route.tab, query: this.mails.query },
        { replace: true },
      );
    if (held) this.timer = setTimeout(open, REST);
    else open();
  }

  /** Delete what is ticked, or else the mail one is at; then go to its neighbour. */
  async remove() {
    if (this.selection.size) return this.actions.remove(this.selection);
    const id = this.current;
    if (!id) return;
    const index = this.mails.indexOf(id); // -1: an old mail that an address has led to
    const next = index < 0 ? undefined : (this.mails.at(index + 1) ?? this.mails.at(index - 1));
    this.removing = id;
    try {
      await this.actions.removeThese([id]);
    } catch (error) {
      return this.app.notices.failed(error);
    }
    this.current = next?.ID ?? "";
    if (this.route.id !== id) return;
    if (next)
      this.app.go(
        { view: "inbox", id: next.ID, tab: this.route.tab, query: this.mails.query },
        { replace: true },
      );
    else this.close();
  }

  /** Read or unread: what is ticked, or else the mail one is at. */
  toggleRead() {
    const chosen = this.#chosen();
    const first = [...chosen.chosen.values()][0];
    this.actions.mark(chosen, first ? !first.Read : true);
  }

  /** @returns {Selection} */
  #chosen() {
    if (this.selection.size) return this.selection;
    const one = new Selection(this.mails);
    const mail = this.mails.known.get(this.current) ?? this.pane.summary(this.current);
    if (mail) one.chosen.set(mail.ID, mail);
    return one;
  }

  /** @returns {Binding[]} */
  get keys() {
    return [
      { keys: ["j", "ArrowDown"], what: "next mail", run: (event) => this.move(1, event.repeat) },
      { keys: ["k", "ArrowUp"], what: "previous mail", run: (event) => this.move(-1, event.repeat) },
      {
        keys: ["Enter", "o"],
        what: "open",
        run: () => this.current && this.app.go({ view: "inbox", id: this.current, query: this.mails.query }),
      },
      {
        keys: ["Escape", "u"],
        what: "back: close the mail, let go of the selection, end the search",
        run: () => this.#back(),
      },
      { keys: ["/"], what: "search", run: () => this.search.focus() },
      { keys: ["x"], what: "tick", run: () => this.#tick(false) },
      { keys: ["X"], what: "tick up to here", run: () => this.#tick(true) },
      { keys: ["a"], what: "tick all, or none", run: () => this.#toggleAll() },
      { keys: ["r"], what: "mark read or unread", run: () => this.toggleRead() },
      { keys: ["t"], what: "add a tag", run: () => this.#tag() },
      { keys: ["#", "Delete"], what: "delete", run: () => this.remove() },
      ...this.pane.keys,
    ];
  }

  #back() {
    if (this.route.id) return this.close();
    if (this.selection.size) this.selection.clear();
    else if (this.mails.query) this.search.set("");
    this.changed();
  }

  #tick(/** @type {boolean} */ range) {
    const mail = this.mails.known.get(this.current);
    if (mail) this.selection.toggle(mail, range);
    this.changed();
  }

  #toggleAll() {
    this.selection.toggleAll();
    this.changed();
  }

  #tag() {
    const chosen = this.#chosen();
    if (chosen.size && !chosen.all) this.actions.addTag(chosen);
  }

  /** At once, for the next key may be under way. */
  #focusCurrent() {
    this.rows.render();
    this.rows.element(this.current)?.querySelector("a")?.focus({ preventScroll: true });
  }

  #row(/** @type {Summary | undefined} */ mail, /** @type {number} */ index) {
    if (!mail) return holeRow();
    return mailRow(mail, {
      href: this.href(mail.ID),
      open: mail.ID === this.route.id,
      selected: this.selection.has(mail.ID),
      current: this.#isCurrent(mail, index),
      onselect: (event) => {
        this.selection.toggle(mail, event.shiftKey);
        this.current = mail.ID;
        this.changed();
      },
    });
  }

  /** What a row shows, as a text to compare. */
  #stamp(/** @type {Summary | undefined} */ mail, /** @type {number} */ index) {
    if (!mail) return "";
    const state = [mail.ID === this.route.id, this.selection.has(mail.ID), this.#isCurrent(mail, index)];
    return JSON.stringify([mail.Read, mail.Delivery, mail.Tags, this.route.tab, this.mails.query, state]);
  }

  /** Tab goes to one row: the current one, or else the first. */
  #isCurrent(/** @type {Summary} */ mail, /** @type {number} */ index) {
    return this.mails.known.has(this.current) ? mail.ID === this.current : index === 0;
  }

  #showCount() {
    const { mails } = this;
    const found = mails.uncounted ? `more than ${number(mails.count)} found` : `${number(mails.count)} found`;
    const all = mails.unread
      ? `${plural(mails.total, "mail")}, ${number(mails.unread)} unread`
      : plural(mails.total, "mail");
    fill(this.count, !mails.ready ? "" : mails.query ? found : all);
    this.tick.checked = this.selection.all;
    this.tick.indeterminate = !this.selection.all && this.selection.size > 0;
    this.tick.disabled = !mails.count;
    this.ending.hidden = mails.count <= MOST;
  }

  #heard(/** @type {{Type: string, Data: any}} */ { Type, Data }) {
    const isGone = Type === "truncate" || (Type === "delete" && Data.ID === this.route.id);
    if (isGone && this.route.id && this.route.id !== this.removing) this.#goneUnderway();
    if (Type !== "new") return;
    const from = Data.From.Name || Data.From.Address || "nobody";
    this.app.notices.say(() => `New mail from ${from}: ${Data.Subject || "no subject"}`);
    if (this.rows.isAtTop || this.mails.query) return;
    this.unseen += 1;
    this.#showNews();
  }

  /** Somebody else has deleted the mail that is open. */
  #goneUnderway() {
    this.app.notices.done("The mail that was open has been deleted.");
    this.close();
  }

  #looked() {
    if (!this.rows.isAtTop || !this.unseen) return;
    this.unseen = 0;
    this.#showNews();
  }

  #showNews() {
    this.news.hidden = !this.unseen;
    fill(this.news, `↑ ${plural(this.unseen, "new mail")}`);
  }
}
