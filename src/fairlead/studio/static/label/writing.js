/** The views in which raters write: demonstration (a new answer) and edit (an improved answer). */

import { Editor } from "./editor.js";
import { count, h } from "./html.js";
import { Prompt } from "./messages.js";
import { displayActions, Pane, paneGrid } from "./panes.js";
import { RadioRow } from "./radio-row.js";

/** @typedef {import("./types.js").Task} Task */
/** @typedef {import("./types.js").Context} Context */
/** @typedef {import("./types.js").View} View */

/** @param {Editor} editor  what is stored about pasted text */
const pasteDetails = (editor) => (editor.numPasted ? { pasted: editor.numPasted } : {});

/** @param {Editor} editor @param {string} heading @param {...any} extra */
function writingSection(editor, heading, ...extra) {
  const header = h("header.pane-head", null, h("h2", null, heading), ...extra);
  return h("section.writing", { "data-pane": "editor" }, header, editor.node);
}

/** @param {Task} task @param {Context} context @returns {View} */
export function demonstration(task, context) {
  const prompt = new Prompt(task.prompt);
  const editor = new Editor({ label: "Your answer", text: "", context });
  return {
    content: [prompt.node, writingSection(editor, "Your answer")],
    controls: [],
    read: () => (editor.text ? { text: editor.text } : {}),
    write: (value) => (editor.text = value.text ?? ""),
    missing: () => (editor.text.trim() ? "" : "Write an answer"),
    summary: () => count(editor.text.length, "character"),
    typedLength: () => editor.text.length,
    details: () => pasteDetails(editor),
    firstField: editor.area,
    actions: { ...displayActions([], prompt, context), edit: () => editor.focus() },
  };
}

/** @param {Task} task @param {Context} context @returns {View} */
export function edit(task, context) {
  const prompt = new Prompt(task.prompt);
  const hasSeveral = task.answers.length > 1;
  const panes = task.answers.map((answer) => new Pane(answer, hasSeveral ? undefined : "Answer"));
  const [first] = task.answers;
  let letter = first.letter;
  const editor = new Editor({ label: "The answer, edited", text: first.text, original: first.text, context });
  const answerRow = new RadioRow({
    label: "Answer to edit",
    compact: true,
    options: task.answers.map((answer) => {
      return { value: answer.letter, text: answer.letter, name: `Answer ${answer.letter}` };
    }),
    changed: (value) => {
      startEdit(value);
      context.changed();
    },
  });
  answerRow.value = letter;
  /**
   * The edited text of each answer: switching between answers loses nothing.
   * @type {Record<string, string>}
   */
  const texts = {};

  /** @param {string} newLetter @param {string} [text] */
  function startEdit(newLetter, text) {
    texts[letter] = editor.text;
    const answer = task.answers.find((candidate) => candidate.letter === newLetter) ?? first;
    letter = answer.letter;
    answerRow.value = letter;
    editor.original = answer.text;
    editor.text = text ?? texts[letter] ?? answer.text;
    for (const { node, answer: shown } of panes) {
      node.classList.toggle("picked", hasSeveral && shown.letter === letter);
    }
  }

  const panesNode = paneGrid(panes);
  return {
    content: [
      prompt.node,
      panesNode,
      writingSection(editor, "Improved answer", hasSeveral && answerRow.node),
    ],
    controls: [],
    read: () => (editor.isChanged ? { letter, text: editor.text } : { letter }),
    write: (value) => startEdit(value.letter ?? letter, value.text),
    missing: () => {
      if (!editor.text.trim()) return "The answer is empty";
      return editor.isChanged ? "" : "Edit the answer";
    },
    summary: () => `${letter} edited`,
    typedLength: () => (editor.isChanged ? editor.text.length : 0),
    details: () => pasteDetails(editor),
    handleKey: (key) => {
      const newLetter = key.toUpperCase();
      if (!hasSeveral || !task.answers.some((answer) => answer.letter === newLetter)) return false;
      answerRow.select(newLetter);
      return true;
    },
    actions: { ...displayActions(panes, prompt, context), edit: () => editor.focus() },
  };
}
