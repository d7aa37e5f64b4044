/**
 * The view for ranking several answers.
 *
 * By keyboard: a letter selects an answer, a digit gives it that rank and moves the others down, "=" ties
 * it with the rank above.  By pointer: drag a letter between two ranks, or onto another letter to tie.
 */

import { h } from "./html.js";
import { Prompt } from "./messages.js";
import { displayActions, Pane, paneGrid } from "./panes.js";

const ORDINALS = ["", "1st", "2nd", "3rd"];
const MIN_DRAG_PX = 6; // a shorter movement is a click

/** @param {number} n */
const ordinal = (n) => ORDINALS[n] ?? `${n}th`;

/**
 * @param {import("./types.js").Task} task
 * @param {import("./types.js").Context} context
 * @returns {import("./types.js").View}
 */
export function ranking(task, context) {
  const letters = task.answers.map((answer) => answer.letter);
  const hasKeyboard = !matchMedia("(pointer: coarse)").matches;
  const prompt = new Prompt(task.prompt);
  const panes = task.answers.map((answer) => new Pane(answer));
  /** @type {string[][]} best first; the letters of one group are tied */
  let groups = [];
  let selected = "";

  const rankList = h("ol.places", { "aria-label": "Your ranking, best first" });
  const tray = h("div.tray", { role: "group", "aria-label": "Not ranked yet" });
  const hint = h("p.ask");

  // Whoever has no keyboard, or does not drag, places the selected answer with a click on the rank.
  rankList.addEventListener("click", (/** @type {MouseEvent} */ event) => {
    const clicked = /** @type {Element} */ (event.target);
    const rank = clicked.closest("[data-place]");
    if (!selected || clicked.closest("button") || !(rank instanceof HTMLElement)) return;
    place(selected, Number(rank.dataset.place));
  });

  /** The rank from 1; 0 if not ranked.  @param {string} letter */
  const rankOf = (letter) => groups.findIndex((group) => group.includes(letter)) + 1;
  const unranked = () => letters.filter((letter) => !rankOf(letter));

  /** @param {string} letter */
  function withdraw(letter) {
    const remaining = groups.map((group) => group.filter((member) => member !== letter));
    groups = remaining.filter((group) => group.length);
  }

  /** @param {string} letter */
  function unrank(letter) {
    withdraw(letter);
    finishMove(letter);
  }

  /** @param {string} letter @param {number} rank */
  function place(letter, rank) {
    withdraw(letter);
    groups.splice(Math.min(rank - 1, groups.length), 0, [letter]);
    finishMove(letter);
  }

  /** @param {string} letter @param {string} other */
  function tie(letter, other) {
    if (letter === other) return;
    withdraw(letter);
    const group = groups.find((members) => members.includes(other));
    if (group) group.push(letter);
    else groups.push([other, letter]);
    group?.sort();
    finishMove(letter);
  }

  /** @param {string} letter */
  function finishMove(letter) {
    const rank = rankOf(letter);
    const tied = rank ? groups[rank - 1].filter((member) => member !== letter) : [];
    const tiedText = tied.length ? `, tied with ${tied.join(" and ")}` : "";
    context.announce(rank ? `${letter} is ${ordinal(rank)}${tiedText}` : `${letter} is not ranked`);
    draw();
    context.changed();
  }

  /** @param {string} letter */
  function select(letter) {
    selected = letter;
    context.announce(`${letter} selected. Press its rank.`);
    draw();
  }

  /** @param {string} letter */
  function letterButton(letter) {
    const button = h(
      "button.token",
      {
        type: "button",
        "data-letter": letter,
        "aria-pressed": String(letter === selected),
        "aria-label": `Answer ${letter}`,
      },
      letter,
    );
    button.addEventListener("click", () => select(letter));
    button.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
      startDrag(event, button, (target) => drop(letter, target));
    });
    return button;
  }

  /** Without a keyboard: the button that ties the selected answer with a rank.  @param {string[]} group */
  function tieButtons(group) {
    if (hasKeyboard || !selected || group.includes(selected)) return [];
    const label = `Tie ${selected} with ${group.join(" and ")}`;
    const button = h("button.token.tie", { type: "button", "aria-label": label }, "=");
    button.addEventListener("click", () => tie(selected, group[0]));
    return [button];
  }

  function draw() {
    const rows = groups.map((group, n) =>
      h(
        "li.place-group",
        { "data-place": n + 1 },
        h("span.rank.figures", null, ordinal(n + 1)),
        h("span.tokens", null, ...group.map(letterButton), ...tieButtons(group)),
      ),
    );
    const isComplete = unranked().length === 0 && groups.length === letters.length;
    const nextRow = h(
      "li.place-group.next",
      { "data-place": groups.length + 1, hidden: isComplete },
      h("span.rank", null, groups.length ? "last" : "best"),
      h("span.tokens"),
    );
    rankList.replaceChildren(...rows, nextRow);
    tray.replaceChildren(...unranked().map(letterButton));
    tray.hidden = unranked().length === 0;
    const [first, then] = hasKeyboard
      ? ["Press a letter, then its rank", "press its rank, = to tie, or use the arrow keys"]
      : ["Tap a letter, then its rank", "tap its rank, or = to tie"];
    hint.textContent = selected ? `${selected}: ${then}` : first;
    for (const pane of panes) {
      const rank = rankOf(pane.answer.letter);
      pane.badge.textContent = rank ? ordinal(rank) : "";
      pane.node.classList.toggle("picked", pane.answer.letter === selected);
    }
  }

  /** @param {string} letter @param {Element|null} target  the element below the pointer */
  function drop(letter, target) {
    selected = letter;
    const other = target?.closest("[data-letter]");
    const rank = target?.closest("[data-place]");
    if (other instanceof HTMLElement && other.dataset.letter) tie(letter, other.dataset.letter);
    else if (rank instanceof HTMLElement) place(letter, Number(rank.dataset.place));
    else if (target?.closest(".tray")) unrank(letter);
    else draw();
  }

  /** @param {(rank: number) => void} act  gets the rank of the selected answer */
  const withSelected = (act) => () =>
    selected ? act(rankOf(selected)) : context.announce("Press the letter of an answer first.");

  const rankActions = letters.map((_, n) => [String(n + 1), withSelected(() => place(selected, n + 1))]);

  const moveUp = withSelected((rank) => {
    if (!rank) return place(selected, groups.length + 1);
    const isTied = groups[rank - 1].length > 1;
    if (rank > 1) place(selected, isTied ? rank : rank - 1);
  });

  const moveDown = withSelected((rank) => place(selected, (rank || groups.length) + 1));

  const tieWithPrevious = withSelected((rank) => {
    const previousGroup = rank === 0 ? groups.at(-1) : groups[rank - 2];
    if (previousGroup) tie(selected, previousGroup[0]);
    else context.announce("There is no rank above.");
  });

  draw();
  return {
    content: [prompt.node, paneGrid(panes)],
    controls: [h("div.question", null, hint, h("div.ranking", null, rankList, tray))],
    read: () => {
      const ranks = groups.flatMap((group, n) => group.map((letter) => [letter, n + 1]));
      return { ranks: Object.fromEntries(ranks) };
    },
    write: (value) => {
      const ranks = Object.entries(value.ranks ?? {}).filter(([letter]) => letters.includes(letter));
      const levels = [...new Set(ranks.map(([, rank]) => rank))].sort((a, b) => a - b);
      groups = levels.map((level) => ranks.filter(([, rank]) => rank === level).map(([letter]) => letter));
      selected = "";
      draw();
    },
    missing: () => {
      const rest = unranked();
      if (rest.length > letters.length - 2) return "Rank the answers";
      return rest.length ? `Not ranked yet: ${rest.join(", ")}` : "";
    },
    summary: () => groups.map((group) => group.join(" = ")).join(", then "),
    handleKey: (key) => {
      const letter = key.toUpperCase();
      if (!letters.includes(letter)) return false;
      select(letter);
      return true;
    },
    actions: {
      ...displayActions(panes, prompt, context),
      ...Object.fromEntries(rankActions),
      up: moveUp,
      down: moveDown,
      same: tieWithPrevious,
      clear: withSelected((rank) => rank && unrank(selected)),
    },
  };
}

/**
 * Moves a button with the pointer.
 * @param {PointerEvent} start
 * @param {HTMLElement} button
 * @param {(target: Element|null) => void} dropped   called with the element below; not called for a click
 */
function startDrag(start, button, dropped) {
  if (start.button !== 0) return;
  button.setPointerCapture(start.pointerId);

  const move = (/** @type {PointerEvent} */ event) => {
    button.classList.add("dragged");
    button.style.translate = `${event.clientX - start.clientX}px ${event.clientY - start.clientY}px`;
  };
  const end = (/** @type {PointerEvent} */ event) => {
    button.removeEventListener("pointermove", move);
    const distance = Math.hypot(event.clientX - start.clientX, event.clientY - start.clientY);
    const isDrag = button.classList.contains("dragged") && distance > MIN_DRAG_PX;
    button.style.pointerEvents = "none"; // finds the element below the button
    const target = document.elementFromPoint(event.clientX, event.clientY);
    button.style.pointerEvents = "";
    button.style.translate = "";
    button.classList.remove("dragged");
    if (isDrag && event.type !== "pointercancel") dropped(target);
  };
  button.addEventListener("pointermove", move);
  button.addEventListener("pointerup", end, { once: true });
  button.addEventListener("pointercancel", end, { once: true });
}
