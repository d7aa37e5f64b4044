/** The panes of the answers: formatted, as source text, or with differences highlighted. */

import { diff } from "./diff.js";
import { h, rendered } from "./html.js";
import { copyButton } from "./messages.js";

export class Pane {
  /** @param {import("./types.js").Answer} answer @param {string} [title] */
  constructor(answer, title) {
    this.answer = answer;
    const name = title ?? `Answer ${answer.letter}`;
    const heading = title ?? h("span.letter", null, answer.letter);
    this.badge = h("span.place.figures");
    this.body = rendered(answer);
    this.box = h("div.pane-body", null, this.body);
    this.node = h(
      "article.pane",
      { "data-pane": answer.letter, "aria-label": name },
      h(
        "header.pane-head",
        null,
        h("h2", null, heading),
        this.badge,
        h("span.spring"),
        copyButton(name, answer.text),
      ),
      this.box,
    );
  }

  showRendered() {
    this.box.replaceChildren(this.body);
  }

  showSource() {
    this.box.replaceChildren(this.#sourceNode(this.answer.text));
  }

  /** Highlights the words that `other` does not have.  @param {string} other */
  showDifferences(other) {
    const parts = diff(other, this.answer.text).filter((part) => part.kind !== "gone");
    const nodes = parts.map((part) => (part.kind === "same" ? part.text : h("mark", null, part.text)));
    this.box.replaceChildren(this.#sourceNode(...nodes));
  }

  /** @param {...(Node|string)} children */
  #sourceNode(...children) {
    return h("div.said.raw", { dir: this.answer.dir || "auto" }, ...children);
  }
}

/**
 * The panes side by side, in rows of equal panes of which none is left with a single answer.
 * @param {Pane[]} panes
 */
export function paneGrid(panes) {
  const number = panes.length;
  if (number === 1) return h("div.panes.one", null, panes[0].node);
  const columns = [3, 2, 4].find((width) => width <= number && number % width !== 1) ?? 1;
  const props = { "data-columns": columns, "data-even": number % 2 === 0 };
  return h("div.panes.many", props, ...panes.map((pane) => pane.node));
}

/**
 * The actions "raw" and "diff", which switch how the texts of a task are shown: "raw" shows every text as it
 * was written.
 * @param {Pane[]} panes
 * @param {import("./messages.js").Prompt} prompt
 * @param {import("./types.js").Context} context
 */
export function displayActions(panes, prompt, context) {
  /** @type {"rendered"|"raw"|"diff"} */
  let mode = "rendered";
  /** @param {"raw"|"diff"} selected */
  const toggle = (selected) => {
    mode = mode === selected ? "rendered" : selected;
    prompt.showSource(mode === "raw");
    panes.forEach((pane, n) => {
      if (mode === "raw") pane.showSource();
      else if (mode === "diff") pane.showDifferences(panes[n === 0 ? 1 : 0].answer.text);
      else pane.showRendered();
    });
    context.announce({ rendered: "Formatted", raw: "As written", diff: "Differences highlighted" }[mode]);
  };
  /** @type {Record<string, () => void>} */
  const actions = { raw: () => toggle("raw") };
  if (panes.length > 1) actions.diff = () => toggle("diff");
  return actions;
}

/** The changes from one text to another, inline.  @param {string} before @param {string} after */
export function changesNode(before, after) {
  const tags = { same: "span", gone: "del", new: "ins" };
  const nodes = diff(before, after).map((part) => h(tags[part.kind], null, part.text));
  return h("div.said.raw.changes", { dir: "auto" }, ...nodes);
}
