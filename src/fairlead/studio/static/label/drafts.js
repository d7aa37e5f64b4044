/**
 * Saves drafts: in the browser at every keystroke, on the server within a second, and when the page is
 * hidden.
 */

import { Refused, retryDelayMs } from "./api.js";

/** @typedef {import("./types.js").Draft} Draft */
/** @typedef {import("./types.js").Task} Task */
/** @typedef {{token: string, body: Draft, since: number}} PendingDraft */

const DEBOUNCE_MS = 400; // after the last keystroke
const MAX_DELAY_MS = 900; // after the first keystroke that the server does not have
const MAX_KEEPALIVE_LENGTH = 60_000; // browsers limit the body of a request that outlives its page

export class Drafts {
  /**
   * @param {import("./store.js").Store} store
   * @param {{saveDraft: (token: string, body: any, keepalive: boolean) => Promise<any>}} api
   * @param {{slug: string, rater: string}} owner
   * @param {{saving: () => void, saved: () => void, failed: (error: unknown) => void}} listener
   */
  constructor(store, api, owner, listener) {
    this.store = store;
    this.api = api;
    this.owner = owner;
    this.listener = listener;
    /** @type {PendingDraft|null} the draft that the server does not have yet */
    this.pending = null;
    this.timer = 0;
    /** @type {Promise<void>|null} */
    this.sending = null;
    this.failures = 0;
    /** @type {Map<string, any>} drafts that this browser does not have yet, by key */
    this.unwritten = new Map();
    /** @type {Set<string>} keys of the drafts that are being written to this browser's storage */
    this.writing = new Set();
    this.rejectedToken = ""; // the server takes no draft for this task; the browser keeps it
    addEventListener("online", () => this.flush());
  }

  /** @param {Task} task @param {Draft} body */
  save(task, body) {
    const { rater, slug } = this.owner;
    const kept = { ...body, rater, slug, token: task.token, item: task.item };
    void this.#keep(this.#key(task.item), kept);
    if (task.token === this.rejectedToken) return;
    const since = this.pending?.token === task.token ? this.pending.since : performance.now();
    this.pending = { token: task.token, body, since };
    this.listener.saving();
    this.#schedule();
  }

  /**
   * Writes the newest draft once the one before it is written, so that fast typing leaves no backlog that a
   * closing page would lose.
   * @param {string} key
   * @param {any} draft
   */
  async #keep(key, draft) {
    this.unwritten.set(key, draft);
    if (this.writing.has(key)) return;
    this.writing.add(key);
    while (this.unwritten.has(key)) {
      const newest = this.unwritten.get(key);
      this.unwritten.delete(key);
      await this.store.put("drafts", key, newest).catch((error) => this.listener.failed(error));
    }
    this.writing.delete(key);
  }

  /**
   * The newer of the draft in this browser and the draft on the server.
   * @param {Task} task
   * @returns {Promise<Draft|null>}
   */
  async latest(task) {
    const stored = this.store.get("drafts", this.#key(task.item)).catch(() => undefined);
    const local = /** @type {Draft|undefined} */ (await stored);
    if (!local || (task.draft && task.draft.at > local.at)) return task.draft;
    return local;
  }

  /** Turns a rejected judgement back into a draft.  @param {import("./types.js").Submission} submission */
  async restore(submission) {
    if (submission.what !== "judgement") return;
    const { rater, slug, token, item, body, at } = submission;
    await this.store.put("drafts", this.#key(item), { ...body, at, rater, slug, token, item });
  }

  /** Cancels the pending save, because a submission replaces the draft.  @param {Task} task */
  cancel(task) {
    if (this.pending?.token === task.token) this.pending = null;
  }

  /** Deletes the draft from this browser.  @param {Task} task */
  remove(task) {
    this.unwritten.delete(this.#key(task.item));
    void this.store.remove("drafts", this.#key(task.item));
  }

  /**
   * Sends the pending draft now.
   * @param {boolean} [leaving]  the page is closing and may not see the response
   */
  async flush(leaving = false) {
    clearTimeout(this.timer);
    if (!this.pending || (this.sending && !leaving)) return;
    const sending = (this.sending = this.#send(this.pending, leaving));
    await sending;
    if (this.sending === sending) this.sending = null;
    if (this.pending) this.#schedule();
  }

  /** @param {PendingDraft} draft @param {boolean} leaving */
  async #send(draft, leaving) {
    draft.since = performance.now();
    try {
      const keepalive = leaving && JSON.stringify(draft.body).length < MAX_KEEPALIVE_LENGTH;
      await this.api.saveDraft(draft.token, draft.body, keepalive);
      this.failures = 0;
      if (this.pending === draft) this.pending = null;
      if (!this.pending) this.listener.saved();
    } catch (error) {
      if (this.pending?.token !== draft.token) return; // the task was submitted meanwhile
      if (error instanceof Refused && !error.isSessionError) {
        this.rejectedToken = draft.token;
        this.pending = null;
      } else {
        this.pending.since = performance.now() + retryDelayMs(++this.failures);
      }
      this.listener.failed(error);
    }
  }

  #schedule() {
    clearTimeout(this.timer);
    const since = this.pending?.since ?? 0;
    const due = this.failures ? since : Math.min(performance.now() + DEBOUNCE_MS, since + MAX_DELAY_MS);
    this.timer = setTimeout(() => this.flush(), Math.max(0, due - performance.now()));
  }

  /**
   * Keyed by item, not by token: the draft is found again when the item is assigned again.
   * @param {number} item
   */
  #key(item) {
    return draftKey({ ...this.owner, item });
  }
}

/** @param {{rater: string, slug: string, item: number}} task */
export const draftKey = ({ rater, slug, item }) => `${rater}/${slug}/${item}`;
