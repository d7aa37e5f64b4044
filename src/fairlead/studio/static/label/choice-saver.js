/** Saves the choices of a chat on the server, in order, with retries. */

import { Refused, retryDelayMs } from "./api.js";

/** @typedef {import("./types.js").TurnChoice} TurnChoice */

export class ChoiceSaver {
  /**
   * @param {(choice: TurnChoice) => Promise<{choice: number}>} send
   * @param {Object} listener
   * @param {(choice: number) => void} listener.delivered   the server has this choice
   * @param {(problem: string) => void} listener.settled  nothing is left to send; `problem` says why the
   *   server
   *   rejected the last choice, or is ""
   * @param {() => void} listener.idle   called after `settled`, when saving has ended
   */
  constructor(send, listener) {
    this.send = send;
    this.listener = listener;
    /** @type {TurnChoice|undefined} the choice that the server does not have yet */
    this.unsent = undefined;
    this.isRunning = false;
  }

  /** @param {TurnChoice} choice */
  save(choice) {
    this.unsent = choice;
    if (!this.isRunning) void this.#run();
  }

  /** Returns the unsent choice and stops saving it.  @returns {TurnChoice|undefined} */
  takeUnsent() {
    const choice = this.unsent;
    this.unsent = undefined;
    return choice;
  }

  /** Sends one choice at a time, until the server has the last. */
  async #run() {
    this.isRunning = true;
    for (let failures = 0; this.unsent; ) {
      const choice = this.unsent;
      let problem = "";
      try {
        const response = await this.send(choice);
        this.listener.delivered(response.choice);
      } catch (error) {
        if (!(error instanceof Refused) || error.isSessionError) {
          failures += 1;
          await onlineOrTimeout(retryDelayMs(failures));
          continue;
        }
        problem = error.message;
      }
      if (choice !== this.unsent) continue; // the rater has changed the choice meanwhile
      this.unsent = undefined;
      this.listener.settled(problem);
    }
    this.isRunning = false;
    this.listener.idle();
  }
}

/** @param {number} ms */
const onlineOrTimeout = (ms) =>
  new Promise((resolve) => {
    setTimeout(resolve, ms);
    addEventListener("online", resolve, { once: true });
  });
