/** The server's API: what is asked of it, and the shapes of its answers. */

/**
 * @typedef {{Name: string, Address: string}} Address
 * @typedef {"done" | "pending" | "trouble"} Delivery how all the sinks together fare with a mail
 * @typedef {{
 *   ID: string, Read: boolean, From: Address, To: Address[], Cc: Address[], Bcc: Address[], Subject: string,
 *   Created: string, Tags: string[], Size: number, Attachments: number, Snippet: string,
 *   Sequence: number, Delivery: Delivery,
 * }} Summary
 * @typedef {{
 *   total: number, unread: number, messages_count: number, messages_unread: number, start: number,
 *   tags: string[], messages: Summary[],
 * }} Listing
 * @typedef {{PartID: string, FileName: string, ContentType: string, ContentID: string, Size: number}} Part
 * @typedef {{
 *   ID: string, MessageID: string, From: Address, To: Address[], Cc: Address[], Bcc: Address[],
 *   ReplyTo: Address[], ReturnPath: string, Subject: string, Date: string, Tags: string[], Username: string,
 *   Text: string, HTML: string, Size: number, Inline: Part[], Attachments: Part[],
 * }} Detail
 * @typedef {{name: string, value: string}} HeaderField
 * @typedef {{
 *   received_at: string, headers: HeaderField[], defects: string[],
 *   source: {ip: string, helo: string, auth_user: string | null, tls: {version: string} | null},
 *   envelope: {mail_from: string, rcpt_to: string[]},
 * }} MailEvent
 * @typedef {{
 *   sink: string, state: "settled" | "waiting" | "parked" | "pending" | "skipped", attempts: number,
 *   due: string | null, reason: string | null, at: string | null,
 * }} SinkDelivery
 * @typedef {{
 *   name: string, type: string, describe: string, state: "up" | "down" | "paused", paused: string | null,
 *   lag: number, parked: number, delivered: number, retried: number, rate: number, history: number[],
 *   last_error: string | null, last_error_at: number | null,
 * }} Sink
 * @typedef {{sink: string, sequence: number, attempts: number, parked_at: number, reason: string}} Parked
 * @typedef {{at: number, mark: string, text: string}} Line
 * @typedef {{
 *   id: number, ioserver: string, ip: string, port: number, started_at: number, ended_at: number | null,
 *   tls: string, mails: number, failed: boolean, outcome: string, refusal?: string, left_out?: number, lines?: Line[],
 * }} Session
 * @typedef {{id: string, listening: string[], served: number, waiting: number}} IoServer
 * @typedef {{
 *   version: string, ioservers: IoServer[], sinks: Sink[],
 *   journal: {last_sequence: number, size: number, trouble: string | null},
 * }} Status
 * @typedef {{
 *   minutes: {at: string, mails: number, octets: number, refused: number}[],
 *   latency: {p50: number, p99: number} | null, disk: {used: number, free: number}, uptime: number,
 * }} Stats
 * @typedef {{mode: "single" | "active-standby" | "all-active", active: boolean, node: string | null, since: string | null}} Ha
 * @typedef {{name: string, value: string, at: string}} DataPoint
 * @typedef {{user: string | null, sign_in: boolean}} Me
 * @typedef {{MessageRelay: {Enabled: boolean, SMTPServer: string}}} WebUi
 */

/** What went wrong with a request, in words for the user. */
export class ApiError extends Error {
  /**
   * @param {number} status 0 when the server could not be reached
   * @param {string} message
   * @param {number} retryAfter in seconds; 0 when the server has not said
   */
  constructor(status, message, retryAfter = 0) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** Asks the server. */
export class Api {
  /** @param {() => void} onSignedOut called when an answer says that one has to sign in first */
  constructor(onSignedOut) {
    this.onSignedOut = onSignedOut;
  }

  /**
   * @param {string} path
   * @param {AbortSignal} [signal]
   * @returns {Promise<any>} the JSON
   */
  async get(path, signal) {
    return (await this.ask("GET", path, undefined, signal)).json();
  }

  /**
   * @param {"POST" | "PUT" | "DELETE"} method
   * @param {string} path
   * @param {unknown} [body]
   * @returns {Promise<any>} the JSON, or the text
   */
  async change(method, path, body) {
    const response = await this.ask(method, path, body);
    const isJson = response.headers.get("Content-Type")?.startsWith("application/json");
    return isJson ? response.json() : response.text();
  }

  /**
   * Ask; ApiError for everything but success. An AbortError passes through.
   * @param {string} method
   * @param {string} path
   * @param {unknown} [body]
   * @param {AbortSignal} [signal]
   */
  async ask(method, path, body, signal) {
    const headers = body === undefined ? undefined : { "Content-Type": "application/json" };
    const options = { method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal };
    const response = await fetch(path, options).catch((error) => {
      if (error.name === "AbortError") throw error;
      throw new ApiError(0, "The server does not answer. Is it running, and is the network there?");
    });
    if (response.ok) return response;
    const text = await response.text().catch(() => "");
    const retryAfter = Number(response.headers.get("Retry-After")) || 0;
    if (response.status === 401 && path !== "/api/v1/login") this.onSignedOut();
    throw new ApiError(
      response.status,
      sentence(text) || `The server answered ${response.status}.`,
      retryAfter,
    );
  }
}

/**
 * The server's errors begin in lower case and end without a stop, as those in a log do.
 * @param {string} text
 */
function sentence(text) {
  const trimmed = text.trim().slice(0, 500);
  if (!trimmed) return "";
  const begun = trimmed[0].toUpperCase() + trimmed.slice(1);
  return /[.!?…]$/.test(begun) ? begun : `${begun}.`;
}

/**
 * The path of a message's resource.
 * @param {string} id
 * @param {string} [rest]
 */
export function messagePath(id, rest = "") {
  return `/api/v1/message/${encodeURIComponent(id)}${rest}`;
}

/**
 * The path of a message's HTML.
 * @param {string} id
 */
export function htmlPath(id) {
  return `/view/${encodeURIComponent(id)}.html`;
}
