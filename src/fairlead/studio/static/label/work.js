/**
 * The page `/work`: lists rejected answers, including those of campaigns that the rater can no longer open,
 * and what waits in this browser from an earlier account.
 */

import { LeftBehind } from "./left-behind.js";
import { byId } from "./page.js";
import { countRejected, RejectedAnswers } from "./rejected-answers.js";
import { openStore } from "./store.js";

const notice = byId("refused");
const owner = JSON.parse(notice.dataset.owner ?? "{}");
const store = await openStore();
const rejectedAnswers = new RejectedAnswers(store, owner, {
  changed: (number) => {
    notice.querySelector("span").textContent =
      `${countRejected(number)}. Your work is saved in this browser.`;
    notice.hidden = number === 0;
  },
});
notice.querySelector("button").addEventListener("click", () => void rejectedAnswers.openDialog());
await rejectedAnswers.updateCount();

const waiting = byId("left-behind");
const leftBehind = new LeftBehind(store, owner, owner.slugs, {
  changed: (text) => {
    waiting.querySelector("span").textContent = text;
    waiting.querySelector("button").hidden = false;
    waiting.hidden = text === "";
  },
  taken: (text) => {
    waiting.querySelector("span").textContent = text;
    waiting.querySelector("button").hidden = true;
    waiting.hidden = false;
    void rejectedAnswers.updateCount();
  },
});
waiting.querySelector("button").addEventListener("click", () => leftBehind.openDialog());
await leftBehind.update().catch(() => undefined); // offline: it is shown at the next visit
