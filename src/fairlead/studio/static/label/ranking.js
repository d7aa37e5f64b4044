/**
 * Several answers in order.  A letter picks one up, a digit puts it on that place and moves the others down, = ties it with the place before.
 * Dragging a letter does the same: between two places to put it there, onto another letter to tie.
 */

import { h } from "./html.js";
import { Pane, looks, prompt } from "./panes.js";

const ORDINALS = ["", "1st", "2nd", "3rd"];
const ordinal = (/** @type {number} */ n) => ORDINALS[n] ?? `${n}th`;

/** @param {import("./types.js").Task} task @param {import("./types.js").Context} context @returns {import("./types.js").View} */
export function ranking(task, context) {
  const letters = task.answers.map((answer) => answer.letter);
  const panes = task.answers.map((answer) => new Pane(answer));
  /** @type {string[][]} the best first; letters in one group are tied */
  let order = [];
  let picked = "";

  const places = h("ol.places", { "aria-label": "Your order, the best first" });
  const unplaced = h("div.tray", { role: "group", "aria-label": "Not in the order yet" });
  const ask = h("p.ask");

  /** @param {string} letter */
  const rankOf = (letter) => order.findIndex((group) => group.includes(letter)) + 1;
  const loose = () => letters.filter((letter) => !rankOf(letter));

  /** @param {string} letter */
  function take(letter) {
    order = order.map((group) => group.filter((one) => one !== letter)).filter((group) => group.length);
  }

  /** @param {string} letter @param {number} place  from 1 */
  function put(letter, place) {
    take(letter);
    order.splice(Math.min(place - 1, order.length), 0, [letter]);
    done(letter);
  }

  /** @param {string} letter @param {string} other */
  function tie(letter, other) {
    if (letter === other) return;
    take(letter);
    const group = order.find((one) => one.includes(other));
    if (group) group.push(letter);
    else order.push([other, letter]);
    group?.sort();
    done(letter);
  }

  /** @param {string} letter */
  function done(letter) {
    const rank = rankOf(letter);
    const tied = rank ? order[rank - 1].filter((one) => one !== letter) : [];
    context.announce(rank ? `${letter} is ${ordinal(rank)}${tied.length ? `, tied with ${tied.join(" and ")}` : ""}` : `${letter} is out of the order`);
    draw();
    context.changed();
  }

  /** @param {string} letter */
  function pick(letter) {
    picked = letter;
    context.announce(`${letter} picked up. Now its place.`);
    draw();
  }

  function draw() {
    const token = (/** @type {string} */ letter) => {
      const button = h("button.token", { type: "button", "data-letter": letter, "aria-pressed": String(letter === picked), "aria-label": `Answer ${letter}` }, letter);
      button.addEventListener("click", () => pick(letter));
      button.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => drag(event, button, letter));
      return button;
    };
    places.replaceChildren(
      ...order.map((group, n) => h("li.place-group", { "data-place": n + 1 }, h("span.rank.figures", null, ordinal(n + 1)), h("span.tokens", null, ...group.map(token)))),
      h("li.place-group.next", { "data-place": order.length + 1 }, h("span.rank", null, order.length ? "last" : "best"), h("span.tokens")),
    );
    places.lastElementChild?.toggleAttribute("hidden", loose().length === 0 && order.length === letters.length);
    unplaced.replaceChildren(...loose().map(token));
    unplaced.hidden = loose().length === 0;
    ask.textContent = picked ? `${picked}: press its place, = to tie, or the arrows` : "Press a letter, then its place";
    for (const pane of panes) {
      const rank = rankOf(pane.answer.letter);
      pane.badge.textContent = rank ? ordinal(rank) : "";
      pane.node.classList.toggle("picked", pane.answer.letter === picked);
    }
  }

  /** @param {PointerEvent} event @param {HTMLElement} button @param {string} letter */
  function drag(event, button, letter) {
    if (event.button !== 0) return;
    const from = { x: event.clientX, y: event.clientY };
    button.setPointerCapture(event.pointerId);
    const move = (/** @type {PointerEvent} */ at) => {
      button.classList.add("dragged");
      button.style.translate = `${at.clientX - from.x}px ${at.clientY - from.y}px`;
    };
    const drop = (/** @type {PointerEvent} */ at) => {
      button.removeEventListener("pointermove", move);
      const dragged = button.classList.contains("dragged") && Math.hypot(at.clientX - from.x, at.clientY - from.y) > 6;
      button.style.pointerEvents = "none"; // to see what lies below
      const below = document.elementFromPoint(at.clientX, at.clientY);
      button.style.pointerEvents = "";
      button.style.translate = "";
      button.classList.remove("dragged");
      if (!dragged || at.type === "pointercancel") return;
      picked = letter;
      const other = below?.closest("[data-letter]");
      const place = below?.closest("[data-place]");
      if (other instanceof HTMLElement && other.dataset.letter) tie(letter, other.dataset.letter);
      else if (place instanceof HTMLElement) put(letter, Number(place.dataset.place));
      else if (below?.closest(".tray")) (take(letter), done(letter));
      else draw();
    };
    button.addEventListener("pointermove", move);
    button.addEventListener("pointerup", drop, { once: true });
    button.addEventListener("pointercancel", drop, { once: true });
  }

  /** @param {(rank: number) => void} act */
  const withPicked = (act) => () => (picked ? act(rankOf(picked)) : context.announce("Press the letter of an answer first."));
  const actions = Object.fromEntries(letters.map((_, n) => [String(n + 1), withPicked(() => put(picked, n + 1))]));
  draw();
  return {
    stage: [prompt(task.prompt), h("div.panes.many", null, ...panes.map((pane) => pane.node))],
    dock: [h("div.question", null, ask, h("div.ranking", null, places, unplaced))],
    read: () => ({ ranks: Object.fromEntries(order.flatMap((group, n) => group.map((letter) => [letter, n + 1]))) }),
    write: (value) => {
      const ranks = Object.entries(value.ranks ?? {}).filter(([letter]) => letters.includes(letter));
      const levels = [...new Set(ranks.map(([, rank]) => rank))].sort((a, b) => a - b);
      order = levels.map((level) => ranks.filter(([, rank]) => rank === level).map(([letter]) => letter));
      picked = "";
      draw();
    },
    missing: () => {
      const left = loose();
      if (left.length > letters.length - 2) return "Put the answers in order first";
      return left.length ? `Without a place: ${left.join(", ")}` : "";
    },
    say: () => order.map((group) => group.join(" = ")).join(", then "),
    key: (key) => {
      const letter = key.toUpperCase();
      if (!letters.includes(letter)) return false;
      pick(letter);
      return true;
    },
    actions: {
      ...looks(panes, context),
      ...actions,
      up: withPicked((rank) => (rank ? rank > 1 && put(picked, rank - (order[rank - 1].length > 1 ? 0 : 1)) : put(picked, order.length + 1))),
      down: withPicked((rank) => (rank ? put(picked, rank + 1) : put(picked, order.length + 1))),
      same: withPicked((rank) => {
        const before = rank > 1 ? order[rank - 2][0] : rank === 0 ? order.at(-1)?.[0] : undefined;
        if (before) tie(picked, before);
        else context.announce("There is no place before it.");
      }),
      clear: withPicked((rank) => rank && (take(picked), done(picked))),
    },
  };
}
