/**
 * Keyboard shortcuts: the actions, their keys, and the listener.
 *
 * While the rater types, only Escape (back to the task) and Ctrl or Cmd + Enter (submit) work.  Where a
 * view takes a letter for itself (ranking), Shift + letter runs the letter's usual action.
 */

/**
 * @typedef {{name: string, label: string, key: string, left?: string, right?: string, group: string}}
 *   Action
 */

/** @type {Action[]}  `left` and `right` are the presets for one-handed use */
export const ACTIONS = [
  { name: "1", label: "Step 1", key: "1", left: "q", right: "u", group: "Answer" },
  { name: "2", label: "Step 2", key: "2", left: "w", right: "i", group: "Answer" },
  { name: "3", label: "Step 3", key: "3", left: "e", right: "o", group: "Answer" },
  { name: "4", label: "Step 4", key: "4", left: "r", right: "p", group: "Answer" },
  { name: "5", label: "Step 5", key: "5", left: "f", right: ";", group: "Answer" },
  { name: "6", label: "Step 6", key: "6", left: "d", right: "l", group: "Answer" },
  { name: "7", label: "Step 7", key: "7", left: "s", right: "k", group: "Answer" },
  { name: "8", label: "Step 8", key: "8", left: "a", right: "j", group: "Answer" },
  { name: "9", label: "Step 9", key: "9", group: "Answer" },
  { name: "10", label: "Step 10", key: "0", group: "Answer" },
  { name: "less", label: "Move left", key: "ArrowLeft", group: "Answer" },
  { name: "more", label: "Move right", key: "ArrowRight", group: "Answer" },
  { name: "up", label: "Move up: better, or previous row", key: "ArrowUp", group: "Answer" },
  { name: "down", label: "Move down: worse, or next row", key: "ArrowDown", group: "Answer" },
  { name: "same", label: "Tie with the previous answer (ranking)", key: "=", group: "Answer" },
  { name: "clear", label: "Remove from the ranking", key: "Backspace", group: "Answer" },
  { name: "submit", label: "Submit and continue", key: "Enter", left: " ", right: "Enter", group: "Answer" },
  { name: "cannot", label: "Cannot be judged", key: "j", left: "1", right: "7", group: "Answer" },
  { name: "unsafe", label: "Unsafe content", key: "x", left: "2", right: "8", group: "Answer" },
  { name: "chips", label: "Reasons, then a number", key: "c", left: "t", right: "y", group: "Details" },
  { name: "note", label: "Add a note", key: "t", left: "g", right: "h", group: "Details" },
  { name: "edit", label: "Edit the better answer", key: "e", left: "b", right: "b", group: "Details" },
  { name: "undo", label: "Undo the last answer", key: "u", left: "z", right: "/", group: "Task" },
  { name: "skip", label: "Skip with a reason", key: "s", left: "x", right: "n", group: "Task" },
  { name: "flag", label: "Flag a problem for the lead", key: "f", left: "c", right: "m", group: "Task" },
  { name: "guide", label: "Guidelines", key: "g", left: "v", right: ",", group: "View" },
  { name: "link", label: "Scroll together or separately", key: "l", left: "3", right: "9", group: "View" },
  { name: "diff", label: "Highlight differences", key: "d", left: "4", right: "-", group: "View" },
  { name: "raw", label: "Show every text as it was written", key: "r", left: "5", right: ".", group: "View" },
  { name: "help", label: "Keyboard shortcuts", key: "?", group: "View" },
];

const KEY_LABELS = {
  " ": "Space",
  ArrowLeft: "←",
  ArrowRight: "→",
  ArrowUp: "↑",
  ArrowDown: "↓",
  Backspace: "⌫",
  Enter: "Enter",
  Escape: "Esc",
};

/** @param {string|undefined} key */
export const keyLabel = (key = "") =>
  /** @type {Record<string, string>} */ (KEY_LABELS)[key] ?? (key.length === 1 ? key.toUpperCase() : key);

/**
 * Action -> key: the preset, overridden by the rater's own keys.
 * @param {{hand?: string|null, keys?: Record<string, string>|null}} preferences
 * @returns {Map<string, string>}
 */
export function keyBindings({ hand, keys }) {
  const preset = hand === "left" || hand === "right" ? hand : null;
  return new Map(
    ACTIONS.map((action) => {
      const key = keys?.[action.name] ?? (preset && action[preset]) ?? action.key;
      return [action.name, key];
    }),
  );
}

/** Keys of a US layout by position: without Shift, with Shift.  @type {Record<string, [string, string?]>} */
const KEYS_BY_POSITION = {
  Minus: ["-"],
  Equal: ["="],
  Semicolon: [";"],
  Comma: [","],
  Period: ["."],
  Slash: ["/", "?"],
  Space: [" "],
  NumpadEnter: ["Enter"],
  NumpadEqual: ["="],
  NumpadSubtract: ["-"],
  NumpadDivide: ["/"],
};
const NAMED_KEYS = /^(?:Arrow(?:Left|Right|Up|Down)|Backspace|Enter|Escape|Tab)$/;

/**
 * The label on the key in a Latin layout.  Where the event has no such label, because the layout is another
 * or an input method has taken the key, the position of the key says which one it is.  The digits of the
 * number pad are digits only while NumLock is on: without it they are arrows, and the event says so.
 * @param {KeyboardEvent} event
 * @returns {string} "" for a key that cannot be told
 */
export function keyOf(event) {
  const { code, key, shiftKey } = event;
  const [, row, digit] = /^(Digit|Numpad)([0-9])$/.exec(code) ?? [];
  if (row === "Digit" && !shiftKey) return digit;
  const isUsable = key.length > 1 ? !["Process", "Unidentified", "Dead"].includes(key) : /^[ -~]$/.test(key);
  if (isUsable) return key.length === 1 ? key.toLowerCase() : key;
  if (row === "Numpad") return key.length === 1 || event.getModifierState("NumLock") ? digit : "";
  const [, letter] = /^Key([A-Z])$/.exec(code) ?? [];
  if (letter) return letter.toLowerCase();
  if (NAMED_KEYS.test(code)) return code;
  const [plain, shifted] = KEYS_BY_POSITION[code] ?? [];
  return (shiftKey ? shifted : plain) ?? (key.length === 1 ? key.toLowerCase() : "");
}

/**
 * True while an input method composes text.  Safari ends the composition before the key that ends it; this
 * key has the code 229.
 * @param {KeyboardEvent} event
 */
export const isComposing = (event) => event.isComposing || (event.keyCode === 229 && isTyping(event.target));

/** @param {EventTarget|null} target */
export function isTyping(target) {
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable) return true;
  if (target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement) return true;
  if (!(target instanceof HTMLInputElement)) return false;
  return !["radio", "checkbox", "button", "submit"].includes(target.type);
}

/**
 * True if Enter or Space activates the focused control.
 * @param {EventTarget|null} target
 * @param {string} key
 */
function activatesControl(target, key) {
  if (key !== "Enter" && key !== " ") return false;
  return target instanceof Element && target.closest("button, a, summary, input[type=checkbox]") !== null;
}

export class Shortcuts {
  /**
   * @param {Map<string, string>} bindings
   * @param {{
   *   run: (action: string) => boolean,
   *   handleKey: (key: string) => boolean,
   *   escape: () => void,
   * }} target   `handleKey` sees each key first; `run` performs an action if it is available; both return
   * whether they
   *   used the key
   */
  constructor(bindings, target) {
    this.bindings = bindings;
    this.target = target;
    addEventListener("keydown", (event) => this.#onKeydown(event));
  }

  /** @param {KeyboardEvent} event */
  #onKeydown(event) {
    if (isComposing(event) || event.defaultPrevented || document.querySelector("dialog[open]")) return;
    const key = keyOf(event);
    if (!key) return;
    if (key === "Escape") this.target.escape();
    else if (this.#useKey(event, key)) event.preventDefault();
  }

  /** @param {KeyboardEvent} event @param {string} key @returns {boolean} whether the key did something */
  #useKey(event, key) {
    const hasModifier = event.ctrlKey || event.metaKey;
    if (hasModifier && key === "Enter" && !event.repeat) return this.target.run("submit");
    if (isTyping(event.target) || event.altKey) return false;
    if (hasModifier) return key === "z" && !event.repeat && this.target.run("undo");
    if (activatesControl(event.target, key)) return false;
    if (event.repeat && !key.startsWith("Arrow")) return false;
    if (!event.shiftKey && this.target.handleKey(key)) return true;
    for (const [action, boundKey] of this.bindings) {
      if (boundKey === key && this.target.run(action)) return true;
    }
    return false;
  }
}
