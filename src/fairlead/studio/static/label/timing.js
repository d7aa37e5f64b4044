/**
 * Time at work: only while the page has the focus, is visible, and somebody touched it within 30 seconds.  Besides, how long each part was looked
 * at: the one under the pointer, or the one in the middle of the window; with answers side by side and no pointer, "both".
 */

const IDLE_MS = 30_000;
const TICK_MS = 250;

export class Timing {
  constructor() {
    this.active_ms = 0;
    /** @type {Record<string, number>} */
    this.dwell_ms = {};
    this.touched = performance.now();
    this.pointed = -IDLE_MS;
    this.last = performance.now();
    this.pointer = { x: 0, y: 0 };
    for (const kind of ["keydown", "pointerdown", "wheel", "touchmove", "input"]) addEventListener(kind, () => this.#touch(), { passive: true, capture: true });
    addEventListener(
      "pointermove",
      (event) => {
        this.#touch();
        this.pointer = { x: event.clientX, y: event.clientY };
        this.pointed = this.touched;
      },
      { passive: true },
    );
    setInterval(() => this.tick(), TICK_MS);
  }

  /** Begins a task, or goes on with one.  @param {{active_ms: number, dwell_ms: Record<string, number>}|null} [before] */
  start(before) {
    this.active_ms = before?.active_ms ?? 0;
    this.dwell_ms = { ...(before?.dwell_ms ?? {}) };
    this.last = this.touched = performance.now();
  }

  read() {
    this.tick();
    const dwell = Object.fromEntries(Object.entries(this.dwell_ms).map(([pane, ms]) => [pane, Math.round(ms)]));
    return { active_ms: Math.round(this.active_ms), dwell_ms: dwell };
  }

  get idle() {
    return document.hidden || !document.hasFocus() || performance.now() - this.touched > IDLE_MS;
  }

  tick() {
    const now = performance.now();
    const passed = Math.min(now - this.last, 4 * TICK_MS); // a machine that slept did not work
    this.last = now;
    if (this.idle) return;
    this.active_ms += passed;
    const pane = this.#pane();
    this.dwell_ms[pane] = (this.dwell_ms[pane] ?? 0) + passed;
  }

  #touch() {
    this.touched = performance.now();
  }

  #pane() {
    const pointing = performance.now() - this.pointed < 5000;
    const { x, y } = pointing ? this.pointer : { x: innerWidth / 2, y: innerHeight / 2 };
    const there = document.elementFromPoint(x, y)?.closest("[data-pane]");
    return (there instanceof HTMLElement && there.dataset.pane) || (pointing ? "elsewhere" : "both");
  }
}
