/** The sheet of keys, where every key can also be changed, one hand chosen, and light or dark. */

import { h } from "./html.js";
import { ACTIONS, bindings, keyOf, shown } from "./keys.js";
import { Steps } from "./scales.js";

/** @typedef {{theme?: string|null, hand?: string|null, keys?: Record<string, string>|null}} Preferences */

/**
 * @param {{preferences: Preferences, relevant: (action: string) => boolean, letters: string[], names: Record<string, string>, save: (changed: Preferences) => void}} about
 * @returns {Promise<void>} when it is closed
 */
export function sheet(about) {
  return new Promise((resolve) => {
    const preferences = about.preferences;
    const body = h("div.key-groups");
    const problem = h("p.small", { role: "status" });
    const dialog = h(
      "dialog.dialog.wide",
      { "aria-label": "Keys and settings" },
      h("header", null, h("h2", null, "Keys"), h("button.button.quiet.small", { type: "button", onclick: () => dialog.close() }, "Close", h("kbd", { "aria-hidden": "true" }, "Esc"))),
      h(
        "div.stack",
        null,
        h("p.muted", null, "Press a key below, then the one that you would rather use. Keys rest while you type; Esc leaves the text, Ctrl+Enter sends."),
        body,
        problem,
        h("div.row.settings", null, setting("Keys for", "hand", [["", "both hands"], ["left", "the left"], ["right", "the right"]]), setting("Colours", "theme", [["", "as the system"], ["light", "light"], ["dark", "dark"]])),
      ),
      h("footer", null, h("button.button.small", { type: "button", onclick: reset }, "All keys as they were")),
    );

    /** @param {string} label @param {"hand"|"theme"} name @param {[string, string][]} choices */
    function setting(label, name, choices) {
      const steps = new Steps({
        label,
        compact: true,
        steps: choices.map(([value, text]) => ({ value, text })),
        changed: (value) => {
          preferences[name] = value || null;
          about.save({ [name]: value || null });
          draw();
        },
      });
      steps.value = preferences[name] ?? "";
      return h("div.row", null, h("span.muted", { "aria-hidden": "true" }, label), steps.node);
    }

    function reset() {
      preferences.keys = null;
      about.save({ keys: null });
      problem.textContent = "All keys are as they were.";
      draw();
    }

    /** @param {string} name @param {HTMLButtonElement} button */
    function listen(name, button) {
      button.textContent = "Press a key";
      button.setAttribute("aria-pressed", "true");
      const heard = (/** @type {KeyboardEvent} */ event) => {
        if (["Shift", "Control", "Alt", "Meta", "Tab"].includes(event.key)) return;
        event.preventDefault();
        event.stopPropagation();
        stop();
        if (event.key !== "Escape") bind(name, keyOf(event));
        draw();
        body.querySelector(`[data-action="${name}"]`)?.focus();
      };
      const stop = () => (button.removeEventListener("keydown", heard), button.removeEventListener("blur", lost));
      const lost = () => (stop(), draw());
      button.addEventListener("keydown", heard);
      button.addEventListener("blur", lost);
    }

    /** The action that had the key gets the old one.  @param {string} name @param {string} key */
    function bind(name, key) {
      const now = bindings(/** @type {any} */ (preferences));
      const other = [...now].find(([action, bound]) => bound === key && action !== name)?.[0];
      const keys = { ...(preferences.keys ?? {}), [name]: key };
      if (other) keys[other] = now.get(name) ?? "";
      preferences.keys = keys;
      problem.textContent = other ? `${shown(key)} was “${does(other)}”, which now has ${shown(keys[other])}.` : "";
      about.save({ keys });
    }

    const does = (/** @type {string} */ name) => about.names[name] ?? ACTIONS.find((action) => action.name === name)?.does ?? name;

    function draw() {
      const now = bindings(/** @type {any} */ (preferences));
      const groups = [...new Set(ACTIONS.map((action) => action.group))];
      body.replaceChildren(
        ...groups.map((group) => {
          const rows = ACTIONS.filter((action) => action.group === group && about.relevant(action.name));
          return h(
            "section",
            { hidden: rows.length === 0 },
            h("h3", null, group),
            ...rows.map((action) => {
              const key = now.get(action.name) ?? "";
              const taken = about.letters.includes(key.toUpperCase());
              const button = h("button.button.small.key", { type: "button", "data-action": action.name, "aria-label": `${does(action.name)}: ${shown(key)}. Change` }, taken ? `Shift ${shown(key)}` : shown(key));
              button.addEventListener("click", () => listen(action.name, button));
              return h("div.key-row", null, h("span", null, does(action.name)), button);
            }),
          );
        }),
      );
    }

    draw();
    dialog.addEventListener("close", () => (dialog.remove(), resolve()));
    document.body.append(dialog);
    dialog.showModal();
  });
}
