/** The event that the mail became, in both forms. */

import { fill, h } from "./dom.js";
import { messagePath } from "./api.js";
import { copyButton } from "./copy.js";
import { json } from "./json.js";
import { keep, recall } from "./prefs.js";
import { segments } from "./tabs.js";

/** @import { Context } from "./message.js" */

const FORMS = [
  { id: "full", label: ["Full"] },
  { id: "hsyco", label: ["HSYCO"] },
];

/** @param {Context} context */
export async function event(context) {
  const form = recall("form") === "hsyco" ? "hsyco" : "full";
  await show(context, form);
}

/**
 * @param {Context} context
 * @param {string} form
 */
async function show(context, form) {
  const { app, mail, panel, signal } = context;
  const value =
    form === "full"
      ? await context.event()
      : await app.api.get(messagePath(mail.ID, `/event?format=${form}`), signal);
  if (signal.aborted) return;
  const focused =
    document.activeElement instanceof HTMLElement && panel.contains(document.activeElement)
      ? document.activeElement.dataset.id
      : null;
  const choose = (/** @type {string} */ chosen) => {
    keep("form", chosen === "hsyco" ? chosen : null);
    show(context, chosen).catch((error) => app.notices.failed(error));
  };
  fill(
    panel,
    h(
      "div",
      { class: "tools" },
      segments("Form", FORMS, form, choose),
      about(form),
      copyButton(() => JSON.stringify(value), "Copy as one line", false),
    ),
    form === "full" ? repairs(value.defects) : null,
    json(value, form === "full" ? "The event in its full form" : "The event as HSYCO's data point"),
  );
  if (focused) /** @type {HTMLElement | null} */ (panel.querySelector(`[data-id="${focused}"]`))?.focus();
}

/** @param {string} form */
function about(form) {
  return h(
    "p",
    { class: "quiet" },
    form === "full" ? "What sinks get." : "The value of the mail data point.",
  );
}

/**
 * What was wrong with the mail, and how it was read.
 * @param {string[]} defects
 */
function repairs(defects) {
  if (!defects.length) return null;
  return h(
    "section",
    { class: "repairs" },
    h("h3", null, "What was wrong with the mail, and how it was read"),
    h("ul", null, ...defects.map((each) => h("li", null, h("bdi", null, each)))),
  );
}
