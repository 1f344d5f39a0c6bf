/** Figures and moments as people read them; the locale is the browser's. */

const UNITS = ["B", "kB", "MB", "GB", "TB"];
const DAY = 86_400_000;

/** @type {Map<string, Intl.DateTimeFormat>} making one takes longer than using it a hundred times */
const formats = new Map();

/**
 * @param {string} name
 * @param {Intl.DateTimeFormatOptions} options
 */
function dateFormat(name, options) {
  let made = formats.get(name);
  if (!made) formats.set(name, (made = new Intl.DateTimeFormat(undefined, options)));
  return made;
}

/**
 * 1234 → "1.2 kB".
 * @param {number} octets
 */
export function size(octets) {
  let unit = 0;
  while (octets >= 999.5 && unit < UNITS.length - 1) {
    octets /= 1000;
    unit += 1;
  }
  return `${octets < 9.95 && unit ? octets.toFixed(1) : Math.round(octets)} ${UNITS[unit]}`;
}

/**
 * A whole number with its thousands set apart.
 * @param {number} value
 */
export function number(value) {
  return value.toLocaleString();
}

/**
 * "1 mail", "1,200 mails".
 * @param {number} count
 * @param {string} one
 * @param {string} [many]
 */
export function plural(count, one, many = `${one}s`) {
  return `${number(count)} ${count === 1 ? one : many}`;
}

/**
 * Hours and minutes.
 * @param {Date} date
 */
export function clock(date) {
  return dateFormat("clock", { hour: "numeric", minute: "2-digit" }).format(date);
}

/**
 * Hours to milliseconds: what one compares with a log.
 * @param {Date} date
 */
export function precise(date) {
  const options = /** @type {Intl.DateTimeFormatOptions} */ ({
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    fractionalSecondDigits: 3,
    hourCycle: "h23",
  });
  return dateFormat("precise", options).format(date);
}

/**
 * Day and time, to the second.
 * @param {Date} date
 */
export function full(date) {
  return dateFormat("full", { dateStyle: "medium", timeStyle: "medium" }).format(date);
}

/**
 * The time of today, else the day too.
 * @param {Date} date
 * @param {Date} [now]
 */
export function moment(date, now = new Date()) {
  if (dayNumber(date) === dayNumber(now)) return clock(date);
  const options = /** @type {Intl.DateTimeFormatOptions} */ ({
    day: "numeric",
    month: "short",
    hour: "numeric",
    minute: "2-digit",
  });
  return dateFormat("moment", options).format(date);
}

/**
 * A number that two moments share when they are on the same day here.
 * @param {Date} date
 */
export function dayNumber(date) {
  return (date.getFullYear() * 100 + date.getMonth()) * 100 + date.getDate();
}

/**
 * "Today", "Yesterday", "Monday, 25 January"; the year when it is another one.
 * @param {Date} date
 * @param {Date} [now]
 */
export function day(date, now = new Date()) {
  if (dayNumber(date) === dayNumber(now)) return "Today";
  if (dayNumber(date) === dayNumber(new Date(now.getFullYear(), now.getMonth(), now.getDate() - 1))) {
    return "Yesterday";
  }
  const options = /** @type {Intl.DateTimeFormatOptions} */ ({
    weekday: "long",
    day: "numeric",
    month: "long",
  });
  if (date.getFullYear() === now.getFullYear()) return dateFormat("day", options).format(date);
  return dateFormat("year", { ...options, year: "numeric" }).format(date);
}

/**
 * "3 s", "12 min", "5 h", "2 days": the largest unit only.
 * @param {number} ms
 */
export function duration(ms) {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${Number(seconds.toFixed(1))} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
  if (ms < 2 * DAY) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(ms / DAY)} days`;
}

/**
 * "just now", "in 12 s", "5 min ago".
 * @param {Date} date
 * @param {number} [now]
 */
export function relative(date, now = Date.now()) {
  const ms = date.getTime() - now;
  if (Math.abs(ms) < 1500) return "now";
  return ms > 0 ? `in ${duration(ms)}` : `${duration(-ms)} ago`;
}

/**
 * A moment as the API gives it: RFC 3339, or seconds since the epoch.
 * @param {string | number} value
 */
export function date(value) {
  return new Date(typeof value === "number" ? value * 1000 : value);
}
