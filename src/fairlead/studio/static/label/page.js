/**
 * The page around a task: notices, announcements for screen readers, the pace, and the reason for an empty
 * screen.
 */

import { h } from "./html.js";

const TOAST_MS = 4000;

/** @param {string} id @returns {any} */
export const byId = (id) => document.getElementById(id);

/** Has screen readers speak a text.  @param {string} text */
export function announce(text) {
  const region = byId("announce");
  region.textContent = "";
  requestAnimationFrame(() => (region.textContent = text)); // an unchanged text would not be spoken again
}

/**
 * Shows a notice for a few seconds; at most two are visible.
 * @param {string} text
 * @param {{kind?: "good"|"fault", lasting?: boolean, action?: [string, () => void]}} [options]
 */
export function toast(text, { kind, lasting = false, action } = {}) {
  const role = kind === "fault" ? "alert" : null;
  const node = h(`div.toast${kind ? "." + kind : ""}`, { role }, h("span", null, text));
  const close = () => node.remove();
  if (action) {
    const [label, act] = action;
    const onclick = () => {
      close();
      act();
    };
    node.append(h("button.button.quiet.small", { type: "button", onclick }, label));
  }
  const toasts = byId("toasts");
  while (toasts.childElementCount > 1) toasts.firstElementChild.remove();
  toasts.append(node);
  if (!lasting) setTimeout(close, TOAST_MS);
}

/** @param {{today: number, total: number, median_active_ms: number|null}} pace @param {number} [dailyGoal] */
export function drawPace(pace, dailyGoal) {
  const today = pace.today.toLocaleString("en") + (dailyGoal ? ` / ${dailyGoal.toLocaleString("en")}` : "");
  const seconds = pace.median_active_ms === null ? 0 : Math.max(1, Math.round(pace.median_active_ms / 1000));
  byId("pace").textContent = `${today} today${seconds ? ` · ${seconds} s median` : ""}`;
}

/**
 * Title and text for a screen without a task.
 * @param {{state: string, paused: boolean}} campaign
 * @returns {[string, string]}
 */
export function emptyMessage({ state, paused }) {
  if (paused) {
    return ["You are paused in this campaign", "The lead has paused you. Your answers are saved."];
  }
  if (state !== "open") {
    return [`This campaign is ${state}`, "No tasks are assigned at the moment. Your answers are saved."];
  }
  return ["No tasks left", "There is nothing left for you to judge. New tasks appear here automatically."];
}
