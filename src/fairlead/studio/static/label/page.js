/** The page around a task: announcements for screen readers, the pace, and the reason for an empty screen. */

/** @param {string} id @returns {any} */
export const byId = (id) => document.getElementById(id);

/** Has screen readers speak a text.  @param {string} text */
export function announce(text) {
  const region = byId("announce");
  region.textContent = "";
  requestAnimationFrame(() => (region.textContent = text)); // an unchanged text would not be spoken again
}

/** @param {{today: number, total: number, median_active_ms: number|null}} pace @param {number} [dailyGoal] */
export function drawPace(pace, dailyGoal) {
  const today = pace.today.toLocaleString("en") + (dailyGoal ? ` / ${dailyGoal.toLocaleString("en")}` : "");
  const seconds = pace.median_active_ms === null ? 0 : Math.max(1, Math.round(pace.median_active_ms / 1000));
  byId("pace").textContent = `${today} today${seconds ? ` · ${seconds} s per answer` : ""}`;
}

/**
 * Title and text for a screen without a task.
 * @param {{state: string, paused: boolean, must_read: boolean}} campaign
 * @returns {[string, string]}
 */
export function emptyMessage({ state, paused, must_read }) {
  if (paused) {
    return ["You are paused in this campaign", "The lead has paused you. Your answers are saved."];
  }
  if (state !== "open") {
    return [`This campaign is ${state}`, "There are no tasks at the moment. Your answers are saved."];
  }
  if (must_read) {
    return ["Read the guidelines first", "This campaign gives you tasks once you have read its guidelines."];
  }
  return ["No tasks left", "There is nothing left for you to judge. New tasks appear here automatically."];
}
