/**
 * Messages of a prompt or a conversation: as they were written, or formatted as Markdown.
 *
 * What people and programs wrote to a model is shown as written: Markdown would turn `__name__` into a bold
 * "name" and hide what the model was asked.  Answers of models are formatted.
 */

import { count, h, rendered, written } from "./html.js";

/** @typedef {import("./types.js").Message} Message */

/** @type {Record<string, string>} */
const ROLE_LABELS = { system: "Instructions", user: "User", assistant: "Assistant" };
const COPIED_MS = 1500;

let formatsPrompts = false; // the rater's choice; it holds until the page is left

export class MessageView {
  /**
   * @param {Message} message
   * @param {{tag?: string, isFormatted?: boolean}} [options]  `isFormatted`: shown as Markdown at first
   */
  constructor(message, { tag = "div", isFormatted = false } = {}) {
    this.message = message;
    this.isFormatted = isFormatted;
    this.isSource = false;
    this.body = this.#draw();
    const role = h("p.role", null, ROLE_LABELS[message.role] ?? message.role);
    this.node = h(`${tag}.turn.${message.role}`, null, role, this.body);
  }

  /** @param {boolean} isSource  show the text as it was written, whatever else is chosen */
  showSource(isSource) {
    this.isSource = isSource;
    this.#redraw();
  }

  /** @param {boolean} isFormatted */
  format(isFormatted) {
    this.isFormatted = isFormatted;
    this.#redraw();
  }

  /** True if formatting changes more than spaces. */
  get hasFormatting() {
    const words = (/** @type {string} */ text) => text.replace(/\s+/g, " ").trim();
    return words(rendered(this.message).textContent ?? "") !== words(this.message.text);
  }

  #draw() {
    if (this.isFormatted && !this.isSource) return rendered(this.message);
    const node = written(this.message);
    node.classList.toggle("raw", this.isSource);
    return node;
  }

  #redraw() {
    const body = this.#draw();
    this.body.replaceWith(body);
    this.body = body;
  }
}

/** The prompt: the last message, and above it the instructions and the earlier turns, which can be folded. */
export class Prompt {
  /** @param {Message[]} messages */
  constructor(messages) {
    this.views = messages.map((message) => new MessageView(message, { isFormatted: formatsPrompts }));
    const nodes = this.views.map((view) => view.node);
    const earlier = messages.slice(0, -1);
    const text = messages.map((message) => message.text).join("\n\n");
    const head = h(
      "header.pane-head",
      null,
      h("h2", null, "Prompt"),
      h("span.spring"),
      this.views.some((view) => view.hasFormatting) && this.#formatButton(),
      copyButton("the prompt", text),
    );
    this.node = h(
      "section.prompt",
      { "data-pane": "prompt", "aria-label": "Prompt" },
      head,
      earlier.length > 0 &&
        h(
          `details.earlier${earlier.every(({ role }) => role === "system") ? ".instructions" : ""}`,
          { open: true },
          h("summary", null, summarize(earlier)),
          ...nodes.slice(0, -1),
        ),
      nodes.at(-1),
    );
  }

  /** @param {boolean} isSource */
  showSource(isSource) {
    for (const view of this.views) view.showSource(isSource);
  }

  #formatButton() {
    const button = h(
      "button.button.quiet.small.format",
      { type: "button", "aria-pressed": String(formatsPrompts) },
      "Format",
    );
    button.addEventListener("click", () => {
      formatsPrompts = !formatsPrompts;
      button.setAttribute("aria-pressed", String(formatsPrompts));
      for (const view of this.views) view.format(formatsPrompts);
    });
    return button;
  }
}

/** What stands above the last message, in words.  @param {Message[]} messages */
function summarize(messages) {
  const numTurns = messages.filter((message) => message.role !== "system").length;
  const turns = numTurns ? count(numTurns, "earlier turn") : "";
  if (numTurns === messages.length) return turns;
  return turns ? `Instructions and ${turns}` : "Instructions";
}

/** @param {string} name @param {string} text */
export function copyButton(name, text) {
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
