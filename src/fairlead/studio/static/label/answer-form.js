/**
 * The form at the bottom of the screen: the view's controls, reasons, a note, and the buttons of the task.
 */

import { h, keycap } from "./html.js";
import { keyLabel } from "./shortcuts.js";

/** @typedef {import("./types.js").View} View */
/** @typedef {"judge"|"unsafe"} Cannot  stored value of an answer that says the item cannot be judged */

const CANNOT_LABELS = /** @type {const} */ ({ judge: "Cannot be judged", unsafe: "Unsafe" });
const CANNOT_ACTIONS = /** @type {const} */ ({ judge: "cannot", unsafe: "unsafe" });

export class AnswerForm {
  /**
   * @param {HTMLFormElement} node
   * @param {Map<string, string>} keys   action -> key
   * @param {{changed: () => void, submit: () => void, undo: () => void, skip: () => void, flag: () =>
   *   void}} handlers
   */
  constructor(node, keys, handlers) {
    this.node = node;
    this.keys = keys;
    this.handlers = handlers;
    /** @type {Cannot|""} */
    this.cannot = "";
    /** @type {HTMLButtonElement[]} */
    this.chips = [];
    this.isSelectingChips = false;
    this.noteField = h("textarea.control", {
      "aria-label": "Note",
      dir: "auto",
      rows: "2",
      placeholder: "Note (optional)",
    });
    this.noteRow = h("div.note-row", { hidden: true }, this.noteField);
    this.noteField.addEventListener("input", () => handlers.changed());
    this.noteField.addEventListener("blur", () => (this.noteRow.hidden = this.noteField.value === ""));
    this.hint = h("p.missing.small", { hidden: true });
    node.addEventListener("submit", (event) => event.preventDefault());
    node.addEventListener("click", (event) => this.#returnFocus(event));
    const style = document.documentElement.style;
    new ResizeObserver(() => style.setProperty("--dock", `${node.offsetHeight}px`)).observe(node);
  }

  get reasons() {
    const selected = this.chips.filter((chip) => chip.getAttribute("aria-pressed") === "true");
    return selected.map((chip) => chip.dataset.reason ?? "");
  }

  get note() {
    return this.noteField.value.trim();
  }

  get hasChips() {
    return this.chips.length > 0;
  }

  get cannotLabel() {
    return this.cannot ? CANNOT_LABELS[this.cannot].toLowerCase() : "";
  }

  /**
   * @param {View} view
   * @param {import("./types.js").Task} task
   * @param {import("./types.js").Draft|null} draft
   */
  show(view, task, draft) {
    this.cannot = draft?.value.cannot ?? "";
    this.noteField.value = draft?.note ?? "";
    this.noteRow.hidden = !this.noteField.value;
    this.hint.hidden = true;
    this.isSelectingChips = false;
    this.chips = task.options.chips.map((reason, n) => this.#chip(reason, n, draft));
    const names = /** @type {Cannot[]} */ (Object.keys(CANNOT_LABELS));
    this.cannotButtons = names.map((name) => this.#cannotButton(name));
    this.submitButton = h(
      "button.button.primary.send",
      { type: "button", onclick: () => this.handlers.submit() },
      h("span", null, "Submit"),
      this.#keycap("submit"),
    );
    this.node.classList.remove("all");
    this.node.replaceChildren(...view.controls, this.noteRow, this.#footer(view));
    this.node.hidden = false;
    this.update(view);
  }

  hide() {
    this.node.hidden = true;
    this.cannot = "";
    this.chips = [];
    this.noteField.value = "";
  }

  /** @param {View} view */
  update(view) {
    const isComplete = this.cannot !== "" || view.missing() === "";
    this.submitButton?.classList.toggle("ready", isComplete);
    this.submitButton?.setAttribute("aria-disabled", String(!isComplete));
    if (isComplete) this.hint.hidden = true;
    for (const button of this.cannotButtons ?? []) {
      button.setAttribute("aria-pressed", String(button.dataset.cannot === this.cannot));
    }
    this.node.classList.toggle("cannot", this.cannot !== "");
  }

  /** @param {string} text  what is missing */
  showHint(text) {
    this.hint.textContent = text;
    this.hint.hidden = false;
  }

  /** @param {Cannot} value */
  toggleCannot(value) {
    this.cannot = this.cannot === value ? "" : value;
    this.handlers.changed();
  }

  openNote() {
    this.noteRow.hidden = false;
    this.noteField.focus();
  }

  /** While chips are being selected, digits toggle reasons; any other key ends the mode. */
  toggleChipMode() {
    this.isSelectingChips = !this.isSelectingChips;
    this.node.classList.toggle("choosing-chips", this.isSelectingChips);
  }

  endChipMode() {
    this.isSelectingChips = false;
    this.node.classList.remove("choosing-chips");
  }

  /** @param {string} key @returns {boolean} whether the key toggled a reason */
  handleChipKey(key) {
    if (!this.isSelectingChips) return false;
    const chip = /^[0-9]$/.test(key) ? this.chips[(Number(key) + 9) % 10] : undefined;
    if (!chip) {
      this.endChipMode();
      return false;
    }
    this.#toggleChip(chip);
    return true;
  }

  /** @param {HTMLButtonElement} chip */
  #toggleChip(chip) {
    chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true"));
    this.handlers.changed();
  }

  /** @param {string} reason @param {number} n @param {import("./types.js").Draft|null} draft */
  #chip(reason, n, draft) {
    const isSelected = draft?.reasons.includes(reason) ?? false;
    const digit = h("kbd.chip-key", { "aria-hidden": "true" }, String((n + 1) % 10));
    const chip = h(
      "button.chip",
      { type: "button", "aria-pressed": String(isSelected), "data-reason": reason, dir: "auto" },
      digit,
      reason,
    );
    chip.addEventListener("click", () => this.#toggleChip(chip));
    return chip;
  }

  /** @param {Cannot} name */
  #cannotButton(name) {
    const onclick = () => this.toggleCannot(name);
    return h(
      "button.button.small.quiet",
      { type: "button", "aria-pressed": "false", "data-cannot": name, onclick },
      CANNOT_LABELS[name],
      this.#keycap(CANNOT_ACTIONS[name]),
    );
  }

  /** @param {View} view */
  #footer(view) {
    const openNote = (/** @type {Event} */ event) => {
      event.stopPropagation(); // keeps the focus in the note
      this.openNote();
    };
    const details = h(
      "div.say-more",
      null,
      this.hasChips && h("div.chips", { role: "group", "aria-label": "Reasons" }, ...this.chips),
      this.#button("Note", "note", openNote),
    );
    const taskButtons = h(
      "div.other",
      null,
      this.#button("Undo", "undo", () => this.handlers.undo()),
      this.#button("Skip", "skip", () => this.handlers.skip()),
      this.#button("Flag", "flag", () => this.handlers.flag()),
      ...(this.cannotButtons ?? []),
    );
    const extras = h("div.extras", null, details, taskButtons);
    const submit = h("div.go", null, this.hint, this.submitButton);
    return h("div.dock-foot", null, this.#moreButton(view), extras, submit);
  }

  /** On a phone, shows everything but the main question and Submit.  @param {View} view */
  #moreButton(view) {
    const label = view.controls.length > 1 ? "Aspects and more" : "More";
    const button = h("button.button.small.more", { type: "button", "aria-expanded": "false" }, label);
    button.addEventListener("click", () => {
      button.setAttribute("aria-expanded", String(this.node.classList.toggle("all")));
    });
    return button;
  }

  /** @param {string} text @param {string} action @param {(event: Event) => void} onclick */
  #button(text, action, onclick) {
    return h("button.button.small.quiet", { type: "button", onclick }, text, this.#keycap(action));
  }

  /** @param {string} action */
  #keycap(action) {
    return keycap(keyLabel(this.keys.get(action)));
  }

  /**
   * After a mouse click, moves the focus from the button to the task, where the shortcuts work.
   * @param {MouseEvent} event
   */
  #returnFocus(event) {
    if (event.detail === 0) return; // a click by keyboard keeps the focus
    if (!(event.target instanceof Element) || !event.target.closest("button, label")) return;
    setTimeout(() => document.getElementById("stage")?.focus({ preventScroll: true }));
  }
}
