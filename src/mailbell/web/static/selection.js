/** Which mails are ticked: some, or all that the query finds. */

/** @import { Summary } from "./api.js" */
/** @import { Mails } from "./mails.js" */

export class Selection {
  /** @param {Mails} mails */
  constructor(mails) {
    this.mails = mails;
    /** @type {Map<string, Summary>} */
    this.chosen = new Map();
    this.all = false;
    /** Where a range begins. */
    this.origin = "";
  }

  get size() {
    return this.all ? this.mails.count : this.chosen.size;
  }

  /** @param {string} id */
  has(id) {
    return this.all || this.chosen.has(id);
  }

  clear() {
    this.chosen.clear();
    this.all = false;
  }

  /** Take all, or none when all are taken. */
  toggleAll() {
    const all = this.all;
    this.clear();
    this.all = !all && this.mails.count > 0;
  }

  /**
   * @param {Summary} mail
   * @param {boolean} range from the one that was ticked before to this one
   */
  toggle(mail, range) {
    if (this.all) this.#onlyThoseHere();
    const from = range ? this.mails.indexOf(this.origin) : -1;
    if (from >= 0) this.#take(from, this.mails.indexOf(mail.ID));
    else if (!this.chosen.delete(mail.ID)) this.chosen.set(mail.ID, mail);
    this.origin = mail.ID;
  }

  /** Forget those that are gone. */
  prune() {
    for (const id of this.chosen.keys()) if (!this.mails.known.has(id)) this.chosen.delete(id);
    if (this.all && !this.mails.count) this.all = false;
  }

  #take(/** @type {number} */ from, /** @type {number} */ to) {
    for (let index = Math.min(from, to); index <= Math.max(from, to); index += 1) {
      const mail = this.mails.at(index);
      if (mail) this.chosen.set(mail.ID, mail);
    }
  }

  /** Of "all" one is to be taken out: those that are here stay ticked, for only those can be seen. */
  #onlyThoseHere() {
    this.all = false;
    this.chosen = new Map(this.mails.known);
  }
}
