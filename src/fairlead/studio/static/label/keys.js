/**
 * Keys: what can be done, which key does it, and who listens.
 *
 * Dead while somebody types, but for Escape (back to the task) and Ctrl or Cmd + Enter (send).  A key that a view uses as a letter of an answer
 * (ranking) does its other work with Shift.
 */

/** @typedef {{name: string, does: string, key: string, left?: string, right?: string, group: string}} Action */

/** @type {Action[]}  `left` and `right` are the presets for one hand */
export const ACTIONS = [
  { name: "1", does: "Step 1", key: "1", left: "q", right: "u", group: "Answer" },
  { name: "2", does: "Step 2", key: "2", left: "w", right: "i", group: "Answer" },
  { name: "3", does: "Step 3", key: "3", left: "e", right: "o", group: "Answer" },
  { name: "4", does: "Step 4", key: "4", left: "r", right: "p", group: "Answer" },
  { name: "5", does: "Step 5", key: "5", left: "f", right: ";", group: "Answer" },
  { name: "6", does: "Step 6", key: "6", left: "d", right: "l", group: "Answer" },
  { name: "7", does: "Step 7", key: "7", left: "s", right: "k", group: "Answer" },
  { name: "8", does: "Step 8", key: "8", left: "a", right: "j", group: "Answer" },
  { name: "9", does: "Step 9", key: "9", group: "Answer" },
  { name: "10", does: "Step 10", key: "0", group: "Answer" },
  { name: "less", does: "One step left", key: "ArrowLeft", group: "Answer" },
  { name: "more", does: "One step right", key: "ArrowRight", group: "Answer" },
  { name: "up", does: "Up: better, or the row before", key: "ArrowUp", group: "Answer" },
  { name: "down", does: "Down: worse, or the next row", key: "ArrowDown", group: "Answer" },
  { name: "same", does: "Tie with the answer before (ranking)", key: "=", group: "Answer" },
  { name: "clear", does: "Out of the order (ranking)", key: "Backspace", group: "Answer" },
  { name: "submit", does: "Send and go on", key: "Enter", left: " ", right: "Enter", group: "Answer" },
  { name: "cannot", does: "Cannot be judged", key: "j", left: "1", right: "7", group: "Answer" },
  { name: "unsafe", does: "Unsafe: nobody should see this", key: "x", left: "2", right: "8", group: "Answer" },
  { name: "chips", does: "Reasons: then the number of one", key: "c", left: "t", right: "y", group: "Say more" },
  { name: "note", does: "Write why", key: "t", left: "g", right: "h", group: "Say more" },
  { name: "edit", does: "Edit the better answer", key: "e", left: "b", right: "b", group: "Say more" },
  { name: "undo", does: "Take the last answer back", key: "u", left: "z", right: "/", group: "Move" },
  { name: "skip", does: "Skip, with a reason", key: "s", left: "x", right: "n", group: "Move" },
  { name: "flag", does: "Tell the lead that something is wrong", key: "f", left: "c", right: "m", group: "Move" },
  { name: "guide", does: "Guidelines", key: "g", left: "v", right: ",", group: "Look" },
  { name: "link", does: "Scroll together, or each answer alone", key: "l", left: "3", right: "9", group: "Look" },
  { name: "diff", does: "Mark the words that differ", key: "d", left: "4", right: "-", group: "Look" },
  { name: "raw", does: "As it was written", key: "r", left: "5", right: ".", group: "Look" },
  { name: "help", does: "This sheet", key: "?", group: "Look" },
];

const NAMES = { " ": "Space", ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Backspace: "⌫", Enter: "Enter", Escape: "Esc" };

/** @param {string} key */
export const shown = (key) => /** @type {Record<string, string>} */ (NAMES)[key] ?? (key.length === 1 ? key.toUpperCase() : key);

/**
 * Action -> key: the preset of the hand, and what the person changed.
 * @param {{hand?: string, keys?: Record<string, string>}} preferences
 * @returns {Map<string, string>}
 */
export function bindings(preferences) {
  const hand = preferences.hand === "left" || preferences.hand === "right" ? preferences.hand : null;
  return new Map(ACTIONS.map((action) => [action.name, preferences.keys?.[action.name] ?? (hand && action[hand]) ?? action.key]));
}

/** The key as people name it, whatever the layout: on a layout without Latin letters, by its place.  @param {KeyboardEvent} event */
export function keyOf(event) {
  const place = /^(?:Key([A-Z])|(?:Digit|Numpad)([0-9]))$/.exec(event.code);
  if (place?.[2] && !event.shiftKey) return place[2];
  if (place?.[1] && event.key.length === 1 && event.key.charCodeAt(0) > 127) return place[1].toLowerCase();
  return event.key.length === 1 ? event.key.toLowerCase() : event.key;
}

/** @param {EventTarget|null} target */
export function isTyping(target) {
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement) return true;
  return target instanceof HTMLInputElement && !["radio", "checkbox", "button", "submit"].includes(target.type);
}

/** @param {EventTarget|null} target @param {string} key  Enter and Space belong to a control that has the focus */
const isOwn = (target, key) => (key === "Enter" || key === " ") && target instanceof Element && target.closest("button, a, summary, input[type=checkbox]") !== null;

export class Keys {
  /**
   * @param {Map<string, string>} marks
   * @param {{run: (action: string) => boolean, own: (key: string) => boolean, leave: () => void}} target
   *   `own` hears every key first; `run` does an action if it is possible here; `leave` is Escape
   */
  constructor(marks, target) {
    this.marks = marks;
    this.target = target;
    addEventListener("keydown", (event) => this.#pressed(event));
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    if (event.isComposing || event.defaultPrevented || document.querySelector("dialog[open]")) return;
    const key = keyOf(event);
    const modified = event.ctrlKey || event.metaKey;
    if (key === "Escape") return this.target.leave();
    if (modified && key === "Enter" && !event.repeat) return this.#used(event, this.target.run("submit"));
    if (isTyping(event.target) || event.altKey) return;
    if (modified) return key === "z" && !event.repeat ? this.#used(event, this.target.run("undo")) : undefined;
    if (isOwn(event.target, key)) return;
    const arrow = key.startsWith("Arrow");
    if (event.repeat && !arrow) return;
    if (!event.shiftKey && this.target.own(key)) return this.#used(event, true);
    for (const [action, bound] of this.marks) {
      if (bound === key && this.target.run(action)) return this.#used(event, true);
    }
  }

  /** @param {KeyboardEvent} event @param {boolean} used */
  #used(event, used) {
    if (used) event.preventDefault();
  }
}
