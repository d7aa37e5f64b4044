/**
 * Client of the labelling API of one campaign.  Throws `Unreachable` for failures worth a retry, `Refused`
 * for the rest.
 */

import { root } from "../root.js";

/** @typedef {import("./types.js").Submission} Submission */
/** @typedef {import("./types.js").TurnChoice} TurnChoice */

/** No connection, a server error, or a rate limit: the same request may succeed later. */
export class Unreachable extends Error {}

/** The server rejected the request. */
export class Refused extends Error {
  /** @param {number} status @param {string} message @param {string} [code] */
  constructor(status, message, code) {
    super(message);
    this.status = status;
    this.code = code;
  }

  /**
   * True if the session is the problem, not the content: logged out, or logged in again since this page
   * loaded.
   */
  get isSessionError() {
    return this.status === 401 || this.code === "out_of_date";
  }
}

const RETRY_DELAYS_MS = [500, 1000, 2000, 4000, 8000, 15_000];
const TIMEOUT_MS = 20_000;

/** @param {number} failures  consecutive failures, at least 1 */
export const retryDelayMs = (failures) => RETRY_DELAYS_MS[Math.min(failures, RETRY_DELAYS_MS.length) - 1];

/** @param {{slug: string, csrf: string}} config */
export function createApi(config) {
  const base = `${root}/api/v1/campaigns/${config.slug}`;

  /**
   * @param {string} method
   * @param {string} path   relative to the campaign, or starting with /api/
   * @param {{body?: any, key?: string, keepalive?: boolean}} [options]
   * @returns {Promise<any>}
   */
  async function call(method, path, { body, key, keepalive = false } = {}) {
    /** @type {Record<string, string>} */
    const headers = { "X-CSRF-Token": config.csrf, Accept: "application/json" };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (key) headers["Idempotency-Key"] = key;
    let response;
    try {
      response = await fetch(path.startsWith("/api/") ? root + path : base + path, {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        keepalive,
        credentials: "same-origin",
        signal: keepalive ? undefined : AbortSignal.timeout(TIMEOUT_MS),
      });
    } catch (error) {
      throw new Unreachable(String(error));
    }
    if (response.status >= 500 || response.status === 429) {
      throw new Unreachable(`the server answered ${response.status}`);
    }
    const content = response.status === 204 ? null : await response.json().catch(() => null);
    if (!response.ok) {
      const error = content?.error;
      throw new Refused(response.status, error?.message ?? response.statusText, error?.code);
    }
    return content;
  }

  /** @param {string} token @param {TurnChoice} turnChoice @param {boolean} [keepalive] */
  const putChoice = (token, { n, choice, seen }, keepalive) =>
    call("PUT", `/tasks/${token}/chat/turns/${n}/choice`, { body: { choice, seen }, keepalive });

  /**
   * The last choice on its way; resolves with the choice once it arrived.  Choices are sent in order, and
   * the judgement after them.
   * @type {Promise<any>}
   */
  let lastChoice = Promise.resolve();

  return {
    /** @param {{count: number}} body */
    next: (body) => call("POST", "/next", { body }),

    /** @param {string} token */
    task: (token) => call("GET", `/tasks/${token}`),

    /** @param {string} token */
    heartbeat: (token) => call("POST", `/tasks/${token}/heartbeat`),

    /** @param {string} token */
    release: (token) => call("POST", `/tasks/${token}/release`, { keepalive: true }),

    /** @param {string} token @param {any} body @param {boolean} keepalive */
    saveDraft: (token, body, keepalive) => call("PUT", `/tasks/${token}/draft`, { body, keepalive }),

    drafts: () => call("GET", "/drafts"),

    /** @param {Submission} submission @param {boolean} [keepalive] */
    async send(submission, keepalive = false) {
      const { token, what, body, key, draft, choice } = submission;
      const deliveredChoice = keepalive ? undefined : await lastChoice;
      if (draft) await call("PUT", `/tasks/${token}/draft`, { body: draft, keepalive });
      if (choice && choice !== deliveredChoice) await putChoice(token, choice, keepalive);
      return call("POST", `/tasks/${token}/${what}`, { body, key, keepalive });
    },

    /** @param {string[]} open  tokens of answers that are open for changes already */
    undo: (open) => call("POST", "/undo", { body: { open } }),

    /** Whose the tasks of an earlier account are.  @param {string[]} tokens @param {string} name */
    leftBehind: (tokens, name) => call("POST", "/left-behind", { body: { tokens, name } }),

    /** @param {string} token @param {string} name */
    takeOver: (token, name) => call("POST", `/tasks/${token}/take-over`, { body: { name } }),

    guidelines: () => call("GET", "/guide"),

    /** @param {number} version */
    markGuidelinesRead: (version) => call("POST", "/guide/read", { body: { version } }),

    /** @param {string} text */
    preview: (text) => call("POST", "/preview", { body: { text } }),

    /** @param {string} token */
    chat: (token) => call("GET", `/tasks/${token}/chat`),

    /** @param {string} token @param {number} n @param {string} message */
    startTurn: (token, n, message) => call("POST", `/tasks/${token}/chat/turns`, { body: { n, message } }),

    /** @param {string} token @param {TurnChoice} turnChoice */
    choose(token, turnChoice) {
      const response = lastChoice.then(() => putChoice(token, turnChoice));
      lastChoice = response.then(
        () => turnChoice,
        () => undefined,
      );
      return response;
    },

    /**
     * Streams both answers of a turn; returns when both are complete.
     * @param {string} token
     * @param {number} n
     * @param {(event: any) => void} onEvent
     * @param {AbortSignal} signal
     */
    async streamTurn(token, n, onEvent, signal) {
      const url = `${base}/tasks/${token}/chat/turns/${n}/stream`;
      const response = await fetch(url, { credentials: "same-origin", signal });
      if (!response.ok || !response.body) {
        if (response.status >= 500) throw new Unreachable(String(response.status));
        throw new Refused(response.status, "The answers could not be loaded.");
      }
      for await (const event of serverSentEvents(response.body)) {
        if (event.end) return;
        onEvent(event);
      }
      throw new Unreachable("the stream ended early");
    },

    /** @param {any} changes */
    savePreferences: (changes) => call("PUT", "/api/v1/me/preferences", { body: changes }),
  };
}

/** The JSON payloads of a stream of server-sent events.  @param {ReadableStream} body */
async function* serverSentEvents(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  while (true) {
    const { value, done } = await reader.read();
    if (done) return;
    const frames = (buffer + value).split("\n\n");
    buffer = frames.pop() ?? "";
    for (const frame of frames) {
      if (frame.startsWith("data: ")) yield JSON.parse(frame.slice("data: ".length));
    }
  }
}

/** A random idempotency key.  `crypto.randomUUID` needs a secure origin; `getRandomValues` does not. */
export function newIdempotencyKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
