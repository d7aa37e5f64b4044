/**
 * Submissions that the server has not acknowledged yet.
 *
 * Each submission is stored until it is acknowledged, and so survives lost connections, reloads and
 * crashes.  Each has an idempotency key: sending it twice has the effect of sending it once.
 */

import { Refused, retryDelayMs, Unreachable } from "./api.js";

/** @typedef {import("./types.js").Submission} Submission */

const MAX_KEEPALIVE_LENGTH = 30_000; // browsers limit the total body size of requests that outlive a page

export class Outbox {
  /**
   * @param {import("./store.js").Store} store
   * @param {{send: (submission: Submission, keepalive?: boolean) => Promise<any>}} api
   * @param {{slug: string, rater: string}} owner
   * @param {{
   *   changed: () => void,
   *   delivered: (submission: Submission, response: any) => void,
   *   rejected: (submission: Submission, error: Refused) => void,
   *   failed: (error: unknown) => void,
   * }} listener
   */
  constructor(store, api, owner, listener) {
    this.store = store;
    this.api = api;
    this.owner = owner;
    this.listener = listener;
    /** @type {Submission[]} */
    this.pending = [];
    this.offline = false;
    this.failures = 0;
    /** @type {Promise<void>|null} */
    this.running = null;
    this.timer = 0;
    addEventListener("online", () => this.flush());
  }

  /** Loads the submissions that an earlier page left in the store. */
  async load() {
    const stored = /** @type {Submission[]} */ (await this.store.all("outbox"));
    const { slug, rater } = this.owner;
    this.pending = stored.filter((entry) => entry.slug === slug && entry.rater === rater && !entry.refused);
    this.pending.sort((a, b) => a.at - b.at);
    void this.flush();
  }

  /** @param {Submission} submission @returns {Promise<void>} resolves when the submission is stored */
  async add(submission) {
    this.pending.push(submission);
    const stored = this.store.put("outbox", submission.key, submission);
    this.listener.changed();
    await stored.catch(() => undefined); // a full disk must not stop the request
    void this.flush();
  }

  /**
   * Withdraws an unacknowledged judgement.  If it reaches the server nevertheless, the next judgement
   * supersedes it.
   * @param {string} token
   * @returns {boolean} whether the judgement was still in the outbox
   */
  withdraw(token) {
    const submission = this.pending.findLast((entry) => entry.token === token && entry.what === "judgement");
    if (!submission || submission.choice) return false;
    this.#remove(submission);
    return true;
  }

  /** Resolves when the outbox is empty or the connection is lost. */
  async settled() {
    while (this.running) await this.running;
  }

  /** Sends everything once more without waiting for responses, because the page is closing. */
  sendOnLeave() {
    for (const submission of this.pending) {
      if (JSON.stringify(submission.body).length >= MAX_KEEPALIVE_LENGTH) continue;
      void this.api.send(submission, true).catch(() => undefined);
    }
  }

  flush() {
    clearTimeout(this.timer);
    if (!this.running && this.pending.length) {
      this.running = this.#sendAll().finally(() => {
        this.running = null;
        this.listener.changed();
      });
    }
    return this.running;
  }

  async #sendAll() {
    while (this.pending.length) {
      const submission = this.pending[0];
      try {
        const response = await this.api.send(submission);
        this.#remove(submission);
        this.offline = false;
        this.failures = 0;
        this.listener.delivered(submission, response);
      } catch (error) {
        if (error instanceof Refused && !error.isSessionError) {
          this.#remove(submission, error.message);
          this.listener.rejected(submission, error);
          continue;
        }
        this.offline = error instanceof Unreachable;
        this.listener.failed(error);
        this.timer = setTimeout(() => this.flush(), retryDelayMs(++this.failures));
        return;
      }
    }
  }

  /** Rejected submissions stay in the store.  @param {Submission} submission @param {string} [refused] */
  #remove(submission, refused) {
    this.pending = this.pending.filter((entry) => entry !== submission);
    const { key } = submission;
    if (refused) void this.store.put("outbox", key, { ...submission, refused });
    else void this.store.remove("outbox", key);
    this.listener.changed();
  }
}
