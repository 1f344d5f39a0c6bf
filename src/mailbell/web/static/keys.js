/** The keyboard: a table of keys of the view in front, and of those that work everywhere. */

import { h } from "./dom.js";
import { keep, recall } from "./prefs.js";
import { open } from "./dialog.js";

/** @typedef {{keys: string[], what: string, run: (event: KeyboardEvent) => void, single?: boolean}} Binding */

/** Between the two keys of a pair such as `g i`. */
const PAIR = 1500;
const NAMES = /** @type {Record<string, string>} */ ({
  ArrowDown: "↓",
  ArrowUp: "↑",
  Escape: "Esc",
  Delete: "Del",
  " ": "Space",
});

export class Keys {
  /** @param {Binding[]} everywhere */
  constructor(everywhere) {
    this.everywhere = everywhere;
    /** @type {Binding[]} */
    this.here = [];
    this.title = "";
    this.pending = "";
    this.timer = 0;
    addEventListener("keydown", (event) => this.#press(event));
  }

  /**
   * The keys of the view in front.
   * @param {string} title
   * @param {Binding[]} bindings
   */
  use(title, bindings) {
    this.title = title;
    this.here = bindings;
  }

  /** Single letters get in the way of those who dictate (WCAG 2.1.4): they can be turned off. */
  get letters() {
    return recall("letters") !== "off";
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (document.querySelector("dialog[open]")) return;
    const key = keyOf(event);
    const inField = isField(event.target);
    if (inField && key !== "Escape") return;
    if (!this.letters && [...key].length === 1) return;
    const pressed = this.pending ? `${this.pending} ${key}` : key;
    const all = [...this.here, ...this.everywhere];
    const found =
      all.find(({ keys }) => keys.includes(pressed)) ?? all.find(({ keys }) => keys.includes(key));
    this.#remember(
      !found && all.some(({ keys }) => keys.some((each) => each.startsWith(`${key} `))) ? key : "",
    );
    if (!found || (key === "Enter" && isControl(event.target))) return;
    event.preventDefault();
    if (inField) /** @type {HTMLElement} */ (event.target).blur();
    found.run(event);
  }

  /** @param {string} key */
  #remember(key) {
    clearTimeout(this.timer);
    this.pending = key;
    if (key) this.timer = setTimeout(() => (this.pending = ""), PAIR);
  }

  /** Show what there is. */
  help() {
    const toggle = h("input", {
      type: "checkbox",
      checked: this.letters,
      onchange: () => keep("letters", toggle.checked ? null : "off"),
    });
    open({
      title: "Keys",
      body: [
        h("div", { class: "keys" }, section(this.title, this.here), section("Everywhere", this.everywhere)),
        h("label", { class: "check" }, toggle, "Single letters are keys"),
      ],
      wide: true,
    });
  }
}

/**
 * @param {string} title
 * @param {Binding[]} bindings
 */
function section(title, bindings) {
  if (!bindings.length) return null;
  const rows = bindings.map(({ keys, what }) => [
    h("dt", null, keys.map((each, index) => [index ? " or " : "", ...each.split(" ").map(cap)]).flat()),
    h("dd", null, what),
  ]);
  return h("section", null, h("h3", null, title), h("dl", null, ...rows.flat()));
}

/** @param {string} key */
function cap(key) {
  return h("kbd", null, NAMES[key] ?? key);
}

/**
 * The key by what it writes; on a layout without Latin letters by where it is.
 * @param {KeyboardEvent} event
 */
function keyOf({ key, code }) {
  const isOther = key.length === 1 && key > "~" && /^Key[A-Z]$/.test(code);
  return isOther ? code[3].toLowerCase() : key;
}

/** @param {EventTarget | null} target */
function isField(target) {
  if (target instanceof HTMLInputElement) return !["checkbox", "radio", "button"].includes(target.type);
  return target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement;
}

/** @param {EventTarget | null} target */
function isControl(target) {
  return (
    target instanceof HTMLElement && target.closest("a, button, input, select, textarea, summary") !== null
  );
}
