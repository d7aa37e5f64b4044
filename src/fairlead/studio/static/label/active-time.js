/**
 * Measures active time and dwell time.
 *
 * Active time counts while the page has the focus, is visible, and had input within 30 seconds.  Dwell time
 * is the active time per element with `data-pane`: the one under the pointer, otherwise the one in the
 * middle of the window ("both" where the middle lies between two answers).
 */

const IDLE_MS = 30_000;
const TICK_MS = 250;
const POINTING_MS = 5000; // the pointer says where the rater looks for this long after it moved
const INPUT_EVENTS = ["keydown", "pointerdown", "wheel", "touchmove", "input"];

export class ActiveTime {
  constructor() {
    this.active_ms = 0;
    /** @type {Record<string, number>} */
    this.dwell_ms = {};
    this.inputAt = performance.now();
    this.pointerMovedAt = -IDLE_MS;
    this.tickedAt = performance.now();
    this.pointer = { x: 0, y: 0 };
    for (const type of INPUT_EVENTS) {
      addEventListener(type, () => this.#recordInput(), { passive: true, capture: true });
    }
    addEventListener("pointermove", (event) => this.#recordPointer(event), { passive: true });
    setInterval(() => this.tick(), TICK_MS);
  }

  /**
   * Starts a task, with the times of its draft.
   * @param {{active_ms: number, dwell_ms: Record<string, number>}|null} [draft]
   */
  start(draft) {
    this.active_ms = draft?.active_ms ?? 0;
    this.dwell_ms = { ...(draft?.dwell_ms ?? {}) };
    this.inputAt = performance.now();
    this.tickedAt = this.inputAt;
  }

  read() {
    this.tick();
    const rounded = Object.entries(this.dwell_ms).map(([pane, ms]) => [pane, Math.round(ms)]);
    return { active_ms: Math.round(this.active_ms), dwell_ms: Object.fromEntries(rounded) };
  }

  get isIdle() {
    return document.hidden || !document.hasFocus() || performance.now() - this.inputAt > IDLE_MS;
  }

  tick() {
    const now = performance.now();
    const elapsed = Math.min(now - this.tickedAt, 4 * TICK_MS); // time asleep is not active time
    this.tickedAt = now;
    if (this.isIdle) return;
    this.active_ms += elapsed;
    const pane = this.#currentPane();
    this.dwell_ms[pane] = (this.dwell_ms[pane] ?? 0) + elapsed;
  }

  #recordInput() {
    this.inputAt = performance.now();
  }

  /** @param {PointerEvent} event */
  #recordPointer(event) {
    this.#recordInput();
    this.pointer = { x: event.clientX, y: event.clientY };
    this.pointerMovedAt = this.inputAt;
  }

  #currentPane() {
    const isPointing = performance.now() - this.pointerMovedAt < POINTING_MS;
    const { x, y } = isPointing ? this.pointer : { x: innerWidth / 2, y: innerHeight / 2 };
    const pane = document.elementFromPoint(x, y)?.closest("[data-pane]");
    return (pane instanceof HTMLElement && pane.dataset.pane) || (isPointing ? "elsewhere" : "both");
  }
}
