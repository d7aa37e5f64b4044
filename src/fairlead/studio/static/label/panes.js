/** The prompt and the answers: rendered, as source text, or with differences highlighted. */

import { diff } from "./diff.js";
import { count, h, rendered } from "./html.js";

/** @typedef {import("./types.js").Message} Message */

/** @type {Record<string, string>} */
const ROLE_LABELS = { system: "Instructions", user: "User", assistant: "Assistant" };
const COPIED_MS = 1500;

/** One message with its role.  @param {Message} message @param {string} [tag] */
export function messageNode(message, tag = "div") {
  const role = h("p.role", null, ROLE_LABELS[message.role] ?? message.role);
  return h(`${tag}.turn.${message.role}`, null, role, rendered(message));
}

/** The prompt: the last message is open, earlier ones are collapsed.  @param {Message[]} messages */
export function promptSection(messages) {
  const earlier = messages.slice(0, -1);
  const last = messages.at(-1);
  const text = messages.map((message) => message.text).join("\n\n");
  return h(
    "section.prompt",
    { "data-pane": "prompt", "aria-label": "Prompt" },
    h("header.pane-head", null, h("h2", null, "Prompt"), h("span.spring"), copyButton("the prompt", text)),
    earlier.length > 0 && collapsed(earlier),
    last && messageNode(last),
  );
}

/** @param {Message[]} messages */
function collapsed(messages) {
  const isSystemOnly = messages.every((message) => message.role === "system");
  const summary = isSystemOnly ? "System prompt" : count(messages.length, "earlier turn");
  return h(
    "details.earlier",
    null,
    h("summary", null, summary),
    ...messages.map((message) => messageNode(message)),
  );
}

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
 * The actions "raw" and "diff", which switch how answers are shown.
 * @param {Pane[]} panes
 * @param {import("./types.js").Context} context
 */
export function displayActions(panes, context) {
  /** @type {"rendered"|"raw"|"diff"} */
  let mode = "rendered";
  /** @param {"raw"|"diff"} selected */
  const toggle = (selected) => {
    mode = mode === selected ? "rendered" : selected;
    panes.forEach((pane, n) => {
      if (mode === "raw") pane.showSource();
      else if (mode === "diff") pane.showDifferences(panes[n === 0 ? 1 : 0].answer.text);
      else pane.showRendered();
    });
    context.announce({ rendered: "Rendered", raw: "Source text", diff: "Differences highlighted" }[mode]);
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

/** @param {string} name @param {string} text */
function copyButton(name, text) {
  const props = { type: "button", "aria-label": `Copy ${name}` };
  const button = h("button.button.quiet.small.copy-text", props, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Copying is blocked";
    }
    setTimeout(() => (button.textContent = "Copy"), COPIED_MS);
  });
  return button;
}
