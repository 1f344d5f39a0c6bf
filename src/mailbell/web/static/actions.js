/** What can be done to mails: to some, or to all that a query finds. */

import { h } from "./dom.js";
import { ask, confirm } from "./dialog.js";
import { plural } from "./format.js";

/** @import { App } from "./app.js" */
/** @import { Summary } from "./api.js" */
/** @import { Selection } from "./selection.js" */

export class Actions {
  /** @param {App} app */
  constructor(app) {
    this.app = app;
  }

  /**
   * @param {Selection} selection
   * @param {boolean} read
   */
  async mark(selection, read) {
    if (!selection.size) return; // no IDs would mean all of them to the API
    const which = selection.all ? { Search: this.app.mails.query } : { IDs: [...selection.chosen.keys()] };
    await this.#try(() => this.app.api.change("PUT", "/api/v1/messages", { Read: read, ...which }));
  }

  /**
   * Ask, and delete.
   * @param {Selection} selection
   */
  async remove(selection) {
    const { query } = this.app.mails;
    const what = selection.all && !query ? "every mail in the inbox" : plural(selection.size, "mail");
    if (selection.all || selection.size > 1) {
      const text = "They leave the inbox at once. Sinks that have not delivered them yet still will.";
      if (!(await confirm({ title: `Delete ${what}?`, text, action: "Delete", danger: true }))) return;
    }
    await this.#try(() => {
      if (!selection.all) return this.removeThese([...selection.chosen.keys()]);
      if (!query) return this.app.api.change("DELETE", "/api/v1/messages", {});
      return this.app.api.change("DELETE", this.app.mails.searchPath());
    });
    selection.clear();
  }

  /**
   * Without asking. No IDs would mean all of them to the API.
   * @param {string[]} ids
   */
  async removeThese(ids) {
    if (ids.length) await this.app.api.change("DELETE", "/api/v1/messages", { IDs: ids });
  }

  /**
   * Let one mail have these tags.
   * @param {string} id
   * @param {string[]} tags
   */
  async setTags(id, tags) {
    await this.#try(() => this.app.api.change("PUT", "/api/v1/tags", { IDs: [id], Tags: tags }));
  }

  /**
   * Ask for a tag, and add it to what each has.
   * @param {Selection} selection
   */
  addTag(selection) {
    const mails = [...selection.chosen.values()];
    const field = tagField(this.app.mails.tags);
    ask({
      title: `Tag ${plural(mails.length, "mail")}`,
      fields: field.elements,
      action: "Add tag",
      run: async () => {
        const name = field.input.value.trim();
        if (!name) throw new Error("Give the tag a name.");
        for (const [tags, ids] of byTags(mails, name)) {
          await this.app.api.change("PUT", "/api/v1/tags", { IDs: ids, Tags: tags });
        }
      },
    });
  }

  /**
   * @param {() => Promise<unknown>} work
   */
  async #try(work) {
    try {
      await work();
    } catch (error) {
      this.app.notices.failed(error);
    }
  }
}

/**
 * A field for a tag, which knows those in use.
 * @param {string[]} tags
 */
export function tagField(tags) {
  const input = h("input", { type: "text", list: "known-tags", maxlength: "100", autocomplete: "off" });
  const known = h("datalist", { id: "known-tags" }, ...tags.map((value) => h("option", { value })));
  return { input, elements: [h("label", { class: "field" }, h("span", null, "Tag"), input), known] };
}

/**
 * A request gives all its mails the same tags: put together those that end up with the same.
 * @param {Summary[]} mails
 * @param {string} name
 * @returns {[string[], string[]][]} tags, IDs
 */
function byTags(mails, name) {
  /** @type {Map<string, [string[], string[]]>} */
  const groups = new Map();
  for (const { ID, Tags } of mails) {
    const tags = [...new Set([...Tags, name])].sort();
    const key = JSON.stringify(tags);
    const [, ids] = groups.get(key) ?? [tags, []];
    groups.set(key, [tags, [...ids, ID]]);
  }
  return [...groups.values()];
}
