/**
 * Tells the rater's other tabs of this browser what happened to a task.  Other browsers learn of it from the
 * server: by a heartbeat that is refused, or by the response to an answer that replaces another.
 */

/**
 * @typedef {Object} TabListener
 * @property {(token: string, what: string, isAnswer: boolean) => void} finished   answered or skipped in
 *   another tab; `what` says so in words
 * @property {(token: string) => void} delivered   the server has the answer or skip of another tab
 * @property {(token: string) => void} withdrawn   the unsent answer of another tab was taken back there
 */

export class Tabs {
  /** @param {{slug: string, rater: string}} owner @param {TabListener} listener */
  constructor({ slug, rater }, listener) {
    if (typeof BroadcastChannel !== "function") return;
    this.channel = new BroadcastChannel(`fairlead-label/${rater}/${slug}`);
    this.channel.onmessage = ({ data }) => {
      if (data.what === "withdrawn") listener.withdrawn(data.token);
      else if (data.what === "delivered") listener.delivered(data.token);
      else listener.finished(data.token, data.what, data.isAnswer);
    };
  }

  /** @param {string} token @param {string} what @param {boolean} isAnswer */
  tellFinished(token, what, isAnswer) {
    this.channel?.postMessage({ token, what, isAnswer });
  }

  /** @param {string} token */
  tellDelivered(token) {
    this.channel?.postMessage({ token, what: "delivered" });
  }

  /** @param {string} token */
  tellWithdrawn(token) {
    this.channel?.postMessage({ token, what: "withdrawn" });
  }
}
