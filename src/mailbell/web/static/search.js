/** The search: its field, what it understands, and filters to click. */

import { button, fill, h, icon } from "./dom.js";
import { open } from "./dialog.js";
import { hue } from "./row.js";
import { has, tagTerm, toggle } from "./terms.js";

const SETTLE = 180;
const LANGUAGE = [
  ["battery low", "both words, or words that they are a part of, anywhere in the mail"],
  ['"on battery"', "the words together"],
  ["-test", "mails without the word; - or ! in front of any term"],
  ["from:camera to:alarm@", "sender, recipient; also cc: bcc: reply-to: addressed:"],
  ["subject:motion", "the subject; also message-id:"],
  ["is:unread", "also is:read, is:tagged"],
  ["has:attachment", "also has:inline, for images in the text"],
  ["tag:night", "mails with the tag"],
  ["after:2026-01-25", "when it came; also before:, also with a time: after:2026-01-25T18:00"],
  ["larger:1M", "its size; also smaller:50k"],
];
const FILTERS = [
  ["Unread", "is:unread"],
  ["With attachments", "has:attachment"],
];

export class Search {
  /** @param {(query: string) => void} onquery */
  constructor(onquery) {
    this.onquery = onquery;
    this.query = "";
    this.tags = "";
    this.timer = 0;
    this.field = h("input", {
      type: "search",
      placeholder: "Search",
      "aria-label": "Search the inbox",
      autocomplete: "off",
      spellcheck: "false",
      enterkeyhint: "search",
      oninput: () => this.#typed(SETTLE),
    });
    this.form = h(
      "form",
      {
        class: "search",
        role: "search",
        onsubmit: (/** @type {Event} */ event) => (event.preventDefault(), this.#typed(0)),
      },
      icon("search"),
      this.field,
      button({ icon: "help", text: "How to search", bare: true, onclick: () => this.#explain() }),
    );
    this.filters = h("div", { class: "filters", role: "group", "aria-label": "Filters" });
  }

  /**
   * Show a query that came from elsewhere.
   * @param {string} query
   * @param {string[]} tags
   */
  show(query, tags) {
    const state = JSON.stringify([query, tags]);
    if (state === this.tags) return;
    this.tags = state;
    this.query = query;
    if (document.activeElement !== this.field) this.field.value = query;
    fill(
      this.filters,
      FILTERS.map(([text, term]) => this.#filter(text, term, "")),
      tags.map((name) => this.#filter(name, tagTerm(name), `tag hue-${hue(name)}`)),
    );
  }

  focus() {
    this.field.focus();
    this.field.select();
  }

  /** @param {string} query */
  set(query) {
    this.field.value = query;
    this.onquery(query);
  }

  #typed(/** @type {number} */ wait) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.onquery(this.field.value.trim()), wait);
  }

  #filter(/** @type {string} */ text, /** @type {string} */ term, /** @type {string} */ kind) {
    const pressed = has(this.query, term);
    const onclick = () => this.set(toggle(this.query, term));
    return h(
      "button",
      { type: "button", class: `filter ${kind}`, "aria-pressed": pressed, onclick },
      h("bdi", null, text),
    );
  }

  #explain() {
    const dialog = open({
      title: "How to search",
      wide: true,
      body: [
        h("p", null, "Terms are separated by blanks, and all must hold. Click one to try it."),
        h(
          "dl",
          { class: "language" },
          ...LANGUAGE.flatMap(([term, meaning]) => [
            h(
              "dt",
              null,
              h(
                "button",
                { type: "button", class: "code", onclick: () => (dialog.close(), this.set(term)) },
                term,
              ),
            ),
            h("dd", null, meaning),
          ]),
        ),
      ],
    });
  }
}
