/** How many answers the rater has given today.  An answer that is taken back and sent again counts once. */

import { drawPace } from "./page.js";

export class Pace {
  /** @param {{daily_goal?: number}} preferences */
  constructor(preferences) {
    this.preferences = preferences;
    /** @type {Set<string>} tokens of answers that are counted, as far as this page has seen them */
    this.counted = new Set();
    /** @type {Set<string>} those of other tabs that the server may not have yet */
    this.elsewhere = new Set();
    this.version = 0; // changes with each answer that is given, taken back or delivered
    this.hasFigures = false;
    this.isUnsure = false; // the server's counts may include answers that were added to them here
    this.figures = { today: 0, total: 0, median_active_ms: null };
  }

  /** @param {string} token */
  has(token) {
    return this.counted.has(token);
  }

  /** An answer that the figures of the server include.  @param {string} token */
  addCounted(token) {
    this.counted.add(token);
  }

  /** @param {string} token */
  count(token) {
    if (!this.counted.has(token)) this.#change(1);
    this.counted.add(token);
  }

  /** An answer that was given in another tab.  @param {string} token */
  countElsewhere(token) {
    if (!this.counted.has(token)) this.elsewhere.add(token);
    this.count(token);
  }

  /** @param {string} token */
  uncount(token) {
    this.elsewhere.delete(token);
    if (this.counted.delete(token)) this.#change(-1);
  }

  /** The server has the answer.  @param {string} token */
  confirm(token) {
    this.elsewhere.delete(token);
    this.version += 1;
  }

  /**
   * Takes the figures of the server.  Its counts are from before or after an answer that was delivered
   * meanwhile, nobody knows which: then those of this page hold.
   * @param {{today: number, total: number, median_active_ms: any}} figures
   * @param {number} numUnsent   new answers of this page that the server does not have yet
   * @param {number} version     when the figures were asked for
   */
  receive(figures, numUnsent, version) {
    const { today, total } = this.figures;
    const isCurrent = version === this.version || !this.hasFigures;
    const numMissing = numUnsent + this.elsewhere.size;
    const received = { today: figures.today + numMissing, total: figures.total + numMissing };
    this.figures = { ...figures, ...(isCurrent ? received : { today, total }) };
    this.isUnsure = !isCurrent || numMissing > 0;
    this.hasFigures = true;
    this.#draw();
  }

  /** @param {number} difference */
  #change(difference) {
    this.version += 1;
    this.figures.today += difference;
    this.figures.total += difference;
    this.#draw();
  }

  #draw() {
    drawPace(this.figures, this.preferences.daily_goal);
  }
}
