/**
 * The page `/work`: lists rejected answers, including those of campaigns that the rater can no longer open.
 */

import { countRejected, RejectedAnswers } from "./rejected-answers.js";
import { openStore } from "./store.js";

const notice = /** @type {HTMLElement} */ (document.getElementById("refused"));
const owner = JSON.parse(notice.dataset.owner ?? "{}");
const rejectedAnswers = new RejectedAnswers(await openStore(), owner, {
  changed: (number) => {
    const text = /** @type {HTMLElement} */ (notice.querySelector("span"));
    text.textContent = `${countRejected(number)}. Your work is saved in this browser.`;
    notice.hidden = number === 0;
  },
});
notice.querySelector("button")?.addEventListener("click", () => void rejectedAnswers.openDialog());
await rejectedAnswers.updateCount();
