/** What surrounds a task: the state of saving, pace, notices, the voice for screen readers, and the guidelines beside it. */

import { count, h, rendered } from "./html.js";

/** @param {string} id @returns {any} */
export const byId = (id) => document.getElementById(id);

const TOAST_MS = 4000;

/** @param {string} text */
export function announce(text) {
  const region = byId("announce");
  region.textContent = "";
  requestAnimationFrame(() => (region.textContent = text)); // the same words twice are said twice
}

/** @param {string} text @param {{kind?: "good"|"fault", lasting?: boolean, action?: [string, () => void]}} [more] */
export function toast(text, more = {}) {
  const node = h(`div.toast${more.kind ? "." + more.kind : ""}`, { role: more.kind === "fault" ? "alert" : null }, h("span", null, text));
  const close = () => node.remove();
  if (more.action) {
    const [label, act] = more.action;
    node.append(h("button.button.quiet.small", { type: "button", onclick: () => (close(), act()) }, label));
  }
  const toasts = byId("toasts");
  while (toasts.childElementCount > 1) toasts.firstElementChild.remove();
  toasts.append(node);
  if (!more.lasting) setTimeout(close, TOAST_MS);
  return close;
}

export class Status {
  constructor() {
    /** @type {number|null} when something was saved last */
    this.savedAt = null;
    this.saving = false;
    this.waiting = 0;
    this.offline = false;
    this.loggedOut = 0; // the status of the answer that said so
    this.local = true;
    setInterval(() => this.draw(), 500);
  }

  saved() {
    this.savedAt = performance.now();
    this.saving = false;
    this.loggedOut = 0;
    this.draw();
  }

  /** Nobody is logged in any more, or somebody has logged in anew.  @param {number} status  of the answer that says so */
  out(status) {
    const [why, label, act] =
      status === 401
        ? ["are logged out", "Log in", () => location.assign(`/login?next=${encodeURIComponent(location.pathname)}`)]
        : ["have logged in elsewhere since", "Load again", () => location.reload()];
    if (this.loggedOut !== status) toast(`You ${why}. What you wrote is kept on this machine.`, { kind: "fault", lasting: true, action: [label, act] });
    this.loggedOut = status;
  }

  draw() {
    const [kind, text] = this.#words();
    const dot = byId("status-dot");
    const words = byId("status-text");
    if (dot.className !== `dot ${kind}`) dot.className = `dot ${kind}`;
    if (words.textContent !== text) words.textContent = text;
  }

  /** @returns {[string, string]} */
  #words() {
    const wait = this.waiting ? `, ${count(this.waiting, "answer waits", "answers wait")}` : "";
    if (this.loggedOut) return ["fault", `logged out${wait}`];
    if (this.offline) return ["warn", `offline${wait}${this.local ? "" : "; keep this page open"}`];
    if (this.waiting || this.saving) return ["", this.waiting > 1 ? `sending ${this.waiting}` : "saving"];
    if (this.savedAt === null) return ["good", "ready"];
    return ["good", `saved ${ago(performance.now() - this.savedAt)} ago`];
  }
}

/** @param {number} ms */
function ago(ms) {
  if (ms < 1000) return `${Math.max(0.1, ms / 1000).toFixed(1)} s`;
  if (ms < 60_000) return `${Math.floor(ms / 1000)} s`;
  return ms < 3_600_000 ? `${Math.floor(ms / 60_000)} min` : `${Math.floor(ms / 3_600_000)} h`;
}

/** @param {{today: number, total: number, median_active_ms: number|null}} mine @param {number} [goal] */
export function drawPace(mine, goal) {
  const median = mine.median_active_ms === null ? "" : ` · ${Math.max(1, Math.round(mine.median_active_ms / 1000))} s median`;
  const today = [mine.today, ...(goal ? [goal] : [])].map((number) => number.toLocaleString("en")).join(" / ");
  byId("pace").textContent = `${today} today${median}`;
}

/** Why there is no task.  @param {{state: string, paused: boolean}} handed */
export function nothing({ state, paused }) {
  const [title, why] = paused
    ? ["You are paused here", "Somebody who leads this campaign has paused you; ask them. Everything that you did is kept."]
    : state !== "open"
      ? [`This campaign is ${state}`, "No tasks are handed out. Everything that you did is kept."]
      : ["Nothing left for you", "You have seen every item that still wants an answer. New ones appear here by themselves."];
  return [h("h2", null, title), h("p.muted", null, why)];
}

const READ_MS = 3000; // open for so long counts as read

export class Guide {
  /** @param {{guidelines: () => Promise<any>, haveRead: (version: number) => Promise<any>}} api */
  constructor(api) {
    this.api = api;
    this.node = byId("guide");
    this.button = byId("open-guide");
    this.badge = byId("guide-badge");
    this.version = -1;
    this.readVersion = 0;
    this.timer = 0;
    this.button.addEventListener("click", () => this.toggle());
  }

  get isOpen() {
    return !this.node.hidden;
  }

  /** What a task says of the guidelines.  @param {{version: number, read_version: number}} about */
  heed(about) {
    const first = this.version < 0;
    this.button.hidden = about.version === 0;
    this.version = about.version;
    this.readVersion = Math.max(this.readVersion, about.read_version);
    this.#mark();
    if (first && about.version > 0 && this.readVersion === 0 && innerWidth >= 1100) void this.open();
  }

  toggle() {
    if (this.isOpen) this.close();
    else void this.open();
  }

  close() {
    clearTimeout(this.timer);
    const inside = this.node.contains(document.activeElement);
    this.node.hidden = true;
    document.body.classList.remove("guide-open");
    this.button.setAttribute("aria-expanded", "false");
    if (inside) this.button.focus();
  }

  async open() {
    if (!this.version) return;
    this.node.hidden = false;
    document.body.classList.add("guide-open");
    this.button.setAttribute("aria-expanded", "true");
    const close = h("button.button.quiet.small", { type: "button", onclick: () => this.close() }, "Close");
    const head = (/** @type {any[]} */ ...badges) => h("header.pane-head", null, h("h2", null, "Guidelines"), ...badges, h("span.spring"), close);
    if (!this.node.childElementCount) this.node.replaceChildren(head(), h("span.skeleton"));
    const guide = await this.api.guidelines().catch(() => null);
    if (this.node.hidden) return; // closed meanwhile
    if (!guide) {
      if (this.node.querySelector(".skeleton")) this.node.replaceChildren(head(), h("p.muted", null, "The guidelines come back with the connection."));
      return;
    }
    const changed = guide.read_version > 0 && guide.read_version < guide.version;
    const text = rendered({ html: guide.html, dir: "" });
    this.node.replaceChildren(
      head(h("span.badge", null, `v${guide.version}`), changed && h("span.badge.accent", null, `changed since you read v${guide.read_version}`)),
      changed
        ? h("section.guide-changes", { "aria-label": "What changed" }, ...guide.changes.map((/** @type {any} */ one) => h("p", { dir: "auto" }, h(one.kind === "new" ? "ins" : "del", null, one.text))))
        : "",
      text,
    );
    this.version = guide.version;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#read(guide.version), READ_MS);
  }

  /** @param {number} version */
  async #read(version) {
    if (version <= this.readVersion) return;
    await this.api.haveRead(version).then(() => (this.readVersion = version), () => undefined);
    this.#mark();
  }

  #mark() {
    const stale = this.readVersion < this.version;
    this.badge.hidden = this.version <= 0;
    this.badge.className = stale ? "badge accent" : "badge";
    this.badge.textContent = stale ? (this.readVersion ? `v${this.version}, changed` : `v${this.version}, new`) : `v${this.version}`;
  }
}
