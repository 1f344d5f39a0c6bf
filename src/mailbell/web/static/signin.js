/** Signing in. */

import { button, fill, h } from "./dom.js";
import { ApiError } from "./api.js";

/** @import { Api } from "./api.js" */

const ICON = new URL("./icon.svg", import.meta.url).href;
/** Seconds. */
const LONGEST_WAIT = 15;

/**
 * @param {Api} api
 * @param {() => void} onSignedIn
 */
export function signIn(api, onSignedIn) {
  const problem = h("p", { class: "problem", role: "alert" });
  const user = h("input", {
    type: "text",
    name: "user",
    autocomplete: "username",
    autocapitalize: "none",
    spellcheck: "false",
    required: true,
  });
  const password = h("input", {
    type: "password",
    name: "password",
    autocomplete: "current-password",
    required: true,
  });
  const enter = button({ text: "Sign in", kind: "primary", type: "submit" });
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    enter.disabled = true;
    fill(problem);
    try {
      await enterPatiently(api, { user: user.value, password: password.value }, (text) =>
        fill(problem, text),
      );
      onSignedIn();
    } catch (error) {
      fill(problem, /** @type {Error} */ (error).message);
      password.value = "";
      password.focus();
    } finally {
      enter.disabled = false;
    }
  };
  const form = h(
    "form",
    { class: "sign-in", onsubmit: submit, "aria-labelledby": "sign-in" },
    h("img", { src: ICON, alt: "", width: 48, height: 48 }),
    h("h1", { id: "sign-in" }, "mailbell"),
    h("label", { class: "field" }, h("span", null, "User"), user),
    h("label", { class: "field" }, h("span", null, "Password"), password),
    problem,
    enter,
  );
  return { element: h("div", { class: "signing-in" }, form), focus: () => user.focus() };
}

/**
 * Sign in. Who has given a wrong password has to wait before the next one is looked at: that is done here, for a
 * person who has mistyped has nothing to do but wait.
 * @param {Api} api
 * @param {{user: string, password: string}} given
 * @param {(text: string) => void} tell
 */
async function enterPatiently(api, given, tell) {
  for (;;) {
    try {
      return await api.change("POST", "/api/v1/login", given);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 429 || error.retryAfter > LONGEST_WAIT)
        throw error;
      for (let seconds = error.retryAfter; seconds > 0; seconds -= 1) {
        tell(`After a wrong password one has to wait. Trying again in ${seconds} s …`);
        await new Promise((resolve) => setTimeout(resolve, 1000));
      }
    }
  }
}
