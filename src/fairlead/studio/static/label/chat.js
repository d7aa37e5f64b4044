/**
 * The view for a live chat: the rater writes a message, two answers stream in side by side, the rater
 * chooses the better one, and the conversation continues from it.
 */

import { Refused } from "./api.js";
import { ChoiceSaver } from "./choice-saver.js";
import { count, h } from "./html.js";
import { preferenceNames, preferenceScale, preferredLetter } from "./pairwise.js";
import { MessageView } from "./messages.js";
import { numberedActions } from "./radio-row.js";
import { isComposing } from "./shortcuts.js";
import { StreamingAnswer } from "./streaming-answer.js";

const LETTERS = ["A", "B"];
const RECONNECT_MS = 2000;

/**
 * @typedef {Object} Turn  the last turn, whose choice can still change
 * @property {number} n
 * @property {number|null} choice
 * @property {number|null} savedChoice  the choice that the server has
 * @property {StreamingAnswer[]} answers
 */

/**
 * @param {import("./types.js").Task} task
 * @param {import("./types.js").Context} context
 * @returns {import("./types.js").View}
 */
export function chat(task, context) {
  const { api } = context;
  const disposal = new AbortController();
  let stream = new AbortController(); // the only open stream
  /** @type {Turn|null} */
  let turn = null;
  let numTurns = 0;
  let numFinished = 0; // turns before the last
  let maxTurns = 0;
  let isSending = false;
  let sendWhenSaved = false; // send the message as soon as the choice is saved
  let suggestion = ""; // first message suggested by the item
  let showsSource = false;

  const isLastUserMessage = (/** @type {number} */ n) =>
    n === task.prompt.length - 1 && task.prompt[n].role === "user";
  // the last becomes the suggestion
  const promptMessages = task.prompt.filter((_, n) => !isLastUserMessage(n));
  /** @type {MessageView[]} the conversation above the last turn */
  const shownMessages = [];
  const thread = h("ol.thread", { "aria-label": "Conversation" });
  for (const message of promptMessages) appendMessage(message, false);
  const pair = h("div.panes.two", { hidden: true });
  const area = h("textarea.control", {
    rows: "3",
    dir: "auto",
    "aria-label": "Your message",
    placeholder: "Message both assistants",
  });
  const hint = h("p.small.muted", { role: "status" });
  const onclick = () => void sendMessage();
  const sendButton = h("button.button.primary", { type: "button", onclick }, "Send");
  const composerFoot = h("div.row", null, hint, h("span.spring"), sendButton);
  const composer = h("section.composer", { "data-pane": "editor" }, area, composerFoot);
  const scale = preferenceScale(context, (value) => choose(Number(value)));
  scale.node.hidden = true;

  const choices = new ChoiceSaver((choice) => api.choose(task.token, choice), {
    delivered: (choice) => {
      if (turn) turn.savedChoice = choice;
    },
    settled: (problem) => {
      if (turn) turn.choice = turn.savedChoice;
      draw();
      if (problem) {
        hint.textContent = problem;
        sendWhenSaved = false;
      }
      context.changed();
    },
    idle: () => {
      if (sendWhenSaved && !disposal.signal.aborted) void sendMessage();
    },
  });

  area.addEventListener("input", () => {
    sendWhenSaved = false;
    draw();
    context.changed();
  });
  area.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Enter" || event.shiftKey || isComposing(event)) return;
    event.preventDefault();
    void sendMessage();
  });

  const isSuggestion = () => numTurns === 0 && area.value === suggestion;
  const ownText = () => (isSuggestion() ? "" : area.value);

  /** Why the next message cannot be sent; "" if it can. */
  function obstacle() {
    if (isSending) return "Sending";
    if (!turn) return "";
    if (!turn.choice) return "Choose the better answer to continue";
    if (choices.unsent) return "Saving your choice";
    if (numTurns >= maxTurns) return "This is the last turn. Submit your judgement.";
    return incompleteAnswer();
  }

  /** Whether an answer from which the conversation may continue is incomplete, as a text. */
  function incompleteAnswer() {
    const preferred = preferredLetter(turn?.choice);
    const candidates = preferred ? [preferred] : LETTERS; // after a tie, the server continues from either
    const isIncomplete = (/** @type {StreamingAnswer} */ { letter, isComplete }) =>
      candidates.includes(letter) && !isComplete;
    return turn?.answers.some(isIncomplete) ? "The chosen answer is still being written" : "";
  }

  function draw() {
    const reason = obstacle();
    const showsSuggestion = suggestion && isSuggestion();
    hint.textContent = reason || (showsSuggestion ? "Suggested message. Edit it as you like." : "");
    sendButton.disabled = reason !== "" || !area.value.trim();
    pair.hidden = turn === null;
    scale.node.hidden = turn === null;
    scale.value = turn?.choice ? String(turn.choice) : "";
    const preferred = preferredLetter(turn?.choice);
    for (const { node, letter } of turn?.answers ?? []) node.classList.toggle("ahead", letter === preferred);
  }

  /** @param {any} message @param {boolean} isFormatted */
  function appendMessage(message, isFormatted) {
    const view = new MessageView(message, { tag: "li", isFormatted });
    view.showSource(showsSource);
    shownMessages.push(view);
    thread.append(view.node);
  }

  /** @param {any} message */
  const appendUserMessage = (message) => appendMessage({ role: "user", ...message }, false);

  /**
   * Appends the answer from which the conversation continues.
   * @param {any} turnData  a turn as the server sends it
   */
  function appendChosenAnswer(turnData) {
    const chosen = turnData.answers.find((/** @type {any} */ entry) => entry.letter === turnData.continues);
    if (chosen?.answer) appendMessage({ role: "assistant", ...chosen.answer }, true);
  }

  /** Opens the last turn.  @param {any} turnData  a turn as the server sends it */
  function openTurn(turnData) {
    appendUserMessage(turnData.message);
    const { n, choice } = turnData;
    const answers = LETTERS.map((letter) => new StreamingAnswer(letter, () => void streamAnswers(opened)));
    const opened = { n, choice, savedChoice: choice, answers };
    turnData.answers.forEach((/** @type {any} */ entry, /** @type {number} */ position) => {
      if (entry.answer) answers[position].finish({ ...entry.answer, cut: entry.cut });
    });
    turn = opened;
    showsSource = false;
    for (const view of shownMessages) view.showSource(false);
    pair.replaceChildren(...answers.map((answer) => answer.node));
    if (answers.some((answer) => !answer.isComplete)) void streamAnswers(opened);
  }

  /**
   * Receives the answers until both are complete; reconnects after a lost connection.
   * @param {Turn} target
   */
  async function streamAnswers(target) {
    stream.abort();
    stream = new AbortController();
    const { signal } = stream;
    while (!signal.aborted && !disposal.signal.aborted) {
      target.answers.forEach((answer) => answer.restart());
      try {
        await api.streamTurn(task.token, target.n, (event) => receive(target, event), signal);
        return;
      } catch (error) {
        if (error instanceof Refused) {
          target.answers.forEach((answer) => answer.isComplete || answer.fail());
          return;
        }
        await new Promise((resolve) => setTimeout(resolve, RECONNECT_MS));
      }
    }
  }

  /** @param {Turn} target @param {any} event  an event of the stream */
  function receive(target, event) {
    const answer = target.answers[LETTERS.indexOf(event.letter)];
    if (!answer) return;
    if (event.more) {
      answer.append(event.more);
      return;
    }
    if (event.failed) {
      answer.fail();
    } else if (!answer.isComplete) {
      answer.finish(event);
      context.announce(`Answer ${answer.letter} is complete`);
    }
    draw();
    context.changed();
  }

  async function sendMessage() {
    const message = area.value;
    const isEmpty = !message.trim();
    sendWhenSaved = turn !== null && choices.unsent !== undefined && !isEmpty;
    if (sendButton.disabled || isEmpty) return;
    let problem = "";
    isSending = true;
    draw();
    try {
      const previous = turn && (await api.chat(task.token)).turns[numTurns - 1];
      const started = await api.startTurn(task.token, numTurns, message);
      if (previous) {
        appendChosenAnswer(previous);
        numFinished += 1;
      }
      numTurns += 1;
      if (area.value === message) area.value = "";
      openTurn(started);
      context.changed();
      area.blur(); // digits choose an answer again
    } catch (error) {
      problem = sendProblem(error);
    }
    isSending = false;
    draw();
    if (problem) hint.textContent = problem;
  }

  /** @param {unknown} error */
  function sendProblem(error) {
    if (!(error instanceof Refused)) return "Not sent: no connection. Try again.";
    return error.status === 409 ? `${error.message} Reload the page.` : error.message;
  }

  /** @param {number} choice */
  function choose(choice) {
    if (!turn) return;
    const seen = Object.fromEntries(turn.answers.map((answer) => [answer.letter, answer.text.length]));
    turn.choice = choice;
    choices.unsent = { n: turn.n, choice, seen };
    draw();
    context.changed();
    context.announce(scale.valueName);
    choices.save(choices.unsent);
  }

  /** Sends a choice from the draft that did not reach the server before the page closed. */
  function resumeUnsentChoice() {
    const { unsent } = choices;
    if (turn && unsent?.n === turn.n && unsent.choice !== turn.choice) {
      turn.choice = unsent.choice;
      choices.save(unsent);
    } else {
      choices.unsent = undefined;
    }
  }

  async function load() {
    const conversation = await api.chat(task.token);
    if (disposal.signal.aborted) return;
    const { turns } = conversation;
    maxTurns = conversation.most_turns;
    numTurns = turns.length;
    numFinished = Math.max(0, numTurns - 1);
    for (const finished of turns.slice(0, -1)) {
      appendUserMessage(finished.message);
      appendChosenAnswer(finished);
    }
    if (numTurns) openTurn(turns[numTurns - 1]);
    resumeUnsentChoice();
    suggestion = conversation.opening;
    if (!numTurns && !area.value) area.value = suggestion;
    draw();
    context.changed();
  }

  load().catch((error) => {
    hint.textContent = `The conversation could not be loaded: ${error.message} Reload the page.`;
  });
  draw();

  return {
    content: [h("section.talk", { "aria-label": "Conversation" }, thread, pair, composer)],
    controls: [scale.node],
    read: () => ({
      ...(ownText().trim() && { message: ownText() }),
      ...(choices.unsent && { choice: choices.unsent }),
    }),
    write: (value) => {
      if (value.message) area.value = value.message;
      choices.unsent = value.choice;
    },
    missing: () => {
      if (!numTurns) return "Send a message";
      if (!numFinished && !turn?.choice) return "Choose the better answer";
      if (!numFinished && incompleteAnswer()) return incompleteAnswer();
      return area.value.trim() ? "Send or clear your message" : "";
    },
    summary: () => `${numFinished + (turn?.choice ? 1 : 0)} of ${count(numTurns, "turn")} judged`,
    actionNames: { edit: "Write the next message", ...preferenceNames },
    typedLength: () => ownText().length,
    takeUnsentChoice: () => choices.takeUnsent(),
    firstField: area,
    dispose: () => {
      disposal.abort();
      stream.abort();
    },
    actions: {
      ...numberedActions(Object.keys(preferenceNames).length, (value) => turn && scale.select(value)),
      less: () => turn && scale.move(-1),
      more: () => turn && scale.move(1),
      edit: () => area.focus(),
      raw: () => {
        showsSource = !showsSource;
        for (const view of shownMessages) view.showSource(showsSource);
        turn?.answers.forEach((answer) => answer.show(showsSource));
        context.announce(showsSource ? "As written" : "Formatted");
      },
    },
  };
}
