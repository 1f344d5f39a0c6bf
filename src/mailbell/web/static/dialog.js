/** Dialogs. The browser's own element keeps the focus inside, ends with Esc and gives the focus back. */

import { button, fill, h } from "./dom.js";

/** @import { Child } from "./dom.js" */

/**
 * Show something until it is closed.
 * @param {{title: string, body: Child[], actions?: Child[], wide?: boolean, kind?: string, onclose?: () => void}} what
 * @returns {HTMLDialogElement}
 */
export function open({ title, body, actions = [], wide = false, kind = "", onclose }) {
  const dialog = h(
    "dialog",
    {
      class: `dialog ${wide ? "wide" : ""} ${kind}`,
      "aria-label": title,
      onclose: () => (dialog.remove(), onclose?.()),
    },
    h(
      "header",
      null,
      h("h2", null, title),
      button({ icon: "close", text: "Close", bare: true, onclick: () => dialog.close() }),
    ),
    h("div", { class: "body" }, ...body),
    actions.length > 0 && h("footer", null, ...actions),
  );
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/**
 * Ask before something that can't be undone.
 * @param {{title: string, text: string, action: string, danger?: boolean}} question
 * @returns {Promise<boolean>}
 */
export function confirm({ title, text, action, danger = false }) {
  return new Promise((resolve) => {
    let sure = false;
    const yes = button({
      text: action,
      kind: danger ? "danger" : "primary",
      onclick: () => ((sure = true), dialog.close()),
    });
    const no = button({ text: "Cancel", onclick: () => dialog.close() });
    const onclose = () => resolve(sure);
    const dialog = open({ title, body: [h("p", null, text)], actions: [no, yes], onclose });
    yes.focus();
  });
}

/**
 * Ask for something, and do it: the dialog stays open with the reason when that fails.
 * @param {{
 *   title: string, fields: HTMLElement[], action: string, run: () => Promise<void>,
 * }} form
 */
export function ask({ title, fields, action, run }) {
  const problem = h("p", { class: "problem", role: "alert" });
  const yes = button({ text: action, kind: "primary", type: "submit" });
  const no = button({ text: "Cancel", onclick: () => dialog.close() });
  const submit = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    yes.disabled = true;
    try {
      await run();
      dialog.close();
    } catch (error) {
      fill(problem, /** @type {Error} */ (error).message);
    } finally {
      yes.disabled = false;
    }
  };
  const form = h("form", { onsubmit: submit }, ...fields, problem, h("footer", null, no, yes));
  const dialog = open({ title, body: [form] });
  /** @type {HTMLElement | null} */ (form.querySelector("input, textarea, select"))?.focus();
}
