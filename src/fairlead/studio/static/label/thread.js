/** A conversation of several turns, of which any answer can be judged by itself. */

import { count, h } from "./html.js";
import { digits, pointSteps, Steps } from "./scales.js";
import { turn } from "./panes.js";

/** @param {import("./types.js").Task} task @param {import("./types.js").Context} context @returns {import("./types.js").View} */
export function conversation(task, context) {
  const { points } = task.options;
  const simple = points === 2;
  const summary = h("p.ask");
  let active = 0;
  const judged = task.prompt.flatMap((message, place) => {
    if (message.role !== "assistant") return [];
    const number = task.prompt.slice(0, place + 1).filter((one) => one.role === "assistant").length;
    const steps = new Steps({
      label: `Answer ${number}`,
      steps: simple ? [{ value: "2", text: "Good" }, { value: "1", text: "Bad" }] : pointSteps(points, context, false),
      changed: () => (draw(), context.changed()),
    });
    return [{ place, number, steps }];
  });
  const nodes = task.prompt.map((message, place) => {
    const node = turn(message, "li");
    node.dataset.pane = `turn-${place}`;
    const here = judged.findIndex((one) => one.place === place);
    if (here >= 0) {
      node.append(judged[here].steps.node);
      node.addEventListener("focusin", () => go(here, false));
    }
    return node;
  });

  /** @param {number} n @param {boolean} [scroll] */
  function go(n, scroll = true) {
    active = Math.max(0, Math.min(judged.length - 1, n));
    judged.forEach((one, at) => nodes[one.place].classList.toggle("active", at === active));
    if (scroll && judged.length) nodes[judged[active].place].scrollIntoView({ block: "nearest" });
  }

  function draw() {
    const done = judged.filter((one) => one.steps.value).length;
    summary.textContent = `${done} of ${count(judged.length, "answer")} judged`;
  }

  const choose = (/** @type {string} */ value) => {
    const one = judged[active];
    if (!one) return;
    one.steps.choose(simple ? { 1: "2", 2: "1" }[value] ?? value : value);
    context.announce(`Answer ${one.number}: ${one.steps.say}`);
    const next = judged.findIndex((other, n) => n > active && !other.steps.value);
    if (next >= 0) go(next);
  };
  go(0, false);
  draw();
  return {
    stage: [h("ol.thread", { "aria-label": "Conversation" }, ...nodes)],
    dock: [h("div.question", null, summary)],
    read: () => {
      const verdict = (/** @type {string} */ value) => (simple ? { label: value === "2" } : { score: Number(value) });
      return { turns: Object.fromEntries(judged.filter((one) => one.steps.value).map((one) => [String(one.place), verdict(one.steps.value)])) };
    },
    write: (value) => {
      for (const one of judged) {
        const verdict = value.turns?.[String(one.place)];
        one.steps.value = verdict ? String(verdict.score ?? (verdict.label ? 2 : 1)) : "";
      }
      go(Math.max(0, judged.findIndex((one) => !one.steps.value)), false);
      draw();
    },
    missing: () => (judged.some((one) => one.steps.value) ? "" : "Judge at least one answer"),
    say: () => `${count(judged.filter((one) => one.steps.value).length, "answer")} judged`,
    actions: {
      ...digits(points, choose),
      up: () => go(active - 1),
      down: () => go(active + 1),
      less: () => judged[active]?.steps.move(-1),
      more: () => judged[active]?.steps.move(1),
    },
  };
}
