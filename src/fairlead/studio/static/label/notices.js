/**
 * Notices: one at a time, above the answer form, never on it.
 *
 * A passing notice stays for some seconds, longer while it is pointed at or has the focus.  A lasting notice
 * stays until the rater deals with it: it steps aside for a passing one and comes back.
 */

import { h } from "./html.js";
import { announce } from "./page.js";

const SHOWN_MS = 4000;

/** @typedef {{node: HTMLElement, about: string}} Notice  `about`: the token of the task that it names */

/** @type {Notice|null} */
let passing = null;
/** @type {Notice[]} the last is shown */
let lasting = [];
let timer = 0;

/**
 * @param {string} text
 * @param {Object} [options]
 * @param {"good"|"fault"} [options.kind]
 * @param {boolean} [options.isLasting]
 * @param {string} [options.about]   token of the task that the notice names; see `dismissAbout`
 * @param {[string, () => void][]} [options.actions]   label and handler of each button
 */
export function toast(text, { kind, isLasting = false, about = "", actions = [] } = {}) {
  const role = kind === "fault" ? "alert" : null;
  const node = h(`div.toast${kind ? "." + kind : ""}`, { role }, h("span", null, text));
  /** @type {Notice} */
  const notice = { node, about };
  for (const [label, act] of isLasting ? [...actions, closeAction] : actions) {
    const onclick = () => {
      close(notice);
      act();
    };
    node.append(h("button.button.quiet.small", { type: "button", onclick }, label));
  }
  if (!isLasting && kind === "fault" && lasting.some((other) => other.node.matches(".fault"))) {
    announce(text); // what has to be dealt with stays in sight
    return;
  }
  if (isLasting) lasting = [...lasting.filter((other) => other.node.innerText !== node.innerText), notice];
  passing = isLasting ? null : notice;
  draw();
  if (!isLasting) closeLater(notice);
}

/** @type {[string, () => void]} */
const closeAction = ["Close", () => undefined];

/** Removes the notices about a task.  @param {string} token */
export function dismissAbout(token) {
  if (passing?.about === token) passing = null;
  lasting = lasting.filter((notice) => notice.about !== token);
  draw();
}

/** @param {Notice} notice */
function close(notice) {
  if (passing === notice) passing = null;
  lasting = lasting.filter((other) => other !== notice);
  draw();
}

/** @param {Notice} notice */
function closeLater(notice) {
  clearTimeout(timer);
  timer = setTimeout(() => {
    if (passing === notice && notice.node.matches(":hover, :focus-within")) closeLater(notice);
    else if (passing === notice) close(notice);
  }, SHOWN_MS);
}

function draw() {
  const box = /** @type {HTMLElement} */ (document.getElementById("toasts"));
  const shown = (passing ?? lasting.at(-1))?.node;
  if (box.firstElementChild === (shown ?? null)) return;
  box.replaceChildren(...(shown ? [shown] : []));
}
