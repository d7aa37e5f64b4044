/**
 * The view for a pair of answers: a preference scale, a preference per aspect, and an edit of the better
 * answer.
 */

import { Editor } from "./editor.js";
import { capitalize, h } from "./html.js";
import { Prompt } from "./messages.js";
import { displayActions, Pane } from "./panes.js";
import { numberedActions, RadioRow } from "./radio-row.js";
import { keyLabel } from "./shortcuts.js";

/** @typedef {import("./types.js").Task} Task */
/** @typedef {import("./types.js").Context} Context */

/**
 * The steps of the preference scale: value, text on the button, spoken name.
 * @type {[string, string, string][]}
 */
const PREFERENCES = [
  ["1", "A much better", "A much better"],
  ["2", "A better", "A better"],
  ["3", "A slightly better", "A slightly better"],
  ["4", "Both good", "a tie, both good"],
  ["5", "Both bad", "a tie, both bad"],
  ["6", "B slightly better", "B slightly better"],
  ["7", "B better", "B better"],
  ["8", "B much better", "B much better"],
];
const SIDES = ["A", "=", "B"];

/** Names of the actions 1 to 8 in the list of shortcuts. */
export const preferenceNames = Object.fromEntries(
  PREFERENCES.map(([value, , name]) => [value, capitalize(name)]),
);

/** @param {Context} context @param {(value: string) => void} changed */
export function preferenceScale(context, changed) {
  const row = new RadioRow({
    label: "Which answer is better?",
    options: PREFERENCES.map(([value, text, name]) => {
      return { value, text, name, key: keyLabel(context.keys.get(value)) };
    }),
    changed,
  });
  row.node.classList.add("scale");
  return row;
}

/**
 * The preferred answer: "A", "B", or "" for a tie or no choice.
 * @param {number|string|null|undefined} choice
 */
export function preferredLetter(choice) {
  const step = Number(choice ?? 0);
  if (step >= 6) return "B";
  return step >= 1 && step <= 3 ? "A" : "";
}

/** @param {Task} task @param {Context} context @returns {import("./types.js").View} */
export function pairwise(task, context) {
  const prompt = new Prompt(task.prompt);
  const panes = task.answers.map((answer) => new Pane(answer));
  const scale = preferenceScale(context, () => {
    markPreferred();
    context.changed();
  });
  const aspects = task.options.aspects.map((name) => ({ name, row: aspectRow(name, context) }));
  const editSection = h("section.editing", { hidden: true });
  /**
   * `worse`: the rater means to edit the worse answer.
   * @type {{letter: string, editor: Editor, worse: boolean}|null}
   */
  let edit = null;

  function markPreferred() {
    const letter = preferredLetter(scale.value);
    panes[0].node.classList.toggle("ahead", letter === "A");
    panes[1].node.classList.toggle("ahead", letter === "B");
  }

  /** @param {string} letter @param {string} [text] @param {boolean} [worse] */
  function startEdit(letter, text, worse = false) {
    const answer = task.answers.find((candidate) => candidate.letter === letter) ?? task.answers[0];
    const editor = new Editor({
      label: `Answer ${answer.letter}, edited`,
      text: text ?? answer.text,
      original: answer.text,
      context,
    });
    const discard = () => {
      stopEdit();
      context.changed();
    };
    const button = h("button.button.quiet.small", { type: "button", onclick: discard }, "Discard edit");
    const heading = h("h2", null, `Improve answer ${answer.letter}`);
    editSection.replaceChildren(h("header.pane-head", null, heading, h("span.spring"), button), editor.node);
    editSection.hidden = false;
    edit = { letter: answer.letter, editor, worse };
  }

  function stopEdit() {
    edit = null;
    editSection.hidden = true;
    editSection.replaceChildren();
  }

  /** Whether the edited answer is not the better one. */
  function isWorseEdited() {
    const preferred = preferredLetter(scale.value);
    return preferred !== "" && editedText().trim() !== "" && edit?.letter !== preferred;
  }

  const editedText = () => (edit && edit.editor.isChanged ? edit.editor.text : "");
  const focusedAspect = () => aspects.find((aspect) => aspect.row.node.contains(document.activeElement));

  /** @param {string} key */
  function handleKey(key) {
    const aspect = focusedAspect();
    const side = key.toUpperCase();
    if (aspect && SIDES.includes(side)) {
      aspect.row.select(side);
      context.announce(`${aspect.name}: ${side === "=" ? "equal" : side}`);
      return true;
    }
    if (aspect && (key === "ArrowLeft" || key === "ArrowRight")) {
      aspect.row.move(key === "ArrowLeft" ? -1 : 1);
      return true;
    }
    const isTaskFocused = document.activeElement === document.body || document.activeElement?.id === "stage";
    if (key !== "Tab" || !aspects.length || !isTaskFocused) return false;
    aspects[0].row.focus();
    return true;
  }

  const aspectNodes = aspects.map(({ name, row }) =>
    h("div.aspect", null, h("span", { "aria-hidden": "true" }, name), row.node),
  );
  const panesNode = h("div.panes.two", null, ...panes.map((pane) => pane.node));
  return {
    content: [prompt.node, panesNode, editSection],
    controls: aspects.length ? [scale.node, h("div.aspects", null, ...aspectNodes)] : [scale.node],
    read: () => {
      const sides = aspects.filter(({ row }) => row.value).map(({ name, row }) => [name, row.value]);
      const text = editedText();
      return {
        ...(scale.value && { choice: Number(scale.value) }),
        ...(sides.length && { aspects: Object.fromEntries(sides) }),
        ...(edit &&
          text.trim() && {
            edit: { letter: edit.letter, text, ...(isWorseEdited() && edit.worse && { worse: true }) },
          }),
      };
    },
    write: (value) => {
      scale.value = value.choice ? String(value.choice) : "";
      for (const { name, row } of aspects) row.value = value.aspects?.[name] ?? "";
      markPreferred();
      if (value.edit) startEdit(value.edit.letter, value.edit.text, value.edit.worse);
    },
    question: () => {
      if (!edit || edit.worse || !isWorseEdited()) return null;
      const preferred = preferredLetter(scale.value);
      return {
        title: `You prefer ${preferred}, but you edited ${edit.letter}`,
        description: "Usually the better answer is the one to improve. What do you want to send?",
        yes: `${preferred} is better, and my edit of ${edit.letter}`,
        no: "go back and change it",
        confirm: () => {
          if (edit) edit.worse = true;
        },
      };
    },
    missing: () => (scale.value ? "" : "Choose how A and B compare"),
    summary: () => scale.valueName,
    actionNames: preferenceNames,
    details: () => (edit?.editor.numPasted ? { pasted: edit.editor.numPasted } : {}),
    typedLength: () => editedText().length,
    handleKey,
    actions: {
      ...displayActions(panes, prompt, context),
      ...numberedActions(PREFERENCES.length, (value) => scale.select(value)),
      less: () => scale.move(-1),
      more: () => scale.move(1),
      edit: () => {
        if (!edit) startEdit(preferredLetter(scale.value) || "A");
        edit?.editor.focus();
      },
    },
  };
}

/** @param {string} name @param {Context} context */
function aspectRow(name, context) {
  const options = SIDES.map((side) => ({
    value: side,
    text: side,
    name: side === "=" ? `${name}: equal` : `${name}: ${side}`,
  }));
  return new RadioRow({ label: name, compact: true, options, changed: context.changed });
}
