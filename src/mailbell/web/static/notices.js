/** What the page has to say in passing: notices for the eye, words for the screen reader. */

import { button, h } from "./dom.js";

const SHOWN = 6000;
const MOST = 4;
/** Between two things said: mail may come by the hundred. */
const PACE = 2500;

export class Notices {
  /**
   * @param {HTMLElement} place
   * @param {HTMLElement} announcer
   */
  constructor(place, announcer) {
    this.place = place;
    this.announcer = announcer;
    this.timer = 0;
    /** @type {(() => string) | null} */
    this.next = null;
  }

  /**
   * Something was done.
   * @param {string} text
   */
  done(text) {
    this.#show(text, "done", "status");
  }

  /**
   * Something went wrong; stays until it is closed.
   * @param {unknown} error
   */
  failed(error) {
    const text = error instanceof Error ? error.message : String(error);
    this.#show(text, "failed", "alert");
  }

  /**
   * Say it to a screen reader; what comes too quickly is left out but for the last.
   * @param {() => string} text made when it is time
   */
  say(text) {
    this.next = text;
    if (!this.timer) this.#speak();
  }

  #speak() {
    this.announcer.textContent = this.next?.() ?? "";
    this.next = null;
    this.timer = setTimeout(() => {
      this.timer = 0;
      if (this.next) this.#speak();
    }, PACE);
  }

  #show(/** @type {string} */ text, /** @type {string} */ kind, /** @type {string} */ role) {
    for (const each of this.place.querySelectorAll(".notice")) {
      if (each.querySelector("p")?.textContent === text) each.remove();
    }
    const notice = h(
      "div",
      { class: `notice ${kind}`, role },
      h("p", null, text),
      button({ icon: "close", text: "Close", bare: true, onclick: () => notice.remove() }),
    );
    this.place.append(notice);
    while (this.place.children.length > MOST) this.place.firstElementChild?.remove();
    if (kind === "done") setTimeout(() => notice.remove(), SHOWN);
  }
}
