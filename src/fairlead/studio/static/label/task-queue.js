/**
 * The tasks that are fetched before they are needed, so that the next one opens without waiting for the
 * network.
 *
 * Each fetched task is leased to the rater.  Heartbeats renew the leases; a closing page releases the
 * unseen tasks.
 */

import { Refused, retryDelayMs, Unreachable } from "./api.js";

/** @typedef {import("./types.js").Task} Task */
/** @typedef {import("./types.js").Draft} Draft */

/**
 * @typedef {Object} QueuedTask
 * @property {Task} task
 * @property {Draft|null} draft
 * @property {boolean} [isAnswered]  the rater has given an answer, which the next one replaces
 * @property {boolean} [reopened]  judged, skipped or expired before: not leased any more
 */

/**
 * @typedef {Object} Screen
 * @property {() => QueuedTask|null} current           the task on the screen
 * @property {(token: string) => boolean} isFinished   whether the task was submitted or skipped on this page
 * @property {() => number} numUnsent                  judgements and skips that the server does not have yet
 * @property {() => number} requested   called before a request; the result is passed to `received`
 * @property {(response: any, request: number) => void} received   called before the tasks of a response are
 *   queued
 * @property {(response: any) => void} filled          called after they are queued
 * @property {(error: unknown) => void} failed
 */

const PREFETCH = 2;
const MAX_LEASES = 5; // the server leases no more to one rater
const POLL_MS = 15_000;

export class TaskQueue {
  /**
   * @param {ReturnType<typeof import("./api.js").createApi>} api
   * @param {import("./drafts.js").Drafts} drafts
   * @param {Screen} screen
   */
  constructor(api, drafts, screen) {
    this.api = api;
    this.drafts = drafts;
    this.screen = screen;
    /** @type {QueuedTask[]} */
    this.entries = [];
    this.isFilling = false;
    this.isStale = false; // another request has to follow the one under way
    this.failures = 0;
    this.timer = 0;
  }

  /** @returns {QueuedTask|undefined} */
  take() {
    return this.entries.shift();
  }

  /** Queues a task before all others.  @param {QueuedTask} entry */
  putFirst(entry) {
    this.entries.unshift(entry);
  }

  /** @param {string} token */
  remove(token) {
    this.entries = this.entries.filter((entry) => entry.task.token !== token);
  }

  /** @param {string} token */
  has(token) {
    return this.entries.some((entry) => entry.task.token === token);
  }

  /** Fetches tasks until enough are queued.  @param {boolean} [always]  ask also when there are enough */
  async fill(always = false) {
    if (this.isFilling) this.isStale ||= always;
    if (this.isFilling || (this.entries.length >= PREFETCH && !always)) return;
    this.isFilling = true;
    this.isStale = false;
    clearTimeout(this.timer);
    const request = this.screen.requested();
    try {
      const response = await this.api.next({ count: this.#numWanted() });
      this.failures = 0;
      this.screen.received(response, request);
      for (const task of response.assignments) await this.#add(task);
      this.isFilling = false;
      this.screen.filled(response);
      if (this.isStale) void this.fill(true);
    } catch (error) {
      this.isFilling = false;
      this.screen.failed(error);
      if (error instanceof Unreachable) {
        this.timer = setTimeout(() => this.fill(), retryDelayMs(++this.failures));
      }
    }
  }

  /** Asks again later for tasks of a campaign that has none. */
  poll() {
    this.timer = setTimeout(() => this.fill(), POLL_MS);
  }

  /**
   * Renews all leases.
   * @param {(entry: QueuedTask) => void} currentExpired  the lease of the task on the screen ended
   */
  sendHeartbeats(currentExpired) {
    for (const entry of [this.screen.current(), ...this.entries]) {
      if (!entry || entry.reopened) continue;
      const { token } = entry.task;
      this.api.heartbeat(token).catch((error) => {
        if (!(error instanceof Refused) || error.status !== 409) return;
        const current = this.screen.current();
        if (current?.task.token === token) {
          currentExpired(current);
          return;
        }
        this.entries = this.entries.filter((other) => other !== entry);
        void this.fill();
      });
    }
  }

  /** Gives back the tasks that nobody has seen, because the page is closing. */
  releaseUnseen() {
    for (const { task, draft, reopened } of this.entries) {
      if (!reopened && !draft) void this.api.release(task.token).catch(() => undefined);
    }
  }

  /** The number of leases to ask for: those that the rater has, plus the missing ones. */
  #numWanted() {
    const current = this.screen.current();
    const queued = this.entries.filter((entry) => !entry.reopened).length;
    const onScreen = current && !current.reopened ? 1 : 0;
    const numLeased = queued + onScreen + this.screen.numUnsent();
    const numMissing = PREFETCH - this.entries.length + (current ? 0 : 1);
    return Math.min(MAX_LEASES, numLeased + numMissing);
  }

  /** @param {Task} task */
  async #add(task) {
    const { token } = task;
    const isOnScreen = this.screen.current()?.task.token === token;
    if (this.screen.isFinished(token) || isOnScreen || this.has(token)) return;
    this.entries.push({ task, draft: await this.drafts.latest(task) });
  }
}
