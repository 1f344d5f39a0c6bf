/** One mail: its head, and under tabs everything that is known of it. */

import { button, fill, h, icon } from "./dom.js";
import { messagePath } from "./api.js";
import { full, size } from "./format.js";
import { ask } from "./dialog.js";
import { mark, tag } from "./row.js";
import { tagField } from "./actions.js";
import { PARTS } from "./parts.js";
import { people } from "./people.js";
import { askToRelease } from "./release.js";
import { Tabs } from "./tabs.js";

/** @import { App } from "./app.js" */
/** @import { Detail, MailEvent, Summary } from "./api.js" */
/** @import { Inbox } from "./inbox.js" */
/** @import { Binding } from "./keys.js" */

/**
 * What a tab gets to show. `signal` ends when another mail or tab is shown.
 * @typedef {{
 *   app: App, mail: Detail, panel: HTMLElement, signal: AbortSignal, event: () => Promise<MailEvent>,
 * }} Context
 */

export class MessagePane {
  /**
   * @param {App} app
   * @param {Inbox} inbox
   */
  constructor(app, inbox) {
    this.app = app;
    this.inbox = inbox;
    this.id = "";
    this.tab = "";
    /** @type {Detail | null} */
    this.mail = null;
    /** @type {Promise<MailEvent> | null} */
    this.event = null;
    this.loading = new AbortController();
    this.showing = new AbortController();
    this.tabs = new Tabs("message", (tab) => this.choose(tab));
    this.head = h("header", { class: "head" });
    this.facts = h("div", { class: "facts" });
    this.releaser = button({
      icon: "send",
      text: "Release: send on to a real mail server",
      bare: true,
      hidden: true,
      onclick: () => this.mail && askToRelease(this.app, this.mail),
    });
    this.element = h("article", { class: "message", "aria-label": "Mail", tabindex: "-1" });
  }

  /**
   * Show a mail; "" closes.
   * @param {string} id
   * @param {string} tab
   */
  show(id, tab) {
    const isOther = id !== this.id;
    this.id = id;
    this.tab = tab;
    if (!isOther) return void (this.mail && this.#showTab());
    this.stop();
    this.mail = this.event = null;
    if (id) this.#load(id);
    else fill(this.element);
  }

  /**
   * The open mail as the list would have it; the list may not reach that far.
   * @param {string} id
   * @returns {Summary | undefined}
   */
  summary(id) {
    if (this.mail?.ID !== id) return undefined;
    const { mail } = this;
    const { length } = mail.Attachments;
    return {
      ...mail,
      Read: true,
      Created: mail.Date,
      Attachments: length,
      Snippet: "",
      Sequence: 0,
      Delivery: "done",
    };
  }

  stop() {
    this.loading.abort();
    this.showing.abort();
  }

  /** Something in the list has changed: the tags, the delivery, or the mail is gone. */
  update() {
    if (!this.mail) return;
    const summary = this.app.mails.known.get(this.mail.ID);
    if (summary) this.mail.Tags = summary.Tags;
    this.#showReleaser();
    this.#showFacts();
    this.#showTabs();
  }

  /** @param {string} tab */
  choose(tab) {
    this.app.go({ view: "inbox", id: this.id, tab, query: this.app.mails.query }, { replace: true });
  }

  /** @returns {Binding[]} */
  get keys() {
    const numbers = PARTS.map(({ id, name }, index) => ({
      keys: [String(index + 1)],
      what: `the mail's ${name === "HTML" ? name : name.toLowerCase()}`,
      run: () => this.#shownParts().some((part) => part.id === id) && this.choose(id),
    }));
    return [
      { keys: ["["], what: "previous tab", run: () => this.mail && this.tabs.step(-1) },
      { keys: ["]"], what: "next tab", run: () => this.mail && this.tabs.step(1) },
      ...numbers,
    ];
  }

  /** @param {string} id */
  async #load(id) {
    const { signal } = (this.loading = new AbortController());
    this.element.setAttribute("aria-busy", "true");
    try {
      const mail = await this.app.api.get(messagePath(id), signal);
      if (signal.aborted) return;
      if (mail.ID !== id) return this.#settle(mail.ID); // "latest" is another one soon
      this.mail = mail;
      this.app.mails.hear({ Type: "update", Data: { ID: mail.ID, Read: true } }); // as the server will tell
      this.#build(mail);
    } catch (error) {
      if (!signal.aborted) this.#fail(/** @type {Error} */ (error));
    } finally {
      if (!signal.aborted) this.element.removeAttribute("aria-busy");
    }
  }

  /** @param {string} id */
  #settle(id) {
    this.app.go({ view: "inbox", id, tab: this.tab, query: this.app.mails.query }, { replace: true });
  }

  /** @param {Error} error */
  #fail(error) {
    const again = button({ text: "Try again", icon: "replay", onclick: () => this.#load(this.id) });
    const back = button({ text: "Back to the list", kind: "primary", onclick: () => this.inbox.close() });
    fill(
      this.element,
      h(
        "section",
        { class: "first", role: "alert" },
        h("h2", null, "This mail can't be shown"),
        h("p", null, error.message),
        h("p", null, back, " ", again),
      ),
    );
  }

  /** @param {Detail} mail */
  #build(mail) {
    this.app.setTitle(mail.Subject || "No subject");
    fill(
      this.head,
      this.#actions(mail),
      h("h2", { class: mail.Subject ? "" : "none", dir: "auto" }, mail.Subject || "No subject"),
      people(mail),
      this.facts,
    );
    fill(this.element, this.head, this.tabs.list, this.tabs.panel);
    this.#showReleaser();
    this.#showFacts();
    this.#showTab();
    if (!this.inbox.element.contains(document.activeElement) || isHidden(document.activeElement))
      this.element.focus();
  }

  /** @param {Detail} mail */
  #actions(mail) {
    const path = messagePath(mail.ID, "/raw?dl=1");
    return h(
      "div",
      { class: "actions", role: "toolbar", "aria-label": "Mail" },
      button({
        icon: "left",
        text: "Back to the list",
        key: "Esc",
        bare: true,
        kind: "back",
        onclick: () => this.inbox.close(),
      }),
      button({ icon: "up", text: "Previous mail", key: "k", bare: true, onclick: () => this.inbox.move(-1) }),
      button({ icon: "down", text: "Next mail", key: "j", bare: true, onclick: () => this.inbox.move(1) }),
      h("span", { class: "gap" }),
      button({
        icon: "mail",
        text: "Mark unread",
        key: "r",
        bare: true,
        onclick: () => this.inbox.toggleRead(),
      }),
      this.releaser,
      h(
        "a",
        {
          class: "button bare",
          href: path,
          download: "",
          title: "Save the source",
          "aria-label": "Save the source",
        },
        icon("download"),
      ),
      button({
        icon: "trash",
        text: "Delete",
        key: "#",
        bare: true,
        kind: "danger",
        onclick: () => this.inbox.remove(),
      }),
      button({
        icon: "close",
        text: "Close",
        key: "Esc",
        bare: true,
        kind: "close",
        onclick: () => this.inbox.close(),
      }),
    );
  }

  /** Whether there is a server to release to is known a little later. */
  #showReleaser() {
    this.releaser.hidden = !this.app.webui?.MessageRelay.Enabled;
  }

  #showFacts() {
    const { mail } = this;
    if (!mail) return;
    const summary = this.app.mails.known.get(mail.ID);
    const state = JSON.stringify([mail.ID, mail.Tags, summary?.Delivery]);
    if (this.facts.dataset.state === state) return;
    this.facts.dataset.state = state;
    const date = new Date(summary?.Created ?? mail.Date);
    fill(
      this.facts,
      h("time", { datetime: date.toISOString() }, full(date)),
      h("span", null, size(mail.Size)),
      summary && mark(summary.Delivery),
      ...mail.Tags.map((name) => this.#tag(mail, name)),
      h(
        "button",
        { type: "button", class: "add-tag", title: "Add a tag (t)", onclick: () => this.#addTag(mail) },
        icon("plus"),
        "Tag",
      ),
    );
  }

  #tag(/** @type {Detail} */ mail, /** @type {string} */ name) {
    const remove = () =>
      this.inbox.actions.setTags(
        mail.ID,
        mail.Tags.filter((each) => each !== name),
      );
    const made = tag(name);
    made.append(button({ icon: "close", text: `Take the tag ${name} off`, bare: true, onclick: remove }));
    return made;
  }

  #addTag(/** @type {Detail} */ mail) {
    const { input, elements } = tagField(this.app.mails.tags);
    ask({
      title: "Add a tag",
      fields: elements,
      action: "Add tag",
      run: async () => {
        const name = input.value.trim();
        if (!name) throw new Error("Give the tag a name.");
        await this.app.api.change("PUT", "/api/v1/tags", {
          IDs: [mail.ID],
          Tags: [...new Set([...mail.Tags, name])],
        });
      },
    });
  }

  /** The tabs that this mail has something for. */
  #shownParts() {
    const { mail } = this;
    return mail ? PARTS.filter(({ has }) => !has || has(mail)) : [];
  }

  /** @param {Detail} mail */
  #chosen(mail) {
    const shown = this.#shownParts();
    const wanted = shown.find(({ id }) => id === this.tab);
    return wanted ?? shown.find(({ id }) => id === (mail.HTML ? "html" : "text")) ?? shown[0];
  }

  #showTabs() {
    const { mail } = this;
    if (!mail) return;
    const delivery = this.app.mails.known.get(mail.ID)?.Delivery;
    const labels = this.#shownParts().map(({ id, name, count }) => ({
      id,
      label: [
        name,
        count && h("span", { class: "badge" }, String(count(mail))),
        id === "deliveries" && delivery === "trouble" && mark(delivery),
      ],
    }));
    const chosen = this.#chosen(mail).id;
    const state = JSON.stringify([mail.ID, chosen, delivery]);
    if (this.tabs.list.dataset.state === state) return;
    this.tabs.list.dataset.state = state;
    this.tabs.show(labels, chosen);
  }

  #showTab() {
    const { mail } = this;
    if (!mail) return;
    const part = this.#chosen(mail);
    const panel = this.tabs.panel;
    this.#showTabs();
    if (panel.dataset.shown === `${mail.ID} ${part.id}`) return;
    panel.dataset.shown = `${mail.ID} ${part.id}`;
    panel.dataset.part = part.id;
    this.showing.abort();
    const { signal } = (this.showing = new AbortController());
    fill(panel);
    panel.scrollTop = 0;
    const event = () => (this.event ??= this.app.api.get(messagePath(mail.ID, "/event?format=full")));
    this.#run(part.show({ app: this.app, mail, panel, signal, event }), panel, signal);
  }

  /**
   * Wait for a tab that has to ask the server.
   * @param {Promise<void> | void} work
   * @param {HTMLElement} panel
   * @param {AbortSignal} signal
   */
  async #run(work, panel, signal) {
    if (!work) return;
    panel.setAttribute("aria-busy", "true");
    try {
      await work;
    } catch (error) {
      if (signal.aborted) return;
      this.event = null;
      panel.dataset.shown = ""; // so that choosing it again tries again
      fill(
        panel,
        h(
          "p",
          { class: "problem", role: "alert" },
          /** @type {Error} */ (error).message,
          " ",
          button({ text: "Try again", onclick: () => this.#showTab() }),
        ),
      );
    } finally {
      if (!signal.aborted) panel.removeAttribute("aria-busy");
    }
  }
}

/** @param {Element | null} element */
function isHidden(element) {
  return element instanceof HTMLElement && getComputedStyle(element).visibility === "hidden";
}
