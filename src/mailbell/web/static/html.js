/** The HTML of a mail: a stranger's page, in a frame that can do nothing. */

import { fill, h, icon } from "./dom.js";
import { htmlPath } from "./api.js";
import { keep, recall } from "./prefs.js";
import { segments } from "./tabs.js";

/** @import { Context } from "./message.js" */

const ABOUT = "Scripts, forms, links and remote images are off.";
const LEFT = "Links lead nowhere here. The text of the mail has them, to be followed.";

/** @param {Context} context */
export function html({ mail, panel }) {
  const frame = h("iframe", {
    src: htmlPath(mail.ID),
    sandbox: "", // nothing is allowed; the response says the same of itself
    referrerpolicy: "no-referrer",
    title: "The HTML of the mail",
  });
  const stage = h("div", { class: "frame" }, frame);
  const about = h("p", { class: "quiet", role: "status" }, ABOUT);
  bringBack(frame, () => fill(about, LEFT));
  const bar = h("div", { class: "tools" });
  const show = (/** @type {string} */ width) => {
    keep("width", width === "phone" ? width : null);
    stage.classList.toggle("phone", width === "phone");
    fill(
      bar,
      segments(
        "Width",
        [
          { id: "desktop", label: [icon("desktop"), "Desktop"] },
          { id: "phone", label: [icon("phone"), "Phone"] },
        ],
        width,
        (chosen) => (show(chosen), focusOn(bar, chosen)),
      ),
      about,
      h(
        "a",
        { class: "button", href: htmlPath(mail.ID), target: "_blank", rel: "noopener" },
        icon("external"),
        h("span", null, "Alone in a tab"),
      ),
    );
  };
  show(recall("width") === "phone" ? "phone" : "desktop");
  fill(panel, bar, stage);
}

/**
 * @param {HTMLElement} bar
 * @param {string} id
 */
function focusOn(bar, id) {
  /** @type {HTMLElement | null} */ (bar.querySelector(`[data-id="${id}"]`))?.focus();
}

/**
 * A click on a link takes the frame to a page that the policy blocks: show the mail again.
 * @param {HTMLIFrameElement} frame
 * @param {() => void} onleft
 */
function bringBack(frame, onleft) {
  let expected = true;
  frame.addEventListener("load", () => {
    if (!expected) {
      onleft();
      frame.src = frame.src;
    }
    expected = !expected;
  });
}
