/**
 * The panel with the campaign's guidelines: beside the task, or above it on a narrow screen.
 *
 * It opens by itself when there is a version that the rater has not read.  A version counts as read when it
 * was open for some seconds.  Where the campaign requires reading, the rater says so with a button.
 */

import { h, rendered } from "./html.js";
import { byId } from "./page.js";

const READ_MS = 3000; // open for this long counts as read

export class GuidelinesPanel {
  /**
   * @param {{guidelines: () => Promise<any>, markGuidelinesRead: (version: number) => Promise<any>}} api
   * @param {() => void} confirmed   the rater has read guidelines that had to be read first
   */
  constructor(api, confirmed) {
    this.api = api;
    this.confirmed = confirmed;
    this.mustRead = false;
    this.openedVersion = 0; // opened by itself on this page; who closes it does not want it again
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

  /**
   * Takes the versions that come with a task; opens the panel for a version that was not read.
   * @param {{version: number, read_version: number}} versions
   */
  update({ version, read_version }) {
    this.button.hidden = version === 0;
    this.version = version;
    this.readVersion = Math.max(this.readVersion, read_version);
    this.#drawBadge();
    if (version > this.readVersion && version > this.openedVersion) {
      this.openedVersion = version;
      void this.open();
    }
  }

  /** No task is assigned before the guidelines are read. */
  require() {
    const isOpen = this.isOpen && this.mustRead;
    this.mustRead = true;
    this.button.hidden = false;
    if (!isOpen) void this.open();
  }

  toggle() {
    if (this.isOpen) this.close();
    else {
      void this.open();
      this.node.scrollIntoView({ block: "nearest" }); // above a task that is scrolled, nobody would see it
    }
  }

  close() {
    clearTimeout(this.timer);
    const hadFocus = this.node.contains(document.activeElement);
    this.node.hidden = true;
    document.body.classList.remove("guide-open");
    this.button.setAttribute("aria-expanded", "false");
    if (hadFocus) this.button.focus();
  }

  async open() {
    if (!this.version && !this.mustRead) return;
    this.node.hidden = false;
    document.body.classList.add("guide-open");
    this.button.setAttribute("aria-expanded", "true");
    if (!this.node.childElementCount) this.node.replaceChildren(this.#header(), h("span.skeleton"));
    const guidelines = await this.api.guidelines().catch(() => null);
    if (!this.isOpen) return;
    if (!guidelines) {
      const isLoading = this.node.querySelector(".skeleton");
      const message = h("p.muted", null, "The guidelines load when you are back online.");
      if (isLoading) this.node.replaceChildren(this.#header(), message);
      return;
    }
    this.#draw(guidelines);
    this.version = guidelines.version;
    clearTimeout(this.timer);
    if (!this.mustRead) this.timer = setTimeout(() => this.#markRead(guidelines.version), READ_MS);
  }

  /** @param {...any} badges */
  #header(...badges) {
    const onclick = () => this.close();
    const close = h("button.button.quiet.small", { type: "button", onclick }, "Close");
    return h("header.pane-head", null, h("h2", null, "Guidelines"), ...badges, h("span.spring"), close);
  }

  /**
   * @param {Object} guidelines
   * @param {number} guidelines.version
   * @param {number} guidelines.read_version
   * @param {string} guidelines.html
   * @param {{kind: string, text: string}[]} guidelines.changes
   */
  #draw({ version, read_version, html, changes }) {
    const hasChanged = read_version > 0 && read_version < version;
    const line = (/** @type {{kind: string, text: string}} */ { kind, text }) =>
      h("p", { dir: "auto" }, h(kind === "new" ? "ins" : "del", null, text));
    this.node.replaceChildren(
      this.#header(
        h("span.badge", null, `v${version}`),
        hasChanged && h("span.badge.accent", null, `changed since you read v${read_version}`),
      ),
      hasChanged ? h("section.guide-changes", { "aria-label": "Changes" }, ...changes.map(line)) : "",
      rendered({ html, dir: "" }),
      this.mustRead ? this.#confirmButton(version) : "",
    );
  }

  /** @param {number} version */
  #confirmButton(version) {
    const button = h("button.button.primary", { type: "button" }, "I have read the guidelines");
    button.addEventListener("click", async () => {
      button.disabled = true;
      await this.#markRead(version);
      button.disabled = false;
      if (this.readVersion < version) return; // offline
      this.mustRead = false;
      this.close();
      this.confirmed();
    });
    return h("p.confirm-read", null, button);
  }

  /** @param {number} version */
  async #markRead(version) {
    if (version <= this.readVersion) return;
    try {
      await this.api.markGuidelinesRead(version);
      this.readVersion = version;
    } catch {
      // the version stays unread, and is marked at the next visit
    }
    this.#drawBadge();
  }

  #drawBadge() {
    const isUnread = this.readVersion < this.version;
    this.badge.hidden = this.version <= 0;
    this.badge.className = isUnread ? "badge accent" : "badge";
    const state = isUnread ? (this.readVersion ? ", changed" : ", new") : "";
    this.badge.textContent = `v${this.version}${state}`;
  }
}
