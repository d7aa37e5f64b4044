/** Writing an answer, and making a written one better: an editor with a preview, the changes word by word, and how long it has become. */

import { count, h, rendered } from "./html.js";
import { words } from "./diff.js";
import { changes, Pane, looks, prompt } from "./panes.js";
import { Steps } from "./scales.js";

/** @typedef {import("./types.js").Task} Task */
/** @typedef {import("./types.js").Context} Context */
/** @typedef {import("./types.js").View} View */

const QUIET_MS = 250; // after the last keystroke
const PASTED = 80; // characters; below it is a word or a link
const GAUGE_WORDS = 400; // where the gauge is full
const WORDS_A_SECOND = 4;

export class Editor {
  /** @param {{label: string, text: string, original?: string, context: Context}} about */
  constructor({ label, text, original, context }) {
    this.original = original ?? "";
    this.context = context;
    this.pasted = 0;
    this.timer = 0;
    this.area = h("textarea.control.editor", { "aria-label": label, dir: "auto", spellcheck: "true", rows: "10", placeholder: original === undefined ? "Write the answer you would want to get. Markdown is rendered." : "" });
    this.area.value = text;
    this.side = h("div.side", { "aria-live": "off" });
    this.figures = h("span.figures");
    this.gauge = h("meter.bar", { min: "0", max: String(GAUGE_WORDS), "aria-label": "Length" });
    this.hint = h("p.small.muted", { hidden: true }, "Pasted text: make sure that the words are yours.");
    this.tabs = new Steps({
      label: "Beside the editor",
      compact: true,
      steps: (original === undefined ? ["Preview"] : ["Changes", "Preview"]).concat("Off").map((name) => ({ value: name, text: name })),
      changed: () => this.#draw(),
    });
    this.tabs.value = original === undefined ? "Preview" : "Changes";
    this.node = h(
      "div.writer",
      null,
      h("div.write", null, this.area, h("div.row.gauge", null, this.figures, this.gauge, h("span.spring"), this.tabs.node), this.hint),
      this.side,
    );
    this.area.addEventListener("input", () => (context.changed(), this.#draw()));
    this.area.addEventListener("paste", (/** @type {ClipboardEvent} */ event) => {
      const length = event.clipboardData?.getData("text").length ?? 0;
      if (length < PASTED) return;
      this.pasted += length;
      this.hint.hidden = false;
    });
    this.#draw();
  }

  get text() {
    return this.area.value;
  }

  set text(text) {
    this.area.value = text;
    this.#draw();
  }

  focus() {
    this.area.focus();
  }

  #draw() {
    const spoken = words(this.text).filter((word) => /[\p{L}\p{N}]/u.test(word)).length;
    this.figures.textContent = `${count(spoken, "word")} · ${count(this.text.length, "character")}${spoken ? ` · ${Math.max(1, Math.round(spoken / WORDS_A_SECOND))} s to read` : ""}`;
    this.gauge.value = Math.min(GAUGE_WORDS, spoken);
    clearTimeout(this.timer);
    const mode = this.tabs.value;
    this.node.classList.toggle("alone", mode === "Off");
    const draw = { Changes: () => this.side.replaceChildren(changes(this.original, this.text)), Preview: () => void this.#preview() }[mode];
    if (draw) this.timer = setTimeout(draw, this.side.childElementCount ? QUIET_MS : 0);
  }

  async #preview() {
    const text = this.text;
    const html = text.trim() ? await this.context.preview(text).catch(() => null) : "";
    if (text !== this.text || this.tabs.value !== "Preview") return;
    const none = html === null ? "The preview comes back with the connection." : "What you write is shown here as others will see it.";
    this.side.replaceChildren(html ? rendered({ html, dir: "" }) : h("p.muted", null, none));
  }
}

/** @param {Task} task @param {Context} context @returns {View} */
export function demonstration(task, context) {
  const editor = new Editor({ label: "Your answer", text: "", context });
  return {
    stage: [prompt(task.prompt), h("section.writing", { "data-pane": "editor" }, h("header.pane-head", null, h("h2", null, "Your answer")), editor.node)],
    dock: [],
    read: () => (editor.text ? { text: editor.text } : {}),
    write: (value) => (editor.text = value.text ?? ""),
    missing: () => (editor.text.trim() ? "" : "Write an answer first"),
    say: () => count(editor.text.length, "character"),
    typed: () => editor.text.length,
    ui: () => (editor.pasted ? { pasted: editor.pasted } : {}),
    first: editor.area,
    actions: { edit: () => editor.focus() },
  };
}

/** @param {Task} task @param {Context} context @returns {View} */
export function edit(task, context) {
  const several = task.answers.length > 1;
  const panes = task.answers.map((answer) => new Pane(answer, several ? undefined : "The answer"));
  let letter = task.answers[0].letter;
  const editor = new Editor({ label: "The answer, edited", text: task.answers[0].text, original: task.answers[0].text, context });
  const which = new Steps({
    label: "Which answer to edit",
    compact: true,
    steps: task.answers.map((answer) => ({ value: answer.letter, text: answer.letter, say: `Answer ${answer.letter}` })),
    changed: (value) => (start(value), context.changed()),
  });
  which.value = letter;
  /** What was typed into each, so that looking at another answer loses nothing.  @type {Record<string, string>} */
  const texts = {};

  /** @param {string} wanted @param {string} [text] */
  function start(wanted, text) {
    texts[letter] = editor.text;
    const answer = task.answers.find((one) => one.letter === wanted) ?? task.answers[0];
    letter = answer.letter;
    which.value = letter;
    editor.original = answer.text;
    editor.text = text ?? texts[letter] ?? answer.text;
    panes.forEach((pane) => pane.node.classList.toggle("picked", several && pane.answer.letter === letter));
  }

  return {
    stage: [
      prompt(task.prompt),
      h(`div.panes${several ? ".many" : ".one"}`, null, ...panes.map((pane) => pane.node)),
      h("section.writing", { "data-pane": "editor" }, h("header.pane-head", null, h("h2", null, "Better"), several && which.node), editor.node),
    ],
    dock: [],
    read: () => (editor.text !== editor.original ? { letter, text: editor.text } : { letter }),
    write: (value) => start(value.letter ?? letter, value.text),
    missing: () => (!editor.text.trim() ? "The answer is empty" : editor.text === editor.original ? "Change something first" : ""),
    say: () => `${letter} edited`,
    typed: () => (editor.text === editor.original ? 0 : editor.text.length),
    ui: () => (editor.pasted ? { pasted: editor.pasted } : {}),
    key: (key) => {
      if (!several || !task.answers.some((answer) => answer.letter === key.toUpperCase())) return false;
      which.choose(key.toUpperCase());
      return true;
    },
    actions: { ...looks(panes, context), edit: () => editor.focus() },
  };
}
