/** The query as its terms, so that a click can put one in and take it out. */

const TERM = /[-!]?(?:[\w-]+:)?"[^"]*"?|\S+/g;

/**
 * @param {string} query
 * @returns {string[]}
 */
export function terms(query) {
  return query.match(TERM) ?? [];
}

/**
 * @param {string} query
 * @param {string} term
 */
export function has(query, term) {
  return terms(query).some((each) => each.toLowerCase() === term.toLowerCase());
}

/**
 * Put a term in, or take it out when it is there.
 * @param {string} query
 * @param {string} term
 */
export function toggle(query, term) {
  const kept = terms(query).filter((each) => each.toLowerCase() !== term.toLowerCase());
  return (has(query, term) ? kept : [...kept, term]).join(" ");
}

/**
 * The term that finds a tag.
 * @param {string} name
 */
export function tagTerm(name) {
  const bare = name.replaceAll('"', "");
  return /^[^\s"]+$/.test(bare) ? `tag:${bare}` : `tag:"${bare}"`;
}
