/** What stands in place of the list where there is nothing to list. */

import { button, fill, h } from "./dom.js";
import { firstMail } from "./first.js";

/** @import { App } from "./app.js" */

export class Empty {
  element = h("div", { class: "empty" });

  /**
   * @param {App} app
   * @param {() => void} onEndSearch
   */
  constructor(app, onEndSearch) {
    this.app = app;
    this.onEndSearch = onEndSearch;
    this.state = "";
  }

  /** Whether there is something to say. */
  update() {
    const state = this.#state();
    if (state !== this.state) fill(this.element, state && this.#content());
    this.state = state;
    return state !== "";
  }

  /** What is to be said, as a text to compare. */
  #state() {
    const { mails, status } = this.app;
    if (mails.count) return "";
    if (mails.trouble) return mails.trouble.message;
    return mails.ready
      ? JSON.stringify([mails.query, status?.ioservers.map(({ listening }) => listening)])
      : "";
  }

  #content() {
    const { mails, status } = this.app;
    if (mails.trouble) return trouble(mails.trouble, () => mails.reload());
    return mails.query ? nothing(mails.query, this.onEndSearch) : firstMail(this.app, status);
  }
}

/**
 * @param {string} query
 * @param {() => void} onEndSearch
 */
function nothing(query, onEndSearch) {
  const asked = h("q", null, h("bdi", null, query));
  return h(
    "section",
    { class: "first" },
    h("h2", null, "Nothing found"),
    h("p", null, "No mail matches ", asked, ". Fewer words find more."),
    h("p", null, button({ text: "End the search", kind: "primary", onclick: onEndSearch })),
  );
}

/**
 * @param {Error} error
 * @param {() => void} again
 */
function trouble(error, again) {
  return h(
    "section",
    { class: "first", role: "alert" },
    h("h2", null, "The list can't be shown"),
    h("p", null, error.message),
    h("p", null, button({ text: "Try again", icon: "replay", kind: "primary", onclick: again })),
  );
}
