/** Rows of steps to choose from, and the kinds that are nothing but such rows: rating, thumbs, aspects. */

import { h, keycap } from "./html.js";
import { Pane, looks, prompt } from "./panes.js";
import { shown } from "./keys.js";

/** @typedef {import("./types.js").Task} Task */
/** @typedef {import("./types.js").Context} Context */
/** @typedef {import("./types.js").View} View */

let made = 0;

export class Steps {
  /**
   * A group of radio buttons in a row.
   * @param {{label: string, steps: {value: string, text: string, mark?: string, say?: string}[], shown?: boolean, compact?: boolean, changed: (value: string) => void}} about
   */
  constructor(about) {
    this.about = about;
    const name = `steps-${++made}`;
    /** @type {HTMLInputElement[]} */
    this.inputs = about.steps.map((step) => h("input", { type: "radio", name, value: step.value, "aria-label": step.say ?? step.text }));
    const cells = about.steps.map((step, n) =>
      h("label.step", { title: step.say ?? step.text }, this.inputs[n], step.mark ? keycap(step.mark) : null, h("span", { "aria-hidden": "true" }, step.text)),
    );
    this.node = h(`div.steps-row${about.compact ? ".compact" : ""}`, { role: "radiogroup", "aria-label": about.label }, ...cells);
    this.node.addEventListener("change", () => about.changed(this.value));
  }

  get value() {
    return this.inputs.find((input) => input.checked)?.value ?? "";
  }

  /** @param {string} value */
  set value(value) {
    for (const input of this.inputs) input.checked = input.value === value;
  }

  get say() {
    return this.about.steps.find((step) => step.value === this.value)?.say ?? this.value;
  }

  /** As if somebody had clicked.  @param {string} value */
  choose(value) {
    if (!this.about.steps.some((step) => step.value === value)) return;
    this.value = value;
    if (this.node.contains(document.activeElement)) this.inputs.find((input) => input.checked)?.focus({ preventScroll: true });
    this.about.changed(value);
  }

  /** @param {number} by */
  move(by) {
    const values = this.about.steps.map((step) => step.value);
    const at = values.indexOf(this.value);
    const to = values[at < 0 ? (by > 0 ? 0 : values.length - 1) : Math.max(0, Math.min(values.length - 1, at + by))];
    if (to !== this.value) this.choose(to);
  }
}

/** @param {number} points @param {Context} context @param {boolean} [marked] */
export const pointSteps = (points, context, marked = true) =>
  Array.from({ length: points }, (_, n) => ({ value: String(n + 1), text: String(n + 1), mark: marked ? differing(context.marks.get(String(n + 1)), n + 1) : undefined, say: `${n + 1} of ${points}` }));

/** A key is worth showing where it is not the number itself.  @param {string|undefined} key @param {number} n */
const differing = (key, n) => (key && key !== String(n) ? shown(key) : undefined);

/** @param {number} count @param {(value: string) => void} choose */
export const digits = (count, choose) => Object.fromEntries(Array.from({ length: count }, (_, n) => [String(n + 1), () => choose(String(n + 1))]));

/** @param {Task} task @param {Context} context @returns {View} */
export function rating(task, context) {
  const steps = new Steps({ label: "How good is the answer?", steps: pointSteps(task.options.points, context), changed: context.changed });
  return single(task, context, {
    dock: [labelled("How good is the answer?", steps.node, "worst", "best")],
    read: () => (steps.value ? { score: Number(steps.value) } : {}),
    write: (value) => (steps.value = value.score ? String(value.score) : ""),
    missing: () => (steps.value ? "" : `Choose 1 to ${task.options.points} first`),
    say: () => steps.say,
    actions: { ...digits(task.options.points, (value) => steps.choose(value)), less: () => steps.move(-1), more: () => steps.move(1) },
  });
}

/** @param {Task} task @param {Context} context @returns {View} */
export function thumbs(task, context) {
  const mark = (/** @type {string} */ name) => shown(context.marks.get(name) ?? "");
  const steps = new Steps({
    label: "Is the answer good?",
    steps: [
      { value: "true", text: "Good", mark: mark("1"), say: "Good" },
      { value: "false", text: "Bad", mark: mark("2"), say: "Bad" },
    ],
    changed: context.changed,
  });
  const choose = (/** @type {string} */ value) => () => steps.choose(value);
  return single(task, context, {
    dock: [labelled("Is the answer good?", steps.node)],
    read: () => (steps.value ? { label: steps.value === "true" } : {}),
    write: (value) => (steps.value = typeof value.label === "boolean" ? String(value.label) : ""),
    missing: () => (steps.value ? "" : "Choose good or bad first"),
    say: () => steps.say,
    actions: { 1: choose("true"), 2: choose("false"), up: choose("true"), down: choose("false"), less: choose("true"), more: choose("false") },
  });
}

/** @param {Task} task @param {Context} context @returns {View} */
export function aspects(task, context) {
  const { aspects: names, points } = task.options;
  let active = 0;
  const rows = names.map((name, n) => new Steps({ label: name, steps: pointSteps(points, context, false), changed: () => (go(n, false), context.changed()) }));
  const nodes = rows.map((row, n) => {
    const node = h("div.aspect-row", null, h("span.name", { "aria-hidden": "true" }, names[n]), row.node);
    node.addEventListener("focusin", () => go(n, false));
    return node;
  });
  /** @param {number} n @param {boolean} focus */
  function go(n, focus) {
    active = Math.max(0, Math.min(rows.length - 1, n));
    nodes.forEach((node, at) => node.classList.toggle("active", at === active));
    if (focus) (rows[active].inputs.find((input) => input.checked) ?? rows[active].inputs[0]).focus({ preventScroll: true });
  }
  go(0, false);
  const choose = (/** @type {string} */ value) => {
    const row = active;
    rows[row].choose(value);
    context.announce(`${names[row]}: ${rows[row].say}`);
    const next = rows.findIndex((one, n) => n > row && !one.value);
    go(next >= 0 ? next : Math.min(row + 1, rows.length - 1), false);
  };
  const open = () => names.filter((_, n) => !rows[n].value);
  return single(task, context, {
    dock: [h("div.aspect-rows", null, ...nodes)],
    read: () => ({ aspects: Object.fromEntries(names.flatMap((name, n) => (rows[n].value ? [[name, Number(rows[n].value)]] : []))) }),
    write: (value) => {
      names.forEach((name, n) => (rows[n].value = value.aspects?.[name] ? String(value.aspects[name]) : ""));
      go(Math.max(0, rows.findIndex((row) => !row.value)), false);
    },
    missing: () => (open().length ? `Still open: ${open().join(", ")}` : ""),
    say: () => names.map((name, n) => `${name} ${rows[n].value}`).join(", "),
    actions: {
      ...digits(points, choose),
      up: () => go(active - 1, true),
      down: () => go(active + 1, true),
      less: () => rows[active].move(-1),
      more: () => rows[active].move(1),
    },
  });
}

/** @param {string} text @param {HTMLElement} node @param {string} [low] @param {string} [high] */
function labelled(text, node, low, high) {
  return h("div.question", null, h("p.ask", { "aria-hidden": "true" }, text), h("div.ends", null, low && h("span.end", null, low), node, high && h("span.end", null, high)));
}

/** A kind with one answer.  @param {Task} task @param {Context} context @param {Omit<View, "stage">} rest @returns {View} */
function single(task, context, rest) {
  const pane = new Pane(task.answers[0], "Answer");
  return { ...rest, stage: [prompt(task.prompt), h("div.panes.one", null, pane.node)], actions: { ...looks([pane], context), ...rest.actions } };
}
