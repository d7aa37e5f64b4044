/** The status in the top bar: saved, saving, offline or logged out. */

import { count } from "./html.js";
import { toast } from "./notices.js";
import { byId } from "./page.js";
import { pathInStudio, root } from "../root.js";

const REDRAW_MS = 500;

export class SaveStatus {
  constructor() {
    /** @type {number|null} time of the last save */
    this.savedAt = null;
    this.saved = "";
    this.saving = false;
    this.numPending = 0;
    this.offline = false;
    this.sessionError = 0; // HTTP status of the response that ended the session; 0 while the session is valid
    this.isPersistent = true;
    setInterval(() => this.draw(), REDRAW_MS);
  }

  /** The server has a draft or an answer.  @param {"draft saved"|"answer saved"|"flag saved"} what */
  setSaved(what) {
    this.saved = what;
    this.savedAt = performance.now();
    this.saving = false;
    this.sessionError = 0;
    this.draw();
  }

  /** The session ended (401), or a new session replaced it.  @param {number} status */
  sessionEnded(status) {
    if (this.sessionError !== status) {
      const logIn = () => location.assign(`${root}/login?next=${encodeURIComponent(pathInStudio())}`);
      const reload = () => location.reload();
      const reason = status === 401 ? "You are logged out." : "You have logged in again elsewhere.";
      toast(`${reason} Your work is saved in this browser.`, {
        kind: "fault",
        isLasting: true,
        actions: [status === 401 ? ["Log in", logIn] : ["Reload", reload]],
      });
    }
    this.sessionError = status;
  }

  draw() {
    const [kind, text] = this.#describe();
    const dot = byId("status-dot");
    const label = byId("status-text");
    if (dot.className !== `dot ${kind}`) dot.className = `dot ${kind}`;
    if (label.textContent !== text) label.textContent = text;
  }

  /** @returns {[string, string]} colour of the dot, and the text */
  #describe() {
    const queued = this.numPending ? `, ${count(this.numPending, "answer")} queued` : "";
    if (this.sessionError) return ["fault", `logged out${queued}`];
    if (this.offline) return ["warn", `offline${queued}${this.isPersistent ? "" : "; keep this page open"}`];
    if (this.numPending > 1) return ["", `sending ${this.numPending}`];
    if (this.numPending || this.saving) return ["", "saving"];
    if (this.savedAt === null) return ["good", "ready"];
    return ["good", `${this.saved} ${formatDuration(performance.now() - this.savedAt)} ago`];
  }
}

/** @param {number} ms */
function formatDuration(ms) {
  if (ms < 1000) return `${Math.max(0.1, ms / 1000).toFixed(1)} s`;
  if (ms < 60_000) return `${Math.floor(ms / 1000)} s`;
  if (ms < 3_600_000) return `${Math.floor(ms / 60_000)} min`;
  return `${Math.floor(ms / 3_600_000)} h`;
}
