/** The view for a conversation: each answer of the assistant can be judged by itself. */

import { count, h } from "./html.js";
import { MessageView } from "./messages.js";
import { numberedActions, pointOptions, RadioRow } from "./radio-row.js";

const GOOD = "2";
const BAD = "1";

/**
 * @param {import("./types.js").Task} task
 * @param {import("./types.js").Context} context
 * @returns {import("./types.js").View}
 */
export function conversation(task, context) {
  const { points } = task.options;
  const isThumbs = points === 2;
  const progress = h("p.ask");
  let active = 0;

  const views = task.prompt.map(
    (message) => new MessageView(message, { tag: "li", isFormatted: message.role === "assistant" }),
  );
  const nodes = views.map(({ node }, index) => {
    node.dataset.pane = `turn-${index}`;
    return node;
  });
  let showsSource = false;

  /** @type {{index: number, number: number, row: RadioRow}[]} the messages of the assistant */
  const turns = [];
  task.prompt.forEach((message, index) => {
    if (message.role === "assistant") turns.push(createTurn(index, turns.length));
  });

  /** @param {number} index  of the message @param {number} n  of the turn */
  function createTurn(index, n) {
    const row = new RadioRow({
      label: `Answer ${n + 1}`,
      options: isThumbs
        ? [{ value: GOOD, text: "Good" }, { value: BAD, text: "Bad" }]
        : pointOptions(points, context, false),
      changed: () => {
        drawProgress();
        context.changed();
      },
    });
    nodes[index].append(row.node);
    nodes[index].addEventListener("focusin", () => activate(n, false));
    return { index, number: n + 1, row };
  }

  /** @param {number} n @param {boolean} [scroll] */
  function activate(n, scroll = true) {
    active = Math.max(0, Math.min(turns.length - 1, n));
    turns.forEach((turn, position) => nodes[turn.index].classList.toggle("active", position === active));
    if (scroll && turns.length) nodes[turns[active].index].scrollIntoView({ block: "nearest" });
  }

  const judgedTurns = () => turns.filter((turn) => turn.row.value);

  function drawProgress() {
    progress.textContent = `${judgedTurns().length} of ${count(turns.length, "answer")} judged`;
  }

  /** Judges the active turn and moves on to the next without a judgement.  @param {string} key */
  function select(key) {
    const turn = turns[active];
    if (!turn) return;
    const thumbsKeys = /** @type {Record<string, string>} */ ({ 1: GOOD, 2: BAD });
    turn.row.select(isThumbs ? (thumbsKeys[key] ?? key) : key);
    context.announce(`Answer ${turn.number}: ${turn.row.valueName}`);
    const next = turns.findIndex((other, n) => n > active && !other.row.value);
    if (next >= 0) activate(next);
  }

  /** @param {string} value */
  const toVerdict = (value) => (isThumbs ? { label: value === GOOD } : { score: Number(value) });

  /** @param {{score?: number, label?: boolean}} verdict */
  const fromVerdict = (verdict) => String(verdict.score ?? (verdict.label ? GOOD : BAD));

  activate(0, false);
  drawProgress();
  return {
    content: [h("ol.thread", { "aria-label": "Conversation" }, ...nodes)],
    controls: [h("div.question", null, progress)],
    read: () => {
      const verdicts = judgedTurns().map((turn) => [String(turn.index), toVerdict(turn.row.value)]);
      return { turns: Object.fromEntries(verdicts) };
    },
    write: (value) => {
      for (const turn of turns) {
        const verdict = value.turns?.[String(turn.index)];
        turn.row.value = verdict ? fromVerdict(verdict) : "";
      }
      activate(turns.findIndex((turn) => !turn.row.value), false);
      drawProgress();
    },
    missing: () => (judgedTurns().length ? "" : "Judge at least one answer"),
    summary: () => `${count(judgedTurns().length, "answer")} judged`,
    actions: {
      ...numberedActions(points, select),
      up: () => activate(active - 1),
      down: () => activate(active + 1),
      less: () => turns[active]?.row.move(-1),
      more: () => turns[active]?.row.move(1),
      raw: () => {
        showsSource = !showsSource;
        for (const view of views) view.showSource(showsSource);
        context.announce(showsSource ? "As written" : "Formatted");
      },
    },
  };
}
