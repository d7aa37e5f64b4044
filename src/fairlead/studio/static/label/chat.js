/** Live chat: you write, two answers come side by side, you say which is better, and the conversation goes on from it. */

import { h, rendered } from "./html.js";
import { shown } from "./keys.js";
import { SCALE } from "./pairwise.js";
import { turn as said } from "./panes.js";
import { Steps, digits } from "./scales.js";
import { Refused, waitMs } from "./api.js";

const LETTERS = ["A", "B"];
const AGAIN_MS = 2000;

/** One of the two answers of a turn, also while it is being written. */
class Live {
  /** @param {string} letter @param {() => void} again */
  constructor(letter, again) {
    this.letter = letter;
    this.text = "";
    this.done = false;
    this.state = h("span.place.small.muted", null, "writing");
    this.body = h("div.said.raw", { dir: "auto" });
    this.box = h("div.pane-body", { "aria-busy": "true" }, this.body);
    this.node = h("article.pane", { "data-pane": letter, "aria-label": `Answer ${letter}` }, h("header.pane-head", null, h("h2", null, h("span.letter", null, letter)), this.state), this.box);
    this.retry = h("button.button.small", { type: "button", onclick: again }, "Try again");
  }

  /** @param {string} more */
  add(more) {
    this.text += more;
    this.body.append(more);
  }

  begin() {
    if (this.done) return;
    this.text = "";
    this.body = h("div.said.raw", { dir: "auto" });
    this.box.replaceChildren(this.body);
    this.state.textContent = "writing";
  }

  /** @param {{html: string, text: string, dir: string, cut: boolean}} answer */
  end(answer) {
    this.text = answer.text;
    this.done = true;
    this.box.removeAttribute("aria-busy");
    this.body = rendered(answer);
    this.box.replaceChildren(this.body);
    this.state.textContent = answer.cut ? "cut off" : "";
  }

  /** @param {boolean} raw  as it was written */
  look(raw) {
    if (this.done) this.box.replaceChildren(raw ? h("div.said.raw", { dir: "auto" }, this.text) : this.body);
  }

  fail() {
    this.state.textContent = "";
    this.box.replaceChildren(h("p.notice.warn", null, "This answer did not come. ", this.retry));
  }
}

/** @param {import("./types.js").Task} task @param {import("./types.js").Context} context @returns {import("./types.js").View} */
export function chat(task, context) {
  const { api } = context;
  const gone = new AbortController();
  let hearing = new AbortController(); // of the one listener that there is
  /** @type {{n: number, choice: number|null, kept: number|null, lives: Live[]}|null} the last turn, which can still be judged; `kept`: as the server has it */
  let now = null;
  let num = 0; // turns so far
  let judged = 0; // turns before the last
  let most = 0;
  let sending = false;
  let wanted = false; // the message is to be sent once the choice has arrived
  let opening = ""; // what is suggested to begin with
  let raw = false;
  /** @type {import("./types.js").Choice|undefined} what the server does not have yet */
  let unsent;
  let saving = false;

  const thread = h("ol.thread", { "aria-label": "Conversation" }, ...task.prompt.filter((one, n) => one.role !== "user" || n < task.prompt.length - 1).map((one) => said(one, "li")));
  const pair = h("div.panes.two", { hidden: true });
  const area = h("textarea.control", { rows: "3", dir: "auto", "aria-label": "Your message", placeholder: "Write to the two assistants" });
  const hint = h("p.small.muted", { role: "status" });
  const send = h("button.button.primary", { type: "button", onclick: () => void say() }, "Say it");
  const composer = h("section.composer", { "data-pane": "editor" }, area, h("div.row", null, hint, h("span.spring"), send));
  const scale = new Steps({
    label: "Which answer is better?",
    steps: SCALE.map(([value, text, word]) => ({ value, text, say: word, mark: shown(context.marks.get(value) ?? "") })),
    changed: (value) => choose(Number(value)),
  });
  scale.node.classList.add("scale");
  scale.node.hidden = true;
  area.addEventListener("input", () => ((wanted = false), draw(), context.changed()));
  area.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    void say();
  });

  /** What somebody wrote, and not what was suggested. */
  const own = () => (!num && area.value === opening ? "" : area.value);

  /** What stands in the way of the next message; "" when it can be sent. */
  function waits() {
    if (sending) return "Sending";
    if (!now) return "";
    if (!now.choice) return "Choose the better answer; then go on";
    if (unsent) return "Your choice is being saved";
    if (num >= most) return "The conversation has reached its end; send your judgement";
    return unwritten();
  }

  function unwritten() {
    const from = Number(now?.choice) <= 3 ? ["A"] : Number(now?.choice) >= 6 ? ["B"] : LETTERS;
    return now?.lives.some((live) => from.includes(live.letter) && !live.done) ? "The answer that you chose is still being written" : "";
  }

  function draw() {
    const why = waits();
    hint.textContent = why || (opening && !num && area.value === opening ? "A suggestion: change it as you like." : "");
    send.disabled = why !== "" || !area.value.trim();
    pair.hidden = scale.node.hidden = now === null;
    scale.value = now?.choice ? String(now.choice) : "";
    now?.lives.forEach((live) => live.node.classList.toggle("ahead", live.letter === (Number(now?.choice) >= 6 ? "B" : Number(now?.choice) >= 1 && Number(now?.choice) <= 3 ? "A" : "")));
  }

  /** @param {any} one  a turn as the server tells it */
  function begin(one) {
    thread.append(said({ role: "user", ...one.message }, "li"));
    const turn = { n: one.n, choice: one.choice, kept: one.choice, lives: /** @type {Live[]} */ ([]) };
    turn.lives = LETTERS.map((letter) => new Live(letter, () => void listen(turn)));
    one.answers.forEach((/** @type {any} */ given, /** @type {number} */ n) => given.answer && turn.lives[n].end({ ...given.answer, cut: given.cut }));
    now = turn;
    raw = false;
    pair.replaceChildren(...turn.lives.map((live) => live.node));
    if (turn.lives.some((live) => !live.done)) void listen(turn);
  }

  /** The chosen answer becomes part of the conversation.  @param {any} one */
  function fold(one) {
    const given = one.answers.find((/** @type {any} */ answer) => answer.letter === one.continues);
    if (given?.answer) thread.append(said({ role: "assistant", ...given.answer }, "li"));
  }

  /** @param {NonNullable<typeof now>} turn */
  async function listen(turn) {
    hearing.abort();
    hearing = new AbortController();
    const { signal } = hearing;
    while (!signal.aborted && !gone.signal.aborted) {
      turn.lives.forEach((live) => live.begin()); // all that there is of each comes again
      try {
        await api.listen(task.token, turn.n, (heard) => hear(turn, heard), signal);
        return;
      } catch (error) {
        if (error instanceof Refused) return turn.lives.forEach((live) => live.done || live.fail());
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS)); // the connection was lost; the answers go on without it
      }
    }
  }

  /** @param {NonNullable<typeof now>} turn @param {any} heard */
  function hear(turn, heard) {
    const live = turn.lives[LETTERS.indexOf(heard.letter)];
    if (!live) return;
    if (heard.more) live.add(heard.more);
    else if (heard.failed) live.fail();
    else if (!live.done) {
      live.end(heard);
      context.announce(`Answer ${live.letter} is complete`);
    }
    if (heard.more) return;
    draw();
    context.changed();
  }

  async function say() {
    const message = area.value;
    wanted = now !== null && unsent !== undefined && message.trim() !== "";
    if (send.disabled || !message.trim()) return;
    let trouble = "";
    sending = true;
    draw();
    try {
      const before = now && (await api.talk(task.token)).turns[num - 1];
      const one = await api.say(task.token, num, message);
      if (before) {
        fold(before);
        judged += 1;
      }
      num += 1;
      if (area.value === message) area.value = "";
      begin(one);
      context.changed();
      area.blur(); // so that the numbers choose
    } catch (error) {
      trouble = !(error instanceof Refused) ? "Not sent: no connection. Try again." : error.status === 409 ? `${error.message} Load the page again.` : error.message;
    }
    sending = false;
    draw();
    if (trouble) hint.textContent = trouble; // which says itself: it is a status
  }

  /** @param {number} choice */
  function choose(choice) {
    if (!now) return;
    const seen = Object.fromEntries(now.lives.map((live) => [live.letter, live.text.length]));
    now.choice = choice;
    unsent = { n: now.n, choice, seen };
    draw();
    context.changed();
    context.announce(scale.say);
    if (!saving) void save(now);
  }

  /** A choice out of the draft, made before the page was left, that the server never got. */
  function again() {
    if (now && unsent?.n === now.n && unsent.choice !== now.choice) {
      now.choice = unsent.choice;
      void save(now);
    } else unsent = undefined;
  }

  /** One choice after the other, until the server has the last.  @param {NonNullable<typeof now>} turn */
  async function save(turn) {
    saving = true;
    for (let failures = 0; unsent; ) {
      const sent = unsent;
      let why = "";
      try {
        turn.kept = (await api.choose(task.token, sent)).choice;
      } catch (error) {
        if (!(error instanceof Refused) || error.session) {
          failures += 1;
          await new Promise((resolve) => (setTimeout(resolve, waitMs(failures)), addEventListener("online", resolve, { once: true })));
          continue;
        }
        why = error.message;
      }
      if (sent !== unsent) continue;
      unsent = undefined;
      turn.choice = turn.kept;
      draw();
      if (why) hint.textContent = why;
      wanted &&= !why;
      context.changed();
    }
    saving = false;
    if (wanted && !gone.signal.aborted) void say();
  }

  async function load() {
    const talk = await api.talk(task.token);
    if (gone.signal.aborted) return;
    most = talk.most_turns;
    num = talk.turns.length;
    judged = Math.max(0, num - 1);
    for (const one of talk.turns.slice(0, -1)) {
      thread.append(said({ role: "user", ...one.message }, "li"));
      fold(one);
    }
    if (num) begin(talk.turns[num - 1]);
    again();
    opening = talk.opening;
    if (!num && !area.value) area.value = opening;
    draw();
    context.changed();
  }
  load().catch((error) => (hint.textContent = `The conversation could not be fetched: ${error.message} Load the page again.`));
  draw();

  return {
    stage: [h("section.talk", { "aria-label": "Conversation" }, thread, pair, composer)],
    dock: [scale.node],
    read: () => ({ ...(own().trim() && { message: own() }), ...(unsent && { choice: unsent }) }),
    write: (value) => {
      if (value.message) area.value = value.message;
      unsent = value.choice;
    },
    missing: () => {
      if (!num) return "Write something first";
      if (!judged && !now?.choice) return "Choose the better answer first";
      if (!judged && unwritten()) return unwritten();
      return area.value.trim() ? "You have written a message that is not said yet" : "";
    },
    say: () => `${judged + (now?.choice ? 1 : 0)} of ${num} turns judged`,
    names: { edit: "Write the next message", ...Object.fromEntries(SCALE.map(([value, , word]) => [value, word.charAt(0).toUpperCase() + word.slice(1)])) },
    typed: () => own().length,
    unsent: () => {
      const sent = unsent;
      unsent = undefined; // the judgement takes it along
      return sent;
    },
    first: area,
    forget: () => (gone.abort(), hearing.abort()),
    actions: {
      ...digits(8, (value) => now && scale.choose(value)),
      less: () => now && scale.move(-1),
      more: () => now && scale.move(1),
      edit: () => area.focus(),
      raw: () => {
        raw = !raw;
        now?.lives.forEach((live) => live.look(raw));
        context.announce(raw ? "As it was written" : "Rendered");
      },
    },
  };
}
