/**
 * The dialog "Keyboard shortcuts": lists the keys, changes them, and sets the one-handed preset and the
 * theme.
 */

import { openDialog } from "./dialogs.js";
import { h } from "./html.js";
import { RadioRow } from "./radio-row.js";
import { ACTIONS, keyBindings, keyLabel, keyOf } from "./shortcuts.js";

/** @typedef {{theme?: string|null, hand?: string|null, keys?: Record<string, string>|null}} Preferences */

const MODIFIERS = ["Shift", "Control", "Alt", "Meta", "Tab"];
const GROUPS = [...new Set(ACTIONS.map((action) => action.group))];
/** @type {[string, string][]} */
const HANDS = [["", "both hands"], ["left", "left hand"], ["right", "right hand"]];
/** @type {[string, string][]} */
const THEMES = [["", "system"], ["light", "light"], ["dark", "dark"]];

/**
 * @param {Object} options
 * @param {Preferences} options.preferences   changed in place
 * @param {(action: string) => boolean} options.isAvailable  whether the action exists for the task on the
 *   screen
 * @param {string[]} options.letters   letters that the view takes for itself
 * @param {Record<string, string>} options.actionNames   labels of the view for numbered actions
 * @param {(changes: Preferences) => void} options.save
 * @returns {Promise<void>} resolves when the dialog is closed
 */
export function openShortcutsDialog({ preferences, isAvailable, letters, actionNames, save }) {
  const list = h("div.key-groups");
  const message = h("p.small", { role: "status" });

  /** @param {string} name */
  const labelOf = (name) => {
    const action = ACTIONS.find((candidate) => candidate.name === name);
    return actionNames[name] ?? action?.label ?? name;
  };

  /** @param {string} label @param {"hand"|"theme"} name @param {[string, string][]} options */
  function setting(label, name, options) {
    const row = new RadioRow({
      label,
      compact: true,
      options: options.map(([value, text]) => ({ value, text })),
      changed: (value) => {
        preferences[name] = value || null;
        save({ [name]: value || null });
        draw();
      },
    });
    row.value = preferences[name] ?? "";
    return h("div.row", null, h("span.muted", { "aria-hidden": "true" }, label), row.node);
  }

  function reset() {
    preferences.keys = null;
    save({ keys: null });
    message.textContent = "All shortcuts are back to their defaults.";
    draw();
  }

  /** Waits for the new key of an action.  @param {string} name @param {HTMLButtonElement} button */
  function recordKey(name, button) {
    button.textContent = "Press a key";
    button.setAttribute("aria-pressed", "true");
    const onKeydown = (/** @type {KeyboardEvent} */ event) => {
      const key = keyOf(event);
      if (!key || MODIFIERS.includes(key)) return;
      event.preventDefault();
      event.stopPropagation();
      stop();
      if (key !== "Escape") bind(name, key);
      draw();
      list.querySelector(`[data-action="${name}"]`)?.focus();
    };
    const onBlur = () => {
      stop();
      draw();
    };
    const stop = () => {
      button.removeEventListener("keydown", onKeydown);
      button.removeEventListener("blur", onBlur);
    };
    button.addEventListener("keydown", onKeydown);
    button.addEventListener("blur", onBlur);
  }

  /**
   * Binds a key; the action that had the key gets the old key in exchange.
   * @param {string} name
   * @param {string} key
   */
  function bind(name, key) {
    const bindings = keyBindings(preferences);
    const other = [...bindings].find(([action, boundKey]) => boundKey === key && action !== name)?.[0];
    const keys = { ...(preferences.keys ?? {}), [name]: key };
    if (other) keys[other] = bindings.get(name) ?? "";
    preferences.keys = keys;
    message.textContent = other
      ? `${keyLabel(key)} was used by “${labelOf(other)}”, which now uses ${keyLabel(keys[other])}.`
      : "";
    save({ keys });
  }

  /** @param {import("./shortcuts.js").Action} action @param {string} key */
  function actionRow(action, key) {
    const isTaken = letters.includes(key.toUpperCase());
    const button = h(
      "button.button.small.key",
      {
        type: "button",
        "data-action": action.name,
        "aria-label": `${labelOf(action.name)}: ${keyLabel(key)}. Change`,
      },
      isTaken ? `Shift ${keyLabel(key)}` : keyLabel(key),
    );
    button.addEventListener("click", () => recordKey(action.name, button));
    return h("div.key-row", null, h("span", null, labelOf(action.name)), button);
  }

  function draw() {
    const bindings = keyBindings(preferences);
    const sections = GROUPS.map((group) => {
      const actions = ACTIONS.filter((action) => action.group === group && isAvailable(action.name));
      const rows = actions.map((action) => actionRow(action, bindings.get(action.name) ?? ""));
      return h("section", { hidden: rows.length === 0 }, h("h3", null, group), ...rows);
    });
    list.replaceChildren(...sections);
  }

  const help =
    "Select a shortcut, then press its new key. Shortcuts are off while you type: Esc leaves the text, " +
    "Ctrl+Enter submits.";
  draw();
  const dialog = openDialog(
    { title: "Keyboard shortcuts", isWide: true },
    h(
      "div.stack",
      null,
      h("p.muted", null, help),
      list,
      message,
      h("div.row.settings", null, setting("Preset", "hand", HANDS), setting("Theme", "theme", THEMES)),
    ),
    h("footer", null, h("button.button.small", { type: "button", onclick: reset }, "Reset all shortcuts")),
  );
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve()));
}
