/** A row of radio buttons, used for scales and small settings. */

import { h, keycap } from "./html.js";
import { keyLabel } from "./shortcuts.js";

/** @typedef {import("./types.js").Context} Context */
/**
 * @typedef {{value: string, text: string, key?: string, name?: string}} Option  `key`: keycap to show;
 *   `name`: spoken name
 */

let numRows = 0;

export class RadioRow {
  /**
   * @param {{label: string, options: Option[], compact?: boolean, changed: (value: string) => void}}
   *   settings
   */
  constructor({ label, options, compact = false, changed }) {
    this.options = options;
    this.changed = changed;
    const group = `radio-row-${++numRows}`;
    /** @type {HTMLInputElement[]} */
    this.inputs = options.map(({ value, text, name }) =>
      h("input", { type: "radio", name: group, value, "aria-label": name ?? text }),
    );
    const cells = options.map((option, n) =>
      h(
        "label.step",
        { title: option.name ?? option.text },
        this.inputs[n],
        option.key ? keycap(option.key) : null,
        h("span", { "aria-hidden": "true" }, option.text),
      ),
    );
    const tag = `div.steps-row${compact ? ".compact" : ""}`;
    this.node = h(tag, { role: "radiogroup", "aria-label": label }, ...cells);
    this.node.addEventListener("change", () => changed(this.value));
  }

  get value() {
    return this.inputs.find((input) => input.checked)?.value ?? "";
  }

  /** @param {string} value */
  set value(value) {
    for (const input of this.inputs) input.checked = input.value === value;
  }

  /** The spoken name of the selected option. */
  get valueName() {
    return this.options.find((option) => option.value === this.value)?.name ?? this.value;
  }

  /** Selects an option as a click does.  @param {string} value */
  select(value) {
    if (!this.options.some((option) => option.value === value)) return;
    this.value = value;
    if (this.node.contains(document.activeElement)) this.focus();
    this.changed(value);
  }

  /** Moves the selection left (-1) or right (1).  @param {number} offset */
  move(offset) {
    const values = this.options.map((option) => option.value);
    const last = values.length - 1;
    const index = values.indexOf(this.value);
    const start = offset > 0 ? 0 : last;
    const target = index < 0 ? start : Math.max(0, Math.min(last, index + offset));
    if (values[target] !== this.value) this.select(values[target]);
  }

  /** Focuses the selected option, or the first. */
  focus() {
    const input = this.inputs.find((candidate) => candidate.checked) ?? this.inputs[0];
    input.focus({ preventScroll: true });
  }
}

/**
 * Options 1 to `points`.
 * @param {number} points
 * @param {Context} context
 * @param {boolean} [showKeys]   show a keycap where the key is not the number itself
 */
export function pointOptions(points, context, showKeys = true) {
  return Array.from({ length: points }, (_, n) => {
    const number = String(n + 1);
    const key = context.keys.get(number);
    const keycapText = showKeys && key && key !== number ? keyLabel(key) : undefined;
    return { value: number, text: number, key: keycapText, name: `${number} of ${points}` };
  });
}

/** The actions "1" to `count`.  @param {number} count @param {(value: string) => void} select */
export function numberedActions(count, select) {
  const numbers = Array.from({ length: count }, (_, n) => String(n + 1));
  return Object.fromEntries(numbers.map((number) => [number, () => select(number)]));
}
