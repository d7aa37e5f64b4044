/** Two answers: which is better and how much, aspect by aspect, and the better one made better still. */

import { h } from "./html.js";
import { Pane, looks, prompt } from "./panes.js";
import { Steps, digits } from "./scales.js";
import { shown } from "./keys.js";
import { Editor } from "./writing.js";

export const SCALE = [
  ["1", "A much", "A much better"],
  ["2", "A better", "A better"],
  ["3", "A slightly", "A slightly better"],
  ["4", "Tie, good", "a tie, both good"],
  ["5", "Tie, bad", "a tie, both bad"],
  ["6", "B slightly", "B slightly better"],
  ["7", "B better", "B better"],
  ["8", "B much", "B much better"],
];

/** @param {import("./types.js").Task} task @param {import("./types.js").Context} context @returns {import("./types.js").View} */
export function pairwise(task, context) {
  const panes = task.answers.map((answer) => new Pane(answer));
  const scale = new Steps({
    label: "Which answer is better?",
    steps: SCALE.map(([value, text, say]) => ({ value, text, say, mark: shown(context.marks.get(value) ?? "") })),
    changed: () => (mark(), context.changed()),
  });
  scale.node.classList.add("scale");
  const aspects = task.options.aspects.map((name) => ({
    name,
    steps: new Steps({
      label: name,
      compact: true,
      steps: ["A", "=", "B"].map((side) => ({ value: side, text: side, say: side === "=" ? `${name}: the same` : `${name}: ${side}` })),
      changed: context.changed,
    }),
  }));
  const editing = h("section.editing", { hidden: true });
  /** @type {{letter: string, editor: Editor}|null} */
  let edit = null;

  /** Which answer leads, on its head: the eye finds it without reading the scale. */
  function mark() {
    const choice = Number(scale.value || 0);
    panes[0].node.classList.toggle("ahead", choice >= 1 && choice <= 3);
    panes[1].node.classList.toggle("ahead", choice >= 6);
  }

  /** @param {string} letter @param {string} [text] */
  function startEdit(letter, text) {
    const answer = task.answers.find((one) => one.letter === letter) ?? task.answers[0];
    const editor = new Editor({ label: `Answer ${answer.letter}, edited`, text: text ?? answer.text, original: answer.text, context });
    const drop = h("button.button.quiet.small", { type: "button", onclick: () => (stopEdit(), context.changed()) }, "Drop the edit");
    edit = { letter: answer.letter, editor };
    editing.replaceChildren(h("header.pane-head", null, h("h2", null, `Make ${answer.letter} better`), h("span.spring"), drop), editor.node);
    editing.hidden = false;
  }

  function stopEdit() {
    edit = null;
    editing.hidden = true;
    editing.replaceChildren();
  }

  const better = () => (Number(scale.value) >= 6 ? "B" : "A");
  const focused = () => aspects.find((one) => one.steps.node.contains(document.activeElement));
  return {
    stage: [prompt(task.prompt), h("div.panes.two", null, ...panes.map((pane) => pane.node)), editing],
    dock: [
      scale.node,
      aspects.length > 0 && h("div.aspects", null, ...aspects.map((one) => h("div.aspect", null, h("span", { "aria-hidden": "true" }, one.name), one.steps.node))),
    ].filter((node) => node instanceof HTMLElement),
    read: () => {
      const sides = Object.fromEntries(aspects.filter((one) => one.steps.value).map((one) => [one.name, one.steps.value]));
      const text = edit && edit.editor.text !== edit.editor.original ? edit.editor.text : "";
      return {
        ...(scale.value ? { choice: Number(scale.value) } : {}),
        ...(Object.keys(sides).length ? { aspects: sides } : {}),
        ...(edit && text.trim() ? { edit: { letter: edit.letter, text } } : {}),
      };
    },
    write: (value) => {
      scale.value = value.choice ? String(value.choice) : "";
      aspects.forEach((one) => (one.steps.value = value.aspects?.[one.name] ?? ""));
      mark();
      if (value.edit) startEdit(value.edit.letter, value.edit.text);
    },
    missing: () => (scale.value ? "" : "Choose a step from 1 to 8 first"),
    say: () => scale.say,
    names: Object.fromEntries(SCALE.map(([value, , say]) => [value, say.charAt(0).toUpperCase() + say.slice(1)])),
    ui: () => (edit?.editor.pasted ? { pasted: edit.editor.pasted } : {}),
    typed: () => (edit && edit.editor.text !== edit.editor.original ? edit.editor.text.length : 0),
    key: (key) => {
      const here = focused();
      const side = key.toUpperCase();
      if (here && (side === "A" || side === "B" || side === "=")) {
        here.steps.choose(side);
        context.announce(`${here.name}: ${side === "=" ? "the same" : side}`);
        return true;
      }
      if (here && (key === "ArrowLeft" || key === "ArrowRight")) {
        here.steps.move(key === "ArrowLeft" ? -1 : 1);
        return true;
      }
      if (key !== "Tab" || !aspects.length || (document.activeElement !== document.body && document.activeElement?.id !== "stage")) return false;
      const first = aspects[0].steps;
      (first.inputs.find((input) => input.checked) ?? first.inputs[0]).focus();
      return true;
    },
    actions: {
      ...looks(panes, context),
      ...digits(8, (value) => scale.choose(value)),
      less: () => scale.move(-1),
      more: () => scale.move(1),
      edit: () => {
        if (!edit) startEdit(better());
        edit?.editor.focus();
      },
    },
  };
}
