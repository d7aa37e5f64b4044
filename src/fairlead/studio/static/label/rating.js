/** The views for one answer and one or more scales: rating, thumbs, aspects. */

import { h } from "./html.js";
import { Prompt } from "./messages.js";
import { displayActions, Pane } from "./panes.js";
import { numberedActions, pointOptions, RadioRow } from "./radio-row.js";
import { keyLabel } from "./shortcuts.js";

/** @typedef {import("./types.js").Task} Task */
/** @typedef {import("./types.js").Context} Context */
/** @typedef {import("./types.js").View} View */

/** @param {Task} task @param {Context} context @returns {View} */
export function rating(task, context) {
  const { points } = task.options;
  const question = "How good is the answer?";
  const options = pointOptions(points, context);
  const row = new RadioRow({ label: question, options, changed: context.changed });
  return singleAnswerView(task, context, {
    controls: [questionNode(question, row.node, { low: "worst", high: "best" })],
    read: () => (row.value ? { score: Number(row.value) } : {}),
    write: (value) => (row.value = value.score ? String(value.score) : ""),
    missing: () => (row.value ? "" : `Choose 1 to ${points}`),
    summary: () => row.valueName,
    actions: {
      ...numberedActions(points, (value) => row.select(value)),
      less: () => row.move(-1),
      more: () => row.move(1),
    },
  });
}

/** @param {Task} task @param {Context} context @returns {View} */
export function thumbs(task, context) {
  const question = "Is the answer good?";
  const row = new RadioRow({
    label: question,
    options: [
      { value: "true", text: "Good", key: keyLabel(context.keys.get("1")), name: "Good" },
      { value: "false", text: "Bad", key: keyLabel(context.keys.get("2")), name: "Bad" },
    ],
    changed: context.changed,
  });
  const good = () => row.select("true");
  const bad = () => row.select("false");
  return singleAnswerView(task, context, {
    controls: [questionNode(question, row.node)],
    read: () => (row.value ? { label: row.value === "true" } : {}),
    write: (value) => (row.value = typeof value.label === "boolean" ? String(value.label) : ""),
    missing: () => (row.value ? "" : "Choose good or bad"),
    summary: () => row.valueName,
    actions: { 1: good, 2: bad, up: good, down: bad, less: good, more: bad },
  });
}

/** @param {Task} task @param {Context} context @returns {View} */
export function aspects(task, context) {
  const { aspects: names, points } = task.options;
  let active = 0;

  const rows = names.map((name, n) => {
    const changed = () => {
      activate(n);
      context.changed();
    };
    return new RadioRow({ label: name, options: pointOptions(points, context, false), changed });
  });
  const nodes = rows.map((row, n) => {
    const node = h("div.aspect-row", null, h("span.name", { "aria-hidden": "true" }, names[n]), row.node);
    node.addEventListener("focusin", () => activate(n));
    return node;
  });

  /** @param {number} index */
  function activate(index) {
    active = Math.max(0, Math.min(rows.length - 1, index));
    nodes.forEach((node, n) => node.classList.toggle("active", n === active));
  }

  /** @param {number} index */
  function focusRow(index) {
    activate(index);
    rows[active].focus();
  }

  /** Sets the active aspect and moves on to the next without a value.  @param {string} value */
  function select(value) {
    const index = active;
    rows[index].select(value);
    context.announce(`${names[index]}: ${rows[index].valueName}`);
    const next = rows.findIndex((row, n) => n > index && !row.value);
    activate(next >= 0 ? next : index + 1);
  }

  activate(0);
  const unset = () => names.filter((_, n) => !rows[n].value);
  return singleAnswerView(task, context, {
    controls: [h("div.aspect-rows", null, ...nodes)],
    read: () => {
      const scores = names.flatMap((name, n) => (rows[n].value ? [[name, Number(rows[n].value)]] : []));
      return { aspects: Object.fromEntries(scores) };
    },
    write: (value) => {
      names.forEach((name, n) => (rows[n].value = value.aspects?.[name] ? String(value.aspects[name]) : ""));
      activate(rows.findIndex((row) => !row.value));
    },
    missing: () => (unset().length ? `Not rated yet: ${unset().join(", ")}` : ""),
    summary: () => names.map((name, n) => `${name} ${rows[n].value}`).join(", "),
    actions: {
      ...numberedActions(points, select),
      up: () => focusRow(active - 1),
      down: () => focusRow(active + 1),
      less: () => rows[active].move(-1),
      more: () => rows[active].move(1),
    },
  });
}

/**
 * @param {string} text
 * @param {HTMLElement} scale
 * @param {{low?: string, high?: string}} [ends]  labels of the ends
 */
function questionNode(text, scale, { low, high } = {}) {
  const row = h("div.ends", null, low && h("span.end", null, low), scale, high && h("span.end", null, high));
  return h("div.question", null, h("p.ask", { "aria-hidden": "true" }, text), row);
}

/** @param {Task} task @param {Context} context @param {Omit<View, "content">} view @returns {View} */
function singleAnswerView(task, context, view) {
  const prompt = new Prompt(task.prompt);
  const pane = new Pane(task.answers[0], "Answer");
  return {
    ...view,
    content: [prompt.node, h("div.panes.one", null, pane.node)],
    actions: { ...displayActions([pane], prompt, context), ...view.actions },
  };
}
