/** A text editor with a preview, the changes against an original, and the length. */

import { tokenize } from "./diff.js";
import { count, h, rendered } from "./html.js";
import { changesNode } from "./panes.js";
import { RadioRow } from "./radio-row.js";

const DEBOUNCE_MS = 250;
const MIN_PASTE = 80; // characters; a shorter paste is a word or a link
const FULL_GAUGE_WORDS = 400;
const WORDS_PER_SECOND = 4;

export class Editor {
  /**
   * @param {{label: string, text: string, original?: string, context: import("./types.js").Context}}
   *   options
   */
  constructor({ label, text, original, context }) {
    const hasOriginal = original !== undefined;
    this.original = original ?? "";
    this.context = context;
    this.numPasted = 0; // characters
    this.timer = 0;
    this.area = h("textarea.control.editor", {
      "aria-label": label,
      dir: "auto",
      spellcheck: "true",
      rows: "10",
      placeholder: hasOriginal ? "" : "Write the ideal answer. Markdown is supported.",
    });
    this.area.value = text;
    this.side = h("div.side", { "aria-live": "off" });
    this.length = h("span.figures");
    this.gauge = h("meter.bar", { min: "0", max: String(FULL_GAUGE_WORDS), "aria-label": "Length" });
    const pasteText = "You pasted text. Make sure the answer is in your own words.";
    this.pasteHint = h("p.small.muted", { hidden: true }, pasteText);
    const tabNames = hasOriginal ? ["Changes", "Preview", "Off"] : ["Preview", "Off"];
    this.tabs = new RadioRow({
      label: "Side panel",
      compact: true,
      options: tabNames.map((name) => ({ value: name, text: name })),
      changed: () => this.#draw(),
    });
    this.tabs.value = tabNames[0];
    const lengthRow = h("div.row.gauge", null, this.length, this.gauge, h("span.spring"), this.tabs.node);
    const main = h("div.write", null, this.area, lengthRow, this.pasteHint);
    this.node = h("div.writer", null, main, this.side);
    this.area.addEventListener("input", () => {
      context.changed();
      this.#draw();
    });
    this.area.addEventListener("paste", (/** @type {ClipboardEvent} */ event) => this.#recordPaste(event));
    this.#draw();
  }

  get text() {
    return this.area.value;
  }

  set text(text) {
    this.area.value = text;
    this.#draw();
  }

  get isChanged() {
    return this.text !== this.original;
  }

  focus() {
    this.area.focus();
  }

  /** @param {ClipboardEvent} event */
  #recordPaste(event) {
    const length = event.clipboardData?.getData("text").length ?? 0;
    if (length < MIN_PASTE) return;
    this.numPasted += length;
    this.pasteHint.hidden = false;
  }

  #draw() {
    this.#drawLength();
    const tab = this.tabs.value;
    this.node.classList.toggle("alone", tab === "Off");
    clearTimeout(this.timer);
    if (tab === "Off") return;
    const draw = () => (tab === "Changes" ? this.#drawChanges() : void this.#drawPreview());
    this.timer = setTimeout(draw, this.side.childElementCount ? DEBOUNCE_MS : 0);
  }

  #drawLength() {
    const numWords = tokenize(this.text).filter((token) => /[\p{L}\p{N}]/u.test(token)).length;
    const seconds = Math.max(1, Math.round(numWords / WORDS_PER_SECOND));
    const readingTime = numWords ? ` · ${seconds} s to read` : "";
    const lengths = `${count(numWords, "word")} · ${count(this.text.length, "character")}`;
    this.length.textContent = lengths + readingTime;
    this.gauge.value = Math.min(FULL_GAUGE_WORDS, numWords);
  }

  #drawChanges() {
    this.side.replaceChildren(changesNode(this.original, this.text));
  }

  async #drawPreview() {
    const text = this.text;
    const html = text.trim() ? await this.context.preview(text).catch(() => null) : "";
    if (text !== this.text || this.tabs.value !== "Preview") return;
    const isOffline = html === null;
    const message = isOffline ? "The preview is not available offline." : "Your text is previewed here.";
    this.side.replaceChildren(html ? rendered({ html, dir: "" }) : h("p.muted", null, message));
  }
}
