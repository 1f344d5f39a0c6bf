/** Signing in. */

import { button, fill, h } from "./dom.js";
import { ApiError } from "./api.js";

/** @import { Api } from "./api.js" */

/**
 * @param {Api} api
 * @param {() => void} onSignedIn
 */
export function signIn(api, onSignedIn) {
  const problem = h("p", { class: "problem", role: "alert" });
  const user = h("input", { type: "text", name: "user", autocomplete: "username", autocapitalize: "none", spellcheck: "false", required: true });
  const password = h("input", { type: "password", name: "password", autocomplete: "current-password", required: true });
  const enter = button({ text: "Sign in", kind: "primary", type: "submit" });
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    enter.disabled = true;
    fill(problem);
    try {
      await api.change("POST", "/api/v1/login", { user: user.value, password: password.value });
      onSignedIn();
    } catch (error) {
      fill(problem, explain(error));
      password.value = "";
      password.focus();
    } finally {
      enter.disabled = false;
    }
  };
  const form = h(
    "form",
    { class: "sign-in", onsubmit: submit, "aria-labelledby": "sign-in" },
    h("img", { src: "/static/icon.svg", alt: "", width: 48, height: 48 }),
    h("h1", { id: "sign-in" }, "mailbell"),
    h("label", { class: "field" }, h("span", null, "User"), user),
    h("label", { class: "field" }, h("span", null, "Password"), password),
    problem,
    enter,
  );
  return { element: h("div", { class: "signing-in" }, form), focus: () => user.focus() };
}

/** @param {unknown} error */
function explain(error) {
  if (!(error instanceof ApiError)) return String(error);
  if (error.status === 429) return `Too many wrong passwords. Try again in ${error.retryAfter || 60} seconds.`;
  return error.message;
}
