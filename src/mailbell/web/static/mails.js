/**
 * The mails of the inbox, or of a search, newest first: as many of them as somebody has looked at, each at its place.
 *
 * Pages are asked for by their distance from the newest mail, which changes while they are on their way. What stays
 * the same is the distance from the oldest one: that is how an answer finds its places.
 */

import { dayNumber } from "./format.js";

/** @import { ApiError, Listing, Summary } from "./api.js" */

export const PAGE = 100;
/** Browsers lay out no more than about 17 million pixels. */
export const MOST = 200_000;
/** What a search counts ends here; its pages do not. */
const COUNT_ENDS = 10_000;
const SETTLE = 150;
/** While the index is being made, or the server is away. */
const TRY_AGAIN = 2000;

/** Emits "change". */
export class Mails extends EventTarget {
  /** @param {(path: string) => Promise<any>} get */
  constructor(get) {
    super();
    this.get = get;
    this.query = "";
    /** How many there are, as far as we know. */
    this.count = 0;
    this.total = 0;
    this.unread = 0;
    /** @type {string[]} */
    this.tags = [];
    /** False until the first answer. */
    this.ready = false;
    /** @type {Error | null} why the last question was not answered */
    this.trouble = null;
    /** @type {Summary[]} with holes where nobody has looked */
    this.items = [];
    /** @type {Map<string, Summary>} */
    this.known = new Map();
    /** @type {Set<number>} the pages on their way */
    this.loading = new Set();
    /** @type {number[] | null} */
    this.begins = null;
    /** What somebody looks at. */
    this.window = { first: 0, last: 0 };
    /** Answers to questions of an earlier one are not wanted any more. */
    this.epoch = 0;
    this.timer = 0;
    this.reloading = false;
    /** @type {{Type: string, Data: any}[]} what was told while answers were on their way: they may not know of it */
    this.meanwhile = [];
    /** Something has happened that the answer on its way may not know of. */
    this.stale = false;
  }

  /**
   * Show what a query finds; "" is the whole inbox.
   * @param {string} query
   */
  async open(query) {
    this.query = query;
    this.window = { first: 0, last: 0 };
    this.ready = false;
    this.forget();
    this.changed();
    await this.reload();
  }

  /**
   * The mail at a place, if it is here.
   * @param {number} index
   * @returns {Summary | undefined}
   */
  at(index) {
    return this.items[index];
  }

  /** How many rows there are to show. */
  get length() {
    return Math.min(this.count, MOST);
  }

  /** Whether there may be more than `count` says. */
  get uncounted() {
    return this.query !== "" && this.count >= COUNT_ENDS;
  }

  /**
   * The place of a mail; -1 when it is not here.
   * @param {string} id
   */
  indexOf(id) {
    const mail = this.known.get(id);
    return mail ? this.items.indexOf(mail) : -1;
  }

  /**
   * Say what somebody looks at, so that it gets here.
   * @param {number} first
   * @param {number} last
   */
  look(first, last) {
    this.window = { first, last };
    if (!this.ready || this.reloading) return; // one looks again when the answer is here
    for (let page = pageOf(first); page <= pageOf(last); page += 1) {
      if (!this.loading.has(page) && this.#lacks(page)) this.#load(page);
    }
  }

  /** Ask anew for what somebody looks at. What is here stays until the answer comes. */
  async reload() {
    const epoch = (this.epoch += 1);
    clearTimeout(this.timer);
    this.timer = 0;
    this.stale = false;
    this.reloading = true;
    this.loading.clear();
    this.meanwhile = [];
    let wait = SETTLE;
    try {
      const answers = await Promise.all(this.#pagesInSight().map((page) => this.#ask(page)));
      if (epoch !== this.epoch) return;
      this.reloading = false;
      this.#replace(answers);
    } catch (error) {
      if (epoch !== this.epoch) return;
      this.trouble = /** @type {Error} */ (error);
      this.stale = /** @type {ApiError} */ (error).status !== 401;
      wait = TRY_AGAIN;
    }
    this.reloading = false;
    if (this.stale) this.#reloadIn(wait);
    this.changed();
  }

  /** @param {Listing[]} answers */
  #replace(answers) {
    this.forget();
    this.ready = true;
    this.trouble = null;
    this.count = answers[0].messages_count;
    for (const answer of answers) this.#place(answer);
    this.#hearAgain();
  }

  /** Ask anew soon, once for all that happens until then; never while an answer is on its way. */
  reloadSoon() {
    this.stale = true;
    if (!this.reloading && !this.timer) this.#reloadIn(SETTLE);
  }

  /** @param {number} wait */
  #reloadIn(wait) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.reload(), wait);
  }

  /** With the first one, which tells whether a mail that is announced is a new one. */
  #pagesInSight() {
    const pages = new Set([0]);
    for (let page = pageOf(this.window.first); page <= pageOf(this.window.last); page += 1) pages.add(page);
    return [...pages];
  }

  /**
   * Take in what the server says at /api/events.
   * @param {{Type: string, Data: any}} message
   */
  hear({ Type, Data }) {
    if (this.reloading || this.loading.size) this.meanwhile.push({ Type, Data });
    if (Type === "new") this.#arrive(Data);
    else if (Type === "update") this.#update(Data);
    else if (Type === "delete") this.#remove(Data.ID);
    else if (Type === "stats") this.#figures(Data);
    else if (Type === "truncate") this.#empty();
    else if (Type === "prune") this.reloadSoon();
  }

  #hearAgain() {
    for (const { Type, Data } of this.meanwhile) {
      if (Type === "new") this.#arrive(Data);
      else if (Type === "update") this.#update(Data);
    }
  }

  /** @param {Summary} mail */
  #arrive(mail) {
    if (this.known.has(mail.ID)) return;
    const newest = this.items[0]?.Sequence ?? (this.count ? Infinity : 0);
    // An answer may have counted it already, without bringing it.
    if (this.query !== "" || !this.ready || mail.Sequence <= newest) return this.reloadSoon();
    this.items = [mail].concat(this.items); // unlike unshift, this keeps the holes
    this.known.set(mail.ID, mail);
    this.count += 1;
    this.changed();
  }

  /** @param {Partial<Summary> & {ID: string}} data */
  #update(data) {
    const mail = this.known.get(data.ID);
    if (!mail) return;
    Object.assign(mail, data);
    this.changed();
  }

  /**
   * Answers may have been counted with it or without it: it is gone at once, and all else is asked for anew.
   * @param {string} id
   */
  #remove(id) {
    const index = this.indexOf(id);
    if (index >= 0) {
      this.items.splice(index, 1);
      this.known.delete(id);
      this.count -= 1;
      this.changed();
    }
    this.reloadSoon();
  }

  /** @param {{Total: number, Unread: number}} data */
  #figures({ Total, Unread }) {
    this.total = Total;
    this.unread = Unread;
    this.changed();
  }

  #empty() {
    this.epoch += 1;
    this.loading.clear();
    this.reloading = false;
    this.forget();
    this.total = this.unread = 0;
    this.changed();
    this.reloadSoon();
  }

  forget() {
    this.items = [];
    this.known.clear();
    this.count = 0;
  }

  /** @param {number} page */
  #lacks(page) {
    const end = Math.min((page + 1) * PAGE, this.length);
    for (let index = page * PAGE; index < end; index += 1) if (!(index in this.items)) return true;
    return false;
  }

  /** @param {number} page */
  async #load(page) {
    const epoch = this.epoch;
    if (!this.loading.size) this.meanwhile = [];
    this.loading.add(page);
    try {
      const answer = await this.#ask(page);
      if (epoch !== this.epoch) return;
      this.loading.delete(page);
      this.trouble = null;
      this.#place(answer);
      this.#hearAgain();
    } catch (error) {
      if (epoch !== this.epoch) return;
      this.loading.delete(page);
      this.trouble = /** @type {Error} */ (error);
    }
    this.changed();
  }

  /**
   * @param {number} page
   * @returns {Promise<Listing>}
   */
  #ask(page) {
    const range = `start=${page * PAGE}&limit=${PAGE}`;
    if (this.query === "") return this.get(`/api/v1/messages?${range}`);
    return this.get(`${this.searchPath()}&${range}`);
  }

  /** What asks for the search; dates in it are of the user's zone. */
  searchPath() {
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    return `/api/v1/search?query=${encodeURIComponent(this.query)}&tz=${encodeURIComponent(zone)}`;
  }

  /** @param {Listing} answer */
  #place(answer) {
    this.total = answer.total;
    this.unread = answer.unread;
    this.tags = answer.tags;
    const counted = this.query === "" || answer.messages_count < COUNT_ENDS;
    if (counted) this.#grow(answer.messages_count - this.count);
    const shift = counted ? this.count - answer.messages_count : 0;
    answer.messages.forEach((mail, index) => this.#put(answer.start + shift + index, mail));
    if (!counted) this.count = Math.max(this.count, answer.start + answer.messages.length);
    if (!counted && answer.messages.length === PAGE)
      this.count = Math.max(this.count, answer.start + 2 * PAGE);
  }

  /**
   * Mails have come that nobody has told us of yet.
   * @param {number} more
   */
  #grow(more) {
    if (more <= 0) return;
    this.items = /** @type {Summary[]} */ (new Array(more)).concat(this.items);
    this.count += more;
  }

  /**
   * @param {number} index
   * @param {Summary} mail
   */
  #put(index, mail) {
    const before = this.known.get(mail.ID);
    if (before && this.items[index] !== before) {
      const place = this.items.indexOf(before);
      if (place >= 0) delete this.items[place];
    }
    this.items[index] = mail;
    this.known.set(mail.ID, mail);
  }

  /** The places of mails whose day is not that of the mail above. */
  get days() {
    this.begins ??= this.#findDays();
    return this.begins;
  }

  #findDays() {
    /** @type {number[]} */
    const begins = [];
    let above = 0;
    let next = 0;
    this.items.forEach((mail, index) => {
      const day = dayOf(mail);
      if (index === 0 || (index === next && day !== above)) begins.push(index);
      above = day;
      next = index + 1;
    });
    return begins;
  }

  changed() {
    this.begins = null;
    this.dispatchEvent(new Event("change"));
  }
}

/** @param {number} index */
function pageOf(index) {
  return Math.floor(index / PAGE);
}

/** @type {WeakMap<Summary, number>} */
const dayNumbers = new WeakMap();

/** @param {Summary} mail */
function dayOf(mail) {
  let day = dayNumbers.get(mail);
  if (day === undefined) dayNumbers.set(mail, (day = dayNumber(new Date(mail.Created))));
  return day;
}
