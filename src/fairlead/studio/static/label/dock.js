/** Where an answer is given: the controls of the view, reasons, a note, and what can be done besides. */

import { h, keycap } from "./html.js";
import { shown } from "./keys.js";

/** @typedef {import("./types.js").View} View */

const CANNOT = /** @type {const} */ ({ judge: "Cannot be judged", unsafe: "Unsafe" });

export class Dock {
  /**
   * @param {HTMLFormElement} node @param {Map<string, string>} marks
   * @param {{changed: () => void, submit: () => void, undo: () => void, skip: () => void, flag: () => void}} act
   */
  constructor(node, marks, act) {
    this.node = node;
    this.marks = marks;
    this.act = act;
    /** @type {"judge"|"unsafe"|""} */
    this.cannot = "";
    /** @type {HTMLButtonElement[]} */
    this.chips = [];
    this.choosingChips = false;
    this.area = h("textarea.control", { "aria-label": "Why", dir: "auto", rows: "2", placeholder: "Why? (optional)" });
    this.noteRow = h("div.note-row", { hidden: true }, this.area);
    this.area.addEventListener("input", () => act.changed());
    this.area.addEventListener("blur", () => (this.noteRow.hidden = this.area.value === ""));
    this.hint = h("p.missing.small", { hidden: true });
    node.addEventListener("submit", (event) => event.preventDefault());
    // After a click the keys belong to the task again, not to the button that was clicked.
    node.addEventListener("click", (event) => {
      if (event.detail > 0 && event.target instanceof Element && event.target.closest("button, label")) setTimeout(() => document.getElementById("stage")?.focus({ preventScroll: true }));
    });
    new ResizeObserver(() => document.documentElement.style.setProperty("--dock", `${node.offsetHeight}px`)).observe(node);
  }

  get reasons() {
    return this.chips.filter((chip) => chip.getAttribute("aria-pressed") === "true").map((chip) => chip.dataset.reason ?? "");
  }

  get note() {
    return this.area.value.trim();
  }

  get hasChips() {
    return this.chips.length > 0;
  }

  get cannotWords() {
    return this.cannot ? CANNOT[this.cannot].toLowerCase() : "";
  }

  /** @param {View} view @param {import("./types.js").Task} task @param {import("./types.js").Draft|null} draft */
  show(view, task, draft) {
    this.view = view;
    this.cannot = draft?.value.cannot ?? "";
    this.area.value = draft?.note ?? "";
    this.noteRow.hidden = !this.area.value;
    this.hint.hidden = true;
    this.choosingChips = false;
    this.chips = task.options.chips.map((reason, n) => {
      const chip = h("button.chip", { type: "button", "aria-pressed": String(draft?.reasons.includes(reason) ?? false), "data-reason": reason, dir: "auto" }, h("kbd.chip-key", { "aria-hidden": "true" }, String((n + 1) % 10)), reason);
      chip.addEventListener("click", () => this.#toggleChip(chip));
      return chip;
    });
    this.cannotButtons = Object.entries(CANNOT).map(([name, text]) =>
      h("button.button.small.quiet", { type: "button", "aria-pressed": "false", "data-cannot": name, onclick: () => this.toggleCannot(/** @type {any} */ (name)) }, text, this.#mark(name === "judge" ? "cannot" : "unsafe")),
    );
    this.send = h("button.button.primary.send", { type: "button", onclick: () => this.act.submit() }, h("span", null, "Send"), this.#mark("submit"));
    const say = h(
      "div.say-more",
      null,
      this.chips.length > 0 && h("div.chips", { role: "group", "aria-label": "Reasons" }, ...this.chips),
      h("button.button.small.quiet", { type: "button", onclick: (/** @type {Event} */ event) => (event.stopPropagation(), this.openNote()) }, "Why", this.#mark("note")),
    );
    const other = h(
      "div.other",
      null,
      this.#button("Undo", "undo", this.act.undo),
      this.#button("Skip", "skip", this.act.skip),
      this.#button("Flag", "flag", this.act.flag),
      ...this.cannotButtons,
    );
    // On a phone, where the answer needs the room, all but the question and Send is behind this.
    const more = h("button.button.small.more", { type: "button", "aria-expanded": "false" }, view.dock.length > 1 ? "Aspects and more" : "More");
    more.addEventListener("click", () => more.setAttribute("aria-expanded", String(this.node.classList.toggle("all"))));
    this.node.classList.remove("all");
    this.node.replaceChildren(...view.dock, this.noteRow, h("div.dock-foot", null, more, say, other, h("div.go", null, this.hint, this.send)));
    this.node.hidden = false;
    this.update(view);
  }

  hide() {
    this.node.hidden = true;
    this.cannot = "";
    this.chips = [];
    this.area.value = "";
  }

  /** @param {View} view */
  update(view) {
    const ready = this.cannot !== "" || view.missing() === "";
    this.send?.classList.toggle("ready", ready);
    this.send?.setAttribute("aria-disabled", String(!ready));
    if (ready) this.hint.hidden = true;
    for (const button of this.cannotButtons ?? []) button.setAttribute("aria-pressed", String(button.dataset.cannot === this.cannot));
    this.node.classList.toggle("cannot", this.cannot !== "");
  }

  /** @param {string} missing */
  complain(missing) {
    this.hint.textContent = missing;
    this.hint.hidden = false;
  }

  /** @param {"judge"|"unsafe"} which */
  toggleCannot(which) {
    this.cannot = this.cannot === which ? "" : which;
    this.act.changed();
  }

  openNote() {
    this.noteRow.hidden = false;
    this.area.focus();
  }

  // The numbers of the reasons: after the key for reasons, digits choose among them until another key comes.
  startChips() {
    this.choosingChips = !this.choosingChips;
    this.node.classList.toggle("choosing-chips", this.choosingChips);
  }

  endChips() {
    this.choosingChips = false;
    this.node.classList.remove("choosing-chips");
  }

  /** @param {string} key */
  chipKey(key) {
    if (!this.choosingChips) return false;
    const chip = /^[0-9]$/.test(key) ? this.chips[(Number(key) + 9) % 10] : undefined;
    if (!chip) {
      this.endChips();
      return false;
    }
    this.#toggleChip(chip);
    return true;
  }

  /** @param {HTMLButtonElement} chip */
  #toggleChip(chip) {
    chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true"));
    this.act.changed();
  }

  /** @param {string} text @param {string} action @param {() => void} act */
  #button(text, action, act) {
    return h("button.button.small.quiet", { type: "button", onclick: act }, text, this.#mark(action));
  }

  /** @param {string} action */
  #mark(action) {
    return keycap(shown(this.marks.get(action) ?? ""));
  }
}
