/**
 * Answers on their way to the server.  One that is in here is kept until the server has acknowledged it: through lost connections, reloads and
 * crashes.  Each has a key of its own, so that sending it twice is sending it once.
 */

import { Refused, Unreachable, waitMs } from "./api.js";

/** @typedef {import("./types.js").Sent} Sent */

export class Outbox {
  /**
   * @param {import("./store.js").Store} store
   * @param {{send: (sent: Sent, keepalive?: boolean) => Promise<any>}} api
   * @param {{slug: string, rater: string}} owner
   * @param {{changed: () => void, arrived: (sent: Sent, answer: any) => void, refused: (sent: Sent, error: Refused) => void, lost: (error: unknown) => void}} tell
   */
  constructor(store, api, owner, tell) {
    this.store = store;
    this.api = api;
    this.owner = owner;
    this.tell = tell;
    /** @type {Sent[]} */
    this.waiting = [];
    this.offline = false;
    this.failures = 0;
    /** @type {Promise<void>|null} */
    this.running = null;
    this.timer = 0;
    addEventListener("online", () => this.flush());
  }

  /** What an earlier page left behind. */
  async load() {
    const kept = /** @type {Sent[]} */ (await this.store.all("outbox"));
    this.waiting = kept.filter((sent) => sent.slug === this.owner.slug && sent.rater === this.owner.rater && !sent.refused);
    this.waiting.sort((a, b) => a.at - b.at);
    void this.flush();
  }

  /** @param {Sent} sent @returns {Promise<void>} when it is safe on this machine */
  async add(sent) {
    this.waiting.push(sent);
    const kept = this.store.put("outbox", sent.key, sent);
    this.tell.changed();
    await kept.catch(() => undefined); // a full disk must not keep the answer from being sent
    void this.flush();
  }

  /**
   * An answer that is not acknowledged is sent no more.  If it arrives all the same, the next one takes its place.
   * @param {string} token @returns {boolean} whether it was still here
   */
  takeBack(token) {
    const sent = this.waiting.findLast((one) => one.token === token && one.what === "judgement");
    if (!sent || sent.choice) return false;
    this.#done(sent);
    return true;
  }

  /** Resolves when nothing waits, or when the connection is lost. */
  async settled() {
    while (this.running) await this.running;
  }

  /** The page goes away: whatever waits is sent once more, without waiting to hear of it. */
  leave() {
    for (const sent of this.waiting) if (JSON.stringify(sent.body).length < 30_000) void this.api.send(sent, true).catch(() => undefined);
  }

  flush() {
    clearTimeout(this.timer);
    if (!this.running && this.waiting.length) {
      this.running = this.#send().finally(() => {
        this.running = null;
        this.tell.changed();
      });
    }
    return this.running;
  }

  async #send() {
    while (this.waiting.length) {
      const sent = this.waiting[0];
      try {
        const answer = await this.api.send(sent);
        this.#done(sent);
        this.offline = false;
        this.failures = 0;
        this.tell.arrived(sent, answer);
      } catch (error) {
        if (error instanceof Refused && !error.session) {
          this.#done(sent, error.message);
          this.tell.refused(sent, error);
          continue;
        }
        this.offline = error instanceof Unreachable;
        this.tell.lost(error);
        this.timer = setTimeout(() => this.flush(), waitMs(++this.failures));
        return;
      }
    }
  }

  /** @param {Sent} sent @param {string} [refused] */
  #done(sent, refused) {
    this.waiting = this.waiting.filter((one) => one !== sent);
    void (refused ? this.store.put("outbox", sent.key, { ...sent, refused }) : this.store.remove("outbox", sent.key));
    this.tell.changed();
  }
}
