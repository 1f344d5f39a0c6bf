/**
 * Making elements. Whatever a stranger wrote can only become text or the value of an attribute: nothing here, or
 * in any other module, parses HTML.
 */

import { ICONS } from "./icons.js";

/** @typedef {Node | string | number | null | undefined | false | Child[]} Child */
/** @typedef {Record<string, unknown>} Attributes functions by "onclick" and the like; true, false and null as one expects */

const SVG = "http://www.w3.org/2000/svg";
const PROPERTIES = new Set(["value", "checked", "indeterminate", "disabled", "hidden"]);

/**
 * Make an element.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Attributes | null} [attributes]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) set(element, name, value);
  fill(element, ...children);
  return element;
}

/**
 * Make an element of SVG.
 * @param {string} tag
 * @param {Attributes} [attributes]
 * @param {...Child} children
 * @returns {SVGElement}
 */
export function svg(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes ?? {})) set(element, name, value);
  fill(element, ...children);
  return element;
}

/**
 * @param {Element} element
 * @param {string} name
 * @param {unknown} value
 */
function set(element, name, value) {
  if (typeof value === "function") {
    element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
  } else if (PROPERTIES.has(name)) {
    Reflect.set(element, name, value);
  } else if (value === true) {
    element.setAttribute(name, "");
  } else if (value !== false && value !== null && value !== undefined) {
    element.setAttribute(name, String(value));
  }
}

/**
 * Let an element have these children and no others.
 * @param {Element} element
 * @param {...Child} children
 */
export function fill(element, ...children) {
  element.replaceChildren(...nodesOf(children));
}

/**
 * @param {Child[]} children
 * @returns {(Node | string)[]}
 */
function nodesOf(children) {
  return children.flatMap((each) => {
    if (Array.isArray(each)) return nodesOf(each);
    if (each === null || each === undefined || each === false) return [];
    return each instanceof Node ? each : String(each);
  });
}

/**
 * An icon; it says nothing to a screen reader.
 * @param {keyof typeof ICONS} name
 * @returns {SVGElement}
 */
export function icon(name) {
  return svg(
    "svg",
    { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" },
    svg("path", { d: ICONS[name] }),
  );
}

/**
 * Text that only a screen reader gets.
 * @param {string} text
 */
export function unseen(text) {
  return h("span", { class: "unseen" }, text);
}

/**
 * Text of a stranger: whichever way it runs, it does not turn what stands around it.
 * @param {string} text
 * @param {string} [kind] a class
 */
export function foreign(text, kind) {
  return h("bdi", { class: kind }, text);
}

/**
 * A button; with `text` beside the icon, or with the text as its name only.
 * @param {{icon?: keyof typeof ICONS, text: string, bare?: boolean, kind?: string, key?: string} & Attributes} options
 */
export function button({ icon: name, text, bare = false, kind = "", key, ...attributes }) {
  const title = key ? `${text} (${key})` : text;
  return h(
    "button",
    {
      type: "button",
      class: `button ${bare ? "bare" : ""} ${kind}`,
      title: bare || key ? title : null,
      "aria-label": bare ? text : null,
      ...attributes,
    },
    name && icon(name),
    !bare && h("span", null, text),
  );
}
