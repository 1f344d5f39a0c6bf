/** A row of tabs over one panel, as ARIA's practices want it: arrows move, Tab goes into the panel. */

import { fill, h } from "./dom.js";

/** @import { Child } from "./dom.js" */
/** @typedef {{id: string, label: Child[]}} Tab */

export class Tabs {
  /**
   * @param {string} name
   * @param {(id: string) => void} onchoose
   */
  constructor(name, onchoose) {
    this.name = name;
    this.onchoose = onchoose;
    this.chosen = "";
    /** @type {Tab[]} */
    this.tabs = [];
    this.list = h("div", {
      class: "tabs",
      role: "tablist",
      "aria-label": name,
      onkeydown: (/** @type {KeyboardEvent} */ event) => this.#press(event),
    });
    this.panel = h("div", { class: "panel", role: "tabpanel", tabindex: "0", id: `${name}-panel` });
  }

  /**
   * @param {Tab[]} tabs
   * @param {string} chosen
   */
  show(tabs, chosen) {
    const focused = this.list.contains(document.activeElement);
    this.tabs = tabs;
    this.chosen = chosen;
    fill(
      this.list,
      tabs.map((tab) => this.#tab(tab)),
    );
    this.panel.setAttribute("aria-labelledby", `${this.name}-${chosen}`);
    if (focused) this.#focus();
    this.list.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  /**
   * The tab so many steps on.
   * @param {number} step
   */
  step(step) {
    const index = this.tabs.findIndex(({ id }) => id === this.chosen);
    const next = this.tabs[(index + step + this.tabs.length) % this.tabs.length];
    if (next) this.onchoose(next.id);
  }

  /** @param {Tab} tab */
  #tab({ id, label }) {
    const selected = id === this.chosen;
    return h(
      "button",
      {
        type: "button",
        role: "tab",
        id: `${this.name}-${id}`,
        class: "tab",
        "aria-selected": selected ? "true" : "false",
        "aria-controls": this.panel.id,
        tabindex: selected ? 0 : -1,
        onclick: () => this.onchoose(id),
      },
      ...label,
    );
  }

  #press(/** @type {KeyboardEvent} */ event) {
    const steps = /** @type {Record<string, number>} */ ({ ArrowRight: 1, ArrowLeft: -1 });
    const step = steps[event.key];
    if (step) this.step(step);
    else if (event.key === "Home") this.onchoose(this.tabs[0].id);
    else if (event.key === "End") this.onchoose(this.tabs[this.tabs.length - 1].id);
    else return;
    event.preventDefault();
    this.#focus();
  }

  #focus() {
    /** @type {HTMLElement | null} */ (this.list.querySelector("[aria-selected=true]"))?.focus();
  }
}

/**
 * A choice of a few, as buttons side by side.
 * @param {string} name
 * @param {{id: string, label: Child[]}[]} choices
 * @param {string} chosen
 * @param {(id: string) => void} onchoose
 */
export function segments(name, choices, chosen, onchoose) {
  return h(
    "div",
    { class: "segments", role: "group", "aria-label": name },
    ...choices.map(({ id, label }) => {
      const pressed = id === chosen ? "true" : "false";
      return h(
        "button",
        { type: "button", "aria-pressed": pressed, "data-id": id, onclick: () => onchoose(id) },
        ...label,
      );
    }),
  );
}
