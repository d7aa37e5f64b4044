/** Small questions on the way: why a task is skipped, what is wrong with it.  Native dialogs keep the focus and give it back. */

import { h, keycap } from "./html.js";

/**
 * Reasons by number.  Resolves with the one chosen, or null.
 * @param {{title: string, about: string, reasons: string[], note?: string}} ask
 * @returns {Promise<{reason: string, note: string}|null>}
 */
export function choose(ask) {
  return new Promise((resolve) => {
    const note = ask.note ? h("textarea.control", { "aria-label": ask.note, rows: "2", placeholder: ask.note }) : null;
    /** @type {{reason: string, note: string}|null} */
    let chosen = null;
    const pick = (/** @type {string} */ reason) => {
      chosen = { reason, note: note?.value.trim() ?? "" };
      dialog.close();
    };
    const buttons = ask.reasons.map((reason, n) => h("button.button.reason", { type: "button", onclick: () => pick(reason) }, keycap(String(n + 1)), sentence(reason)));
    const dialog = h(
      "dialog.dialog",
      { "aria-label": ask.title },
      h("header", null, h("h2", null, ask.title), h("button.button.quiet.small", { type: "button", onclick: () => dialog.close() }, "Cancel", keycap("Esc"))),
      h("div.stack", null, h("p.muted", null, ask.about), note, h("div.reasons", null, ...buttons)),
    );
    dialog.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.target === note) return;
      const n = Number(event.key);
      if (n >= 1 && n <= ask.reasons.length) {
        event.preventDefault();
        pick(ask.reasons[n - 1]);
      }
    });
    dialog.addEventListener("close", () => (dialog.remove(), resolve(chosen)));
    document.body.append(dialog);
    dialog.showModal();
    buttons[0].focus();
  });
}

/** @param {string} text */
export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/**
 * A list to choose from, such as drafts.
 * @param {string} title @param {string} about @param {{text: string, note: string, value: string}[]} rows
 * @returns {Promise<string|null>}
 */
export function chooseRow(title, about, rows) {
  return new Promise((resolve) => {
    /** @type {string|null} */
    let chosen = null;
    const buttons = rows.map((row) =>
      h("button.button.reason.row-choice", { type: "button", onclick: () => ((chosen = row.value), dialog.close()) }, h("span", { dir: "auto" }, row.text), h("small.muted", null, row.note)),
    );
    const dialog = h(
      "dialog.dialog",
      { "aria-label": title },
      h("header", null, h("h2", null, title), h("button.button.quiet.small", { type: "button", onclick: () => dialog.close() }, "Close", keycap("Esc"))),
      h("div.stack", null, h("p.muted", null, about), h("div.reasons", null, ...buttons)),
    );
    dialog.addEventListener("close", () => (dialog.remove(), resolve(chosen)));
    document.body.append(dialog);
    dialog.showModal();
    buttons[0]?.focus();
  });
}
