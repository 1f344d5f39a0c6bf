/**
 * Work again and again, while somebody looks. One round ends before the next begins.
 * @param {number} every in milliseconds
 * @param {() => Promise<unknown>} work must deal with its own errors
 * @returns {{stop: () => void, now: () => void}}
 */
export function poll(every, work) {
  let timer = 0;
  let running = false;
  let again = false;
  let stopped = false;

  const round = async () => {
    clearTimeout(timer);
    if (stopped) return;
    if (running) return void (again = true);
    running = true;
    again = false;
    try {
      await work();
    } finally {
      running = false;
      if (again) round();
      else if (!stopped && !document.hidden) timer = setTimeout(round, every);
    }
  };
  const onVisible = () => !document.hidden && round();
  document.addEventListener("visibilitychange", onVisible);
  round();
  return {
    now: round,
    stop() {
      stopped = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", onVisible);
    },
  };
}

/**
 * Ask again and again; show an answer when it is another one than before.
 * @template T
 * @param {number} every in milliseconds
 * @param {{load: () => Promise<T>, show: (value: T) => void, fail: (error: Error) => void}} what
 */
export function follow(every, { load, show, fail }) {
  let shown = "";
  return poll(every, async () => {
    try {
      const value = await load();
      const state = JSON.stringify(value);
      if (state !== shown) show(value);
      shown = state;
    } catch (error) {
      if (/** @type {Error} */ (error).name === "AbortError") return;
      shown = "";
      fail(/** @type {Error} */ (error));
    }
  });
}
