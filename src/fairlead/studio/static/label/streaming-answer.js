/** The pane of one answer of a chat turn, from the first token to the rendered text. */

import { h, rendered } from "./html.js";

export class StreamingAnswer {
  /** @param {string} letter @param {() => void} retry */
  constructor(letter, retry) {
    this.letter = letter;
    this.text = "";
    this.isComplete = false;
    this.state = h("span.place.small.muted", null, "writing");
    this.body = h("div.said.raw", { dir: "auto" });
    this.box = h("div.pane-body", { "aria-busy": "true" }, this.body);
    const heading = h("h2", null, h("span.letter", null, letter));
    this.node = h(
      "article.pane",
      { "data-pane": letter, "aria-label": `Answer ${letter}` },
      h("header.pane-head", null, heading, this.state),
      this.box,
    );
    this.retryButton = h("button.button.small", { type: "button", onclick: retry }, "Try again");
  }

  /** Clears an incomplete answer: a new stream sends its text from the start. */
  restart() {
    if (this.isComplete) return;
    this.text = "";
    this.body = h("div.said.raw", { dir: "auto" });
    this.box.replaceChildren(this.body);
    this.state.textContent = "writing";
  }

  /** @param {string} text */
  append(text) {
    this.text += text;
    this.body.append(text);
  }

  /** @param {{html: string, text: string, dir: string, cut: boolean}} answer */
  finish(answer) {
    this.text = answer.text;
    this.isComplete = true;
    this.box.removeAttribute("aria-busy");
    this.body = rendered(answer);
    this.box.replaceChildren(this.body);
    this.state.textContent = answer.cut ? "cut off" : "";
  }

  fail() {
    this.state.textContent = "";
    this.box.replaceChildren(h("p.notice.warn", null, "This answer could not be loaded. ", this.retryButton));
  }

  /** @param {boolean} asSource  show the source text instead of the rendered text */
  show(asSource) {
    if (!this.isComplete) return;
    this.box.replaceChildren(asSource ? h("div.said.raw", { dir: "auto" }, this.text) : this.body);
  }
}
