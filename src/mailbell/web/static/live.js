/** What happens in the inbox, as it happens; and whether the server is there. */

const FIRST_WAIT = 500;
const LONGEST_WAIT = 8000;
const CHECK_EVERY = 15_000;
/** A cable that was pulled closes no socket: without news for so long we ask. */
const CHECK_PATIENCE = 5000;

/**
 * @typedef {"connecting" | "live" | "lost"} LiveState
 * @typedef {{Type: string, Data: any}} Message
 */

/** Emits "message" (detail: Message) and "state" (detail: LiveState). */
export class Live extends EventTarget {
  /** @param {string} path of the WebSocket */
  constructor(path) {
    super();
    this.url = new URL(path, location.href.replace(/^http/, "ws")).href;
    /** @type {LiveState} */
    this.state = "connecting";
    this.wait = FIRST_WAIT;
    this.timer = 0;
    this.lastNews = 0;
    this.checking = false;
    /** @type {WebSocket | null} */
    this.socket = null;
  }

  /** Connect, and keep connected. */
  start() {
    addEventListener("online", () => this.retry());
    addEventListener("offline", () => this.drop());
    document.addEventListener("visibilitychange", () => !document.hidden && this.check());
    setInterval(() => this.check(), CHECK_EVERY);
    this.connect();
  }

  /** Try again now, where the connection is lost. */
  retry() {
    if (this.state === "live" || this.socket?.readyState === WebSocket.CONNECTING) return;
    this.wait = FIRST_WAIT;
    this.connect();
  }

  connect() {
    clearTimeout(this.timer);
    const socket = (this.socket = new WebSocket(this.url));
    socket.onopen = () => {
      this.wait = FIRST_WAIT;
      this.lastNews = Date.now();
      this.become("live");
    };
    socket.onmessage = (event) => {
      this.lastNews = Date.now();
      this.dispatchEvent(new CustomEvent("message", { detail: JSON.parse(event.data) }));
    };
    socket.onclose = () => socket === this.socket && this.drop();
  }

  /** The connection is gone: say so, and try again, each time a little later. */
  drop() {
    const socket = this.socket;
    this.socket = null;
    socket?.close();
    this.become("lost");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.connect(), this.wait * (0.75 + Math.random() / 2));
    this.wait = Math.min(this.wait * 2, LONGEST_WAIT);
  }

  async check() {
    if (this.state !== "live") return this.retry();
    if (this.checking || document.hidden || Date.now() - this.lastNews < CHECK_EVERY / 2) return;
    this.checking = true;
    const socket = this.socket;
    try {
      await fetch("/livez", { signal: AbortSignal.timeout(CHECK_PATIENCE) });
      this.lastNews = Date.now();
    } catch {
      if (socket === this.socket) this.drop();
    } finally {
      this.checking = false;
    }
  }

  /** @param {LiveState} state */
  become(state) {
    if (state === this.state) return;
    this.state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: state }));
  }
}
