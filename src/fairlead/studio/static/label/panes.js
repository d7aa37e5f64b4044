/** What is read: the prompt and the answers, rendered, raw, or with the words marked that differ. */

import { diff } from "./diff.js";
import { count, h, rendered } from "./html.js";

const ROLES = { system: "Instructions", user: "User", assistant: "Assistant" };

/** @param {string} role */
const roleName = (role) => /** @type {Record<string, string>} */ (ROLES)[role] ?? role;

/** @param {import("./types.js").Message} message @param {string} [tag] */
export function turn(message, tag = "div") {
  return h(`${tag}.turn.${message.role}`, null, h("p.role", null, roleName(message.role)), rendered(message));
}

/** The last turn open, earlier ones folded.  @param {import("./types.js").Message[]} messages */
export function prompt(messages) {
  const earlier = messages.slice(0, -1);
  const last = messages.at(-1);
  const folded =
    earlier.length > 0 &&
    h("details.earlier", null, h("summary", null, earlier.every((one) => one.role === "system") ? "Instructions to the model" : count(earlier.length, "earlier turn")), ...earlier.map((one) => turn(one)));
  const copy = copyButton("the prompt", messages.map((one) => one.text).join("\n\n"));
  return h("section.prompt", { "data-pane": "prompt", "aria-label": "Prompt" }, h("header.pane-head", null, h("h2", null, "Prompt"), h("span.spring"), copy), folded, last && turn(last));
}

export class Pane {
  /** @param {import("./types.js").Answer} answer @param {string} [title] */
  constructor(answer, title = `Answer ${answer.letter}`) {
    this.answer = answer;
    this.badge = h("span.place.figures");
    this.extra = h("span.row");
    this.body = rendered(answer);
    this.box = h("div.pane-body", null, this.body);
    this.node = h(
      "article.pane",
      { "data-pane": answer.letter, "aria-label": title },
      h("header.pane-head", null, h("h2", null, title === `Answer ${answer.letter}` ? h("span.letter", null, answer.letter) : title), this.badge, h("span.spring"), this.extra, copyButton(title, answer.text)),
      this.box,
    );
  }

  rendered() {
    this.box.replaceChildren(this.body);
  }

  raw() {
    this.box.replaceChildren(h("div.said.raw", { dir: this.answer.dir || "auto" }, this.answer.text));
  }

  /** @param {string} other  what this answer is compared with */
  differing(other) {
    const parts = diff(other, this.answer.text).filter((part) => part.kind !== "gone");
    this.box.replaceChildren(h("div.said.raw", { dir: this.answer.dir || "auto" }, ...parts.map((part) => (part.kind === "same" ? part.text : h("mark", null, part.text)))));
  }
}

/** Both ways of looking at several answers, by key.  @param {Pane[]} panes @param {import("./types.js").Context} context */
export function looks(panes, context) {
  /** @type {"rendered"|"raw"|"diff"} */
  let mode = "rendered";
  /** @param {"raw"|"diff"} wanted */
  const toggle = (wanted) => {
    mode = mode === wanted ? "rendered" : wanted;
    if (mode === "raw") panes.forEach((pane) => pane.raw());
    else if (mode === "diff") panes.forEach((pane, n) => pane.differing(panes[n === 0 ? 1 : 0].answer.text));
    else panes.forEach((pane) => pane.rendered());
    context.announce({ rendered: "Rendered", raw: "As it was written", diff: "Words that differ are marked" }[mode]);
  };
  /** @type {Record<string, () => void>} */
  const actions = { raw: () => toggle("raw") };
  if (panes.length > 1) actions.diff = () => toggle("diff");
  return actions;
}

/** A text and what became of it, in one.  @param {string} before @param {string} after */
export function changes(before, after) {
  const tags = { same: "span", gone: "del", new: "ins" };
  return h("div.said.raw.changes", { dir: "auto" }, ...diff(before, after).map((part) => h(tags[part.kind], null, part.text)));
}

/** @param {string} what @param {string} text */
function copyButton(what, text) {
  const button = h("button.button.quiet.small.copy-text", { type: "button", "aria-label": `Copy ${what}` }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not allowed here";
    }
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  return button;
}
