/** What can be done to the mails that are ticked. */

import { button, fill, h } from "./dom.js";
import { number } from "./format.js";

/** @import { Actions } from "./actions.js" */
/** @import { Selection } from "./selection.js" */

export class Bulk {
  element = h("div", { class: "bulk", role: "toolbar", "aria-label": "Selected mails" });

  /**
   * @param {Selection} selection
   * @param {Actions} actions
   * @param {() => void} onchange
   */
  constructor(selection, actions, onchange) {
    this.selection = selection;
    this.actions = actions;
    this.onchange = onchange;
    this.state = "";
  }

  update() {
    const { size, all } = this.selection;
    const state = size ? `${size} ${all}` : "";
    if (state === this.state) return;
    this.state = state;
    fill(this.element, size > 0 && this.#content());
  }

  #content() {
    const { selection, actions } = this;
    const size = number(selection.size);
    return [
      h("p", { role: "status" }, selection.all ? `All ${size} selected` : `${size} selected`),
      this.#button("opened", "Mark read", () => actions.mark(selection, true)),
      this.#button("mail", "Mark unread", () => actions.mark(selection, false)),
      this.#button("tag", "Add a tag", () => actions.addTag(selection), { disabled: selection.all }),
      this.#button("trash", "Delete", () => actions.remove(selection), { kind: "danger" }),
      this.#button("close", "Let go", () => selection.clear()),
    ];
  }

  /**
   * @param {"opened" | "mail" | "tag" | "trash" | "close"} icon
   * @param {string} text
   * @param {() => unknown} work
   * @param {{disabled?: boolean, kind?: string}} [more]
   */
  #button(icon, text, work, more) {
    const onclick = async () => {
      await work();
      this.onchange();
    };
    return button({ icon, text, bare: true, onclick, ...more });
  }
}
