/** Where one is: in the hash, so that the server has one page and Back works. `#/inbox/ID/text?q=…` */

/**
 * @typedef {"inbox" | "monitor" | "connections" | "sinks" | "overview"} ViewName
 * @typedef {{view: ViewName, id: string, tab: string, query: string}} Route empty where there is none
 */

/** @type {ViewName[]} */
export const VIEWS = ["inbox", "monitor", "connections", "sinks", "overview"];

/**
 * Read a hash; what is none of ours is the inbox.
 * @param {string} hash
 * @returns {Route}
 */
export function parse(hash) {
  const [path, search = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const [name, id = "", tab = ""] = path.split("/").map(decode);
  const view = VIEWS.find((each) => each === name) ?? "inbox";
  return { view, id, tab, query: new URLSearchParams(search).get("q") ?? "" };
}

/**
 * Write a hash.
 * @param {Partial<Route> & {view: ViewName}} route
 */
export function link({ view, id = "", tab = "", query = "" }) {
  const path = [view, id, tab].filter(Boolean).map(encodeURIComponent).join("/");
  return `#/${path}${query ? `?q=${encodeURIComponent(query)}` : ""}`;
}

/** @param {string} text */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return ""; // somebody has typed a lone %
  }
}
