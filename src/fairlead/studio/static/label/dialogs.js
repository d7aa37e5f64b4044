/** Small dialogs that ask for one choice.  Native dialogs trap the focus and restore it on close. */

import { capitalize, h, keycap } from "./html.js";
import { keyOf } from "./shortcuts.js";

/**
 * Asks for one of several numbered reasons.
 * @param {{title: string, description: string, reasons: string[], noteLabel?: string}} question
 * @returns {Promise<{reason: string, note: string}|null>} null if the dialog was cancelled
 */
export function chooseReason({ title, description, reasons, noteLabel }) {
  return new Promise((resolve) => {
    const note = noteLabel
      ? h("textarea.control", { "aria-label": noteLabel, rows: "2", placeholder: noteLabel })
      : null;
    /** @type {{reason: string, note: string}|null} */
    let answer = null;
    const pick = (/** @type {string} */ reason) => {
      answer = { reason, note: note?.value.trim() ?? "" };
      dialog.close();
    };
    const buttons = reasons.map((reason, n) =>
      h(
        "button.button.reason",
        { type: "button", onclick: () => pick(reason) },
        keycap(String(n + 1)),
        capitalize(reason),
      ),
    );
    const dialog = optionDialog({ title, description, close: "Cancel", field: note, buttons });
    dialog.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.target === note) return;
      const number = Number(keyOf(event));
      if (number >= 1 && number <= reasons.length) {
        event.preventDefault();
        pick(reasons[number - 1]);
      }
    });
    dialog.addEventListener("close", () => resolve(answer));
    buttons[0].focus();
  });
}

/**
 * Asks for one row of a list.
 * @param {string} title
 * @param {string} description
 * @param {{text: string, note: string|null, value: string}[]} rows
 * @returns {Promise<string|null>} the value of the row; null if the dialog was closed
 */
export function chooseRow(title, description, rows) {
  return new Promise((resolve) => {
    /** @type {string|null} */
    let value = null;
    const pick = (/** @type {string} */ rowValue) => {
      value = rowValue;
      dialog.close();
    };
    const buttons = rows.map((row) =>
      h(
        "button.button.reason.row-choice",
        { type: "button", onclick: () => pick(row.value) },
        h("span", { dir: "auto" }, row.text),
        h("small.muted", null, row.note),
      ),
    );
    const dialog = optionDialog({ title, description, close: "Close", field: null, buttons });
    dialog.addEventListener("close", () => resolve(value));
    buttons[0]?.focus();
  });
}

/**
 * @param {{title: string, description: string, close: string, field: HTMLElement|null, buttons:
 *   HTMLElement[]}} parts
 * @returns {HTMLDialogElement} the dialog, already open
 */
function optionDialog({ title, description, close, field, buttons }) {
  const reasons = h("div.reasons", null, ...buttons);
  return openDialog({ title, close }, h("div.stack", null, h("p.muted", null, description), field, reasons));
}

/**
 * Opens a dialog with a title and a button that closes it.  It leaves the page when it is closed.
 * @param {{title: string, close?: string, isWide?: boolean}} options   `close`: the label of the button
 * @param {...HTMLElement} content
 * @returns {HTMLDialogElement}
 */
export function openDialog({ title, close = "Close", isWide = false }, ...content) {
  const onclick = () => dialog.close();
  const closeButton = h("button.button.quiet.small", { type: "button", onclick }, close, keycap("Esc"));
  const header = h("header", null, h("h2", null, title), closeButton);
  const dialog = h(`dialog.dialog${isWide ? ".wide" : ""}`, { "aria-label": title }, header, ...content);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}
