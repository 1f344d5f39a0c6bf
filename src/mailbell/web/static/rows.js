/**
 * A list of any length of which only the rows in sight are elements. Rows have one height, which the style sheet
 * sets by the width of the list; headings stand above some of them.
 */

import { h } from "./dom.js";

/** @import { Summary } from "./api.js" */

/** Rows above and below those in sight that are elements too. */
const BEYOND = 8;

/**
 * @typedef {{
 *   length: number, days: number[], at: (index: number) => Summary | undefined,
 *   indexOf: (id: string) => number, look: (first: number, last: number) => void,
 * }} Model
 * @typedef {{
 *   row: (mail: Summary | undefined, index: number) => HTMLElement,
 *   stamp: (mail: Summary | undefined, index: number) => string, heading: (mail: Summary) => string,
 * }} Looks `stamp` changes when `row` would make another element
 * @typedef {{element: HTMLElement, stamp: string}} Row
 */

export class Rows {
  /**
   * @param {HTMLElement} scroller
   * @param {HTMLOListElement} list inside the scroller
   * @param {Model} model
   * @param {Looks} looks
   */
  constructor(scroller, list, model, looks) {
    this.scroller = scroller;
    this.list = list;
    this.model = model;
    this.looks = looks;
    /** @type {Map<string, Row>} */
    this.made = new Map();
    this.height = 40;
    this.headingHeight = 32;
    /** @type {{id: string, top: number} | null} the first mail in sight, and where: it is to stay there */
    this.anchor = null;
    this.frame = 0;
    this.seenTop = 0;
    scroller.addEventListener("scroll", () => this.#onScroll(), { passive: true });
    this.observer = new ResizeObserver(() => this.render());
    this.observer.observe(scroller);
  }

  stop() {
    this.observer.disconnect();
    cancelAnimationFrame(this.frame);
  }

  /** Show what has changed, with the next frame. */
  renderSoon() {
    if (!this.frame) this.frame = requestAnimationFrame(() => this.render());
  }

  render() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    this.#measure();
    this.list.style.height = `${this.#top(this.model.length)}px`;
    this.#restoreAnchor();
    this.#show();
  }

  /**
   * Scroll so that a row is in sight.
   * @param {number} index
   */
  reveal(index) {
    const top = this.#top(index) - (this.#beginsDay(index) ? this.headingHeight : 0);
    const bottom = this.#top(index) + this.height;
    const { scrollTop, clientHeight } = this.scroller;
    if (top < scrollTop) this.scroller.scrollTop = top;
    else if (bottom > scrollTop + clientHeight) this.scroller.scrollTop = bottom - clientHeight;
    this.#show();
  }

  /** Back to the newest. */
  toTop() {
    this.scroller.scrollTop = 0;
    this.anchor = null;
    this.#show();
  }

  get isAtTop() {
    return this.scroller.scrollTop < this.height;
  }

  /**
   * The element of a mail, if it is in sight.
   * @param {string} id
   */
  element(id) {
    return this.made.get(id)?.element;
  }

  #onScroll() {
    // With a change to be drawn the rows are not where the model has them: what one reads has only moved.
    if (this.frame && this.anchor) this.anchor.top -= this.scroller.scrollTop - this.seenTop;
    this.seenTop = this.scroller.scrollTop;
    if (!this.frame) this.#show();
    this.scroller.dispatchEvent(new CustomEvent("look"));
  }

  #measure() {
    const style = getComputedStyle(this.list);
    this.height = parseFloat(style.getPropertyValue("--row")) || 40;
    this.headingHeight = parseFloat(style.getPropertyValue("--heading")) || 32;
  }

  /**
   * Where a row begins: below all rows and headings before it, and its own heading.
   * @param {number} index
   */
  #top(index) {
    return index * this.height + headingsUpTo(this.model.days, index) * this.headingHeight;
  }

  /**
   * The row at a height.
   * @param {number} y
   */
  #at(y) {
    let low = 0;
    let high = Math.max(0, this.model.length - 1);
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (this.#top(middle) <= y) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Whatever came or went above: what one reads stays where it is. At the top one wants to see the newest. */
  #restoreAnchor() {
    if (!this.anchor) return;
    const index = this.model.indexOf(this.anchor.id);
    if (index >= 0) this.scroller.scrollTop = this.#top(index) - this.anchor.top;
  }

  #takeAnchor(/** @type {number} */ first, /** @type {number} */ last) {
    this.anchor = null;
    if (this.isAtTop) return;
    for (let index = first; index <= last; index += 1) {
      const mail = this.model.at(index);
      const top = this.#top(index) - this.scroller.scrollTop;
      if (mail && top > -this.height) return void (this.anchor = { id: mail.ID, top });
    }
  }

  /** Make the rows in sight, and let go of the others; but not of the one that has the focus. */
  #show() {
    const { scrollTop, clientHeight } = this.scroller;
    this.seenTop = scrollTop;
    const most = this.model.length - 1;
    const first = this.#at(scrollTop);
    const last = Math.min(most, this.#at(scrollTop + clientHeight));
    this.#takeAnchor(first, last);
    const [from, to] = [Math.max(0, first - BEYOND), Math.min(most, last + BEYOND)];
    this.model.look(from, Math.max(from, to)); // what is about to come into sight, too
    const wanted = range(from, to);
    this.#arrange(withFocused(wanted, this.#focused()).flatMap((index) => this.#rowsAt(index)));
  }

  /** The place of the mail whose row has the focus; -1: none has. */
  #focused() {
    const row = document.activeElement?.closest("li");
    for (const [key, { element }] of this.made) if (element === row) return this.model.indexOf(key);
    return -1;
  }

  /**
   * The row of a place, its heading before it.
   * @param {number} index
   * @returns {[string, Row][]}
   */
  #rowsAt(index) {
    const mail = this.model.at(index);
    const top = this.#top(index);
    const key = mail ? mail.ID : `hole ${index}`;
    const row = this.#row(key, this.looks.stamp(mail, index), () => this.looks.row(mail, index), top);
    row.element.setAttribute("aria-posinset", String(index + 1));
    row.element.setAttribute("aria-setsize", String(this.model.length));
    if (!mail || !this.#beginsDay(index)) return [[key, row]];
    const day = this.looks.heading(mail);
    const make = () => h("li", { class: "day" }, h("h2", null, day));
    return [
      [`day ${day}`, this.#row(`day ${day}`, "", make, top - this.headingHeight)],
      [key, row],
    ];
  }

  /** @param {number} index */
  #beginsDay(index) {
    return headingsUpTo(this.model.days, index) > headingsUpTo(this.model.days, index - 1);
  }

  /**
   * What was made before, if it would look the same.
   * @param {string} key
   * @param {string} stamp
   * @param {() => HTMLElement} make
   * @param {number} top
   * @returns {Row}
   */
  #row(key, stamp, make, top) {
    const before = this.made.get(key);
    const row = before?.stamp === stamp ? before : { element: make(), stamp };
    if (before && before !== row) exchange(before.element, row.element);
    const transform = `translateY(${top}px)`;
    if (row.element.style.transform !== transform) row.element.style.transform = transform;
    return row;
  }

  /**
   * Let the list have these rows, in this order: screen readers and Tab go by it.
   * @param {[string, Row][]} rows
   */
  #arrange(rows) {
    const kept = new Map(rows);
    for (const [key, { element }] of this.made) if (!kept.has(key)) element.remove();
    this.made = kept;
    let next = this.list.firstChild;
    for (const [, { element }] of rows) {
      if (element === next) next = next.nextSibling;
      else this.list.insertBefore(element, next);
    }
  }
}

/**
 * @param {number} first
 * @param {number} last
 */
function range(first, last) {
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => first + index);
}

/**
 * @param {number[]} indices in order
 * @param {number} focused
 */
function withFocused(indices, focused) {
  if (focused < 0 || indices.includes(focused)) return indices;
  return focused < indices[0] ? [focused, ...indices] : [...indices, focused];
}

/**
 * How many of these places, which are in order, are at or before an index.
 * @param {number[]} days
 * @param {number} index
 */
export function headingsUpTo(days, index) {
  let low = 0;
  let high = days.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (days[middle] <= index) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * Put one element in place of another; the focus goes to what stands where it was.
 * @param {HTMLElement} before
 * @param {HTMLElement} after
 */
function exchange(before, after) {
  const focused = document.activeElement;
  const tag = focused && before.contains(focused) ? focused.tagName : null;
  before.replaceWith(after);
  if (tag) /** @type {HTMLElement | null} */ (after.querySelector(tag))?.focus({ preventScroll: true });
}
