/** The labelling API of one campaign.  Whoever calls can tell three troubles apart: no connection, try later, and no. */

/** The server could not be reached, or not now: the same call may succeed later. */
export class Unreachable extends Error {}

/** The server has understood and says no. */
export class Refused extends Error {
  /** @param {number} status @param {string} message @param {string} [code] */
  constructor(status, message, code) {
    super(message);
    this.status = status;
    this.code = code;
  }

  /** It is not about what was sent: nobody is logged in any more, or somebody anew, and this page is from before. */
  get session() {
    return this.status === 401 || this.code === "out_of_date";
  }
}

const WAITS_MS = [500, 1000, 2000, 4000, 8000, 15_000];

/** How long to wait after so many failures, one after the other.  @param {number} failures */
export const waitMs = (failures) => WAITS_MS[Math.min(failures, WAITS_MS.length) - 1];

const TIMEOUT_MS = 20_000;

/** @param {{slug: string, csrf: string}} config */
export function makeApi(config) {
  const base = `/api/v1/campaigns/${config.slug}`;

  /** @param {string} method @param {string} path @param {{body?: any, key?: string, keepalive?: boolean}} [more] @returns {Promise<any>} */
  async function call(method, path, more = {}) {
    /** @type {Record<string, string>} */
    const headers = { "X-CSRF-Token": config.csrf, Accept: "application/json" };
    if (more.body !== undefined) headers["Content-Type"] = "application/json";
    if (more.key) headers["Idempotency-Key"] = more.key;
    let response;
    try {
      response = await fetch(path.startsWith("/api/") ? path : base + path, {
        method,
        headers,
        body: more.body === undefined ? undefined : JSON.stringify(more.body),
        keepalive: more.keepalive ?? false,
        credentials: "same-origin",
        signal: more.keepalive ? undefined : AbortSignal.timeout(TIMEOUT_MS),
      });
    } catch (error) {
      throw new Unreachable(String(error));
    }
    if (response.status >= 500 || response.status === 429) throw new Unreachable(`the server answered ${response.status}`);
    const content = response.status === 204 ? null : await response.json().catch(() => null);
    if (!response.ok) throw new Refused(response.status, content?.error?.message ?? response.statusText, content?.error?.code);
    return content;
  }

  /** @param {string} token @param {import("./types.js").Choice} one @param {boolean} [keepalive] */
  const put = (token, { n, choice, seen }, keepalive) => call("PUT", `/tasks/${token}/chat/turns/${n}/choice`, { body: { choice, seen }, keepalive });
  /** @type {Promise<any>} choices on their way, which neither each other nor the judgement may overtake; what arrived last */
  let choosing = Promise.resolve();

  return {
    /** @param {{count: number, utc_offset_min: number}} body */
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
    /** @param {import("./types.js").Sent} sent @param {boolean} [keepalive] */
    async send(sent, keepalive = false) {
      const there = keepalive ? undefined : await choosing;
      if (sent.draft) await call("PUT", `/tasks/${sent.token}/draft`, { body: sent.draft, keepalive });
      if (sent.choice && sent.choice !== there) await put(sent.token, sent.choice, keepalive);
      return call("POST", `/tasks/${sent.token}/${sent.what}`, { body: sent.body, key: sent.key, keepalive });
    },
    undo: () => call("POST", "/undo"),
    guidelines: () => call("GET", "/guide"),
    /** @param {number} version */
    haveRead: (version) => call("POST", "/guide/read", { body: { version } }),
    /** @param {string} text */
    preview: (text) => call("POST", "/preview", { body: { text } }),
    /** @param {string} token */
    talk: (token) => call("GET", `/tasks/${token}/chat`),
    /** @param {string} token @param {number} n @param {string} message */
    say: (token, n, message) => call("POST", `/tasks/${token}/chat/turns`, { body: { n, message } }),
    /** @param {string} token @param {import("./types.js").Choice} one */
    choose(token, one) {
      const sent = choosing.then(() => put(token, one));
      choosing = sent.then(() => one, () => undefined);
      return sent;
    },
    /** Both answers of a turn as they come; returns when both have ended.  @param {string} token @param {number} n @param {(heard: any) => void} heard @param {AbortSignal} signal */
    async listen(token, n, heard, signal) {
      const response = await fetch(`${base}/tasks/${token}/chat/turns/${n}/stream`, { credentials: "same-origin", signal });
      if (!response.ok || !response.body) throw response.status < 500 ? new Refused(response.status, "The answers could not be had.") : new Unreachable(String(response.status));
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let rest = ""; ; ) {
        const { value, done } = await reader.read();
        if (done) throw new Unreachable("the answers broke off");
        const frames = (rest + value).split("\n\n");
        rest = frames.pop() ?? "";
        for (const frame of frames) {
          if (!frame.startsWith("data: ")) continue;
          const said = JSON.parse(frame.slice(6));
          if (said.end) return;
          heard(said);
        }
      }
    },
    /** @param {any} changes */
    savePreferences: (changes) => call("PUT", "/api/v1/me/preferences", { body: changes }),
  };
}

/** A key of its own for each answer.  (`crypto.randomUUID` exists on secure origins only.) */
export function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
