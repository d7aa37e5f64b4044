/** On the list of one's work: answers that were refused, also of campaigns that cannot be opened any more. */

import { notTaken, Refusals } from "./refusals.js";
import { openStore } from "./store.js";

const place = /** @type {HTMLElement} */ (document.getElementById("refused"));
const refusals = new Refusals(await openStore(), JSON.parse(place.dataset.owner ?? "{}"), {
  changed: (num) => {
    place.hidden = num === 0;
    /** @type {HTMLElement} */ (place.querySelector("span")).textContent = `${notTaken(num)}. What you wrote is kept on this machine.`;
  },
});
place.querySelector("button")?.addEventListener("click", () => void refusals.show());
await refusals.load();
