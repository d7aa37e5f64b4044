/** Drafts: on this machine at each keystroke, on the server within a second, and once more when the page is hidden. */

import { Refused, waitMs } from "./api.js";

/** @typedef {import("./types.js").Draft} Draft */

const QUIET_MS = 400; // after the last keystroke
const LONGEST_MS = 900; // after the first that is not on the server yet

export class Drafts {
  /**
   * @param {import("./store.js").Store} store
   * @param {{saveDraft: (token: string, body: any, keepalive: boolean) => Promise<any>}} api
   * @param {{slug: string, rater: string}} owner
   * @param {{saving: () => void, saved: () => void, failed: (error: unknown) => void}} tell
   */
  constructor(store, api, owner, tell) {
    this.store = store;
    this.api = api;
    this.owner = owner;
    this.tell = tell;
    /** @type {{token: string, body: Draft, since: number}|null} what the server does not have yet */
    this.pending = null;
    this.timer = 0;
    /** @type {Promise<void>|null} */
    this.sending = null;
    this.failures = 0;
    this.refused = ""; // token of a task of which the server takes no draft; this machine keeps it
    addEventListener("online", () => this.flush());
  }

  /** By item, not by hold: what was typed is there again when the same item comes with another token.  @param {number} item */
  #key(item) {
    return `${this.owner.rater}/${this.owner.slug}/${item}`;
  }

  /** @param {import("./types.js").Task} task @param {Draft} body */
  save(task, body) {
    void this.store.put("drafts", this.#key(task.item), body).catch((error) => this.tell.failed(error));
    if (task.token === this.refused) return;
    this.pending = { token: task.token, body, since: this.pending?.token === task.token ? this.pending.since : performance.now() };
    this.tell.saving();
    this.#schedule();
  }

  /** The later of this machine's and the server's.  @param {import("./types.js").Task} task @returns {Promise<Draft|null>} */
  async latest(task) {
    const mine = /** @type {Draft|undefined} */ (await this.store.get("drafts", this.#key(task.item)).catch(() => undefined));
    if (!mine || (task.draft && task.draft.at > mine.at)) return task.draft;
    return mine;
  }

  /** An answer that the server does not take is a draft again.  @param {import("./types.js").Sent} sent */
  async keep(sent) {
    if (sent.what === "judgement") await this.store.put("drafts", this.#key(sent.item), { ...sent.body, at: sent.at });
  }

  /** An answer takes its place, and no draft may come after it.  @param {import("./types.js").Task} task */
  drop(task) {
    if (this.pending?.token === task.token) this.pending = null;
  }

  /** The answer is safe.  @param {import("./types.js").Task} task */
  forget(task) {
    void this.store.remove("drafts", this.#key(task.item));
  }

  /** Sends what is pending now; `leaving` when the page may not live to hear the answer. */
  async flush(leaving = false) {
    clearTimeout(this.timer);
    if (!this.pending || (this.sending && !leaving)) return;
    const sending = (this.sending = this.#send(this.pending, leaving));
    await sending;
    if (this.sending === sending) this.sending = null;
    if (this.pending) this.#schedule();
  }

  /** @param {{token: string, body: Draft, since: number}} sent @param {boolean} leaving */
  async #send(sent, leaving) {
    sent.since = performance.now();
    try {
      await this.api.saveDraft(sent.token, sent.body, leaving && JSON.stringify(sent.body).length < 60_000); // browsers allow no more for such calls
      this.failures = 0;
      if (this.pending === sent) this.pending = null;
      if (!this.pending) this.tell.saved();
    } catch (error) {
      if (this.pending?.token !== sent.token) return; // nobody waits for it any more
      if (error instanceof Refused && !error.session) {
        this.refused = sent.token;
        this.pending = null;
      } else this.pending.since = performance.now() + waitMs(++this.failures);
      this.tell.failed(error);
    }
  }

  #schedule() {
    clearTimeout(this.timer);
    const since = this.pending?.since ?? 0;
    const due = this.failures ? since : Math.min(performance.now() + QUIET_MS, since + LONGEST_MS);
    this.timer = setTimeout(() => this.flush(), Math.max(0, due - performance.now()));
  }
}
