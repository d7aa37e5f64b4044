/**
 * Work that waits in this browser under an earlier account of somebody who has joined again.
 *
 * Several people may use one browser.  So what waits is counted, and shown only to somebody who says that it
 * is theirs and has, or knows, the name of the earlier account; an account with a password has to log in.
 */

import { createApi, newIdempotencyKey, Refused } from "./api.js";
import { openDialog } from "./dialogs.js";
import { draftKey } from "./drafts.js";
import { count, h } from "./html.js";
import { contentOf, originOf, problemText } from "./rejected-answers.js";

/** @typedef {import("./types.js").Submission} Submission */

/**
 * @typedef {Object} Waiting   one task with unsent work
 * @property {string} token
 * @property {string} slug
 * @property {number} item
 * @property {string} rater   the earlier pseudonym
 * @property {number} at
 * @property {Submission[]} submissions   empty for a draft
 * @property {any} [draft]
 * @property {"yours"|"other"|"log_in"} [whose]
 */

/**
 * @typedef {Object} Listener
 * @property {(text: string) => void} changed   what waits, in words; "" for nothing
 * @property {(text: string) => void} taken     what was sent, in words
 */

/** @param {number} number */
const waitText = (number) =>
  `${count(number, "answer of an earlier visit waits", "answers of earlier visits wait")} in this browser.`;

export class LeftBehind {
  /**
   * @param {import("./store.js").Store} store
   * @param {{rater: string, csrf: string}} owner
   * @param {string[]} slugs   campaigns in which the person labels
   * @param {Listener} listener
   */
  constructor(store, owner, slugs, listener) {
    this.store = store;
    this.owner = owner;
    this.slugs = slugs;
    this.listener = listener;
    /** @type {Waiting[]} */
    this.waiting = [];
    this.notMine = `fairlead-not-mine/${owner.rater}`;
  }

  async update() {
    await this.#find("");
    this.listener.changed(this.waiting.length ? waitText(this.waiting.length) : "");
  }

  /** @param {string} name   another name by which the person says that they were known */
  async #find(name) {
    const waiting = await this.#collect();
    const tasksWithOwner = [];
    for (const slug of new Set(waiting.map((task) => task.slug))) {
      const tokens = waiting.filter((task) => task.slug === slug).map((task) => task.token);
      const api = createApi({ slug, csrf: this.owner.csrf });
      const { tasks } = await api.leftBehind(tokens.slice(0, 200), name);
      for (const { token, whose } of tasks) {
        const task = /** @type {Waiting} */ (waiting.find((task) => task.token === token));
        tasksWithOwner.push({ ...task, whose });
      }
    }
    this.waiting = tasksWithOwner.sort((a, b) => a.at - b.at);
  }

  /** Tasks of other pseudonyms in this browser, except those that this person has said are not theirs. */
  async #collect() {
    /** @type {Map<string, Waiting>} */
    const tasks = new Map();
    const notMine = new Set(JSON.parse(localStorage.getItem(this.notMine) ?? "[]"));
    const isForeign = (/** @type {any} */ { rater, slug, token }) =>
      token && rater && rater !== this.owner.rater && this.slugs.includes(slug) && !notMine.has(token);
    for (const submission of /** @type {Submission[]} */ (await this.store.all("outbox"))) {
      if (!isForeign(submission)) continue;
      const { token, slug, item, rater, at } = submission;
      const task = tasks.get(token) ?? { token, slug, item, rater, at, submissions: [] };
      task.submissions.push(submission);
      tasks.set(token, task);
    }
    for (const draft of await this.store.all("drafts")) {
      const { token, slug, item, rater, at, value, reasons, note } = draft;
      const isEmpty = Object.keys(value ?? {}).length === 0 && !reasons?.length && !note;
      if (!isForeign(draft) || isEmpty || tasks.has(token)) continue;
      tasks.set(token, { token, slug, item, rater, at, submissions: [], draft });
    }
    return [...tasks.values()];
  }

  openDialog() {
    if (document.querySelector("dialog[open]")) return;
    const body = h("div.stack");
    this.#ask(body, () => dialog.close());
    const dialog = openDialog({ title: "Answers of an earlier visit", isWide: true }, body);
  }

  /** Asks whether the work is this person's.  @param {HTMLElement} body @param {() => void} close */
  #ask(body, close) {
    const isKnown = this.waiting.some((task) => task.whose === "yours");
    const canTake = this.waiting.some((task) => task.whose !== "log_in");
    const message = h("p.notice.warn", { role: "status", hidden: true });
    const name = h("input.control", { id: "earlier-name", maxlength: "120", autocomplete: "off" });
    const show = async () => {
      message.hidden = true;
      try {
        if (!isKnown) await this.#find(name.value);
        if (this.waiting.some((task) => task.whose === "yours")) this.#show(body, close, name.value);
        else message.textContent = "Nobody of that name left answers here. Check the spelling.";
      } catch (error) {
        message.textContent = problemText(error);
      }
      message.hidden = message.textContent === "";
    };
    const question = isKnown
      ? "Somebody with your name gave them here before, without a password. Was it you?"
      : canTake
        ? "They were given under another name. If they are yours, type the name that you used then."
        : "They belong to an account with a password. Log in to that account, and they are sent.";
    const nameField = h("div.field", null, h("label", { for: name.id }, "Your earlier name"), name);
    const showProps = { type: "button", onclick: show };
    const showButton = h("button.button.primary", showProps, isKnown ? "Yes, show them" : "Show");
    body.replaceChildren(
      h("p", null, waitText(this.waiting.length)),
      h("p.muted", null, question),
      canTake && !isKnown ? nameField : "",
      message,
      h("div.row", null, canTake && showButton, this.#disownButton(close)),
    );
  }

  /** @param {HTMLElement} body @param {() => void} close @param {string} name */
  #show(body, close, name) {
    const mine = this.waiting.filter((task) => task.whose === "yours");
    const message = h("p.small", { role: "status" });
    const send = h("button.button.primary", { type: "button" }, "Send all");
    send.addEventListener("click", async () => {
      send.disabled = true;
      message.textContent = "";
      try {
        await this.#takeAll(mine, name);
        close();
      } catch (error) {
        message.textContent = problemText(error);
      }
      send.disabled = false;
    });
    const help = "Sending gives them to your present account. Drafts open again in the list of drafts.";
    body.replaceChildren(
      h("p.muted", null, help),
      ...mine.map(card),
      message,
      h("div.row", null, send, this.#disownButton(close)),
    );
    send.focus();
  }

  /** @param {() => void} close */
  #disownButton(close) {
    return h("button.button", { type: "button", onclick: () => this.#disown(close) }, "They are not mine");
  }

  /** @param {() => void} close */
  #disown(close) {
    const known = JSON.parse(localStorage.getItem(this.notMine) ?? "[]");
    const tokens = this.waiting.map((task) => task.token);
    localStorage.setItem(this.notMine, JSON.stringify([...known, ...tokens].slice(-1000)));
    close();
    void this.update();
  }

  /** @param {Waiting[]} tasks @param {string} name */
  async #takeAll(tasks, name) {
    let numSent = 0;
    for (const task of tasks) numSent += await this.#take(task, name);
    await this.update();
    const numOther = tasks.length - numSent;
    const others = count(numOther, "other is", "others are");
    const rest = numOther ? ` ${others} in your drafts or rejected answers.` : "";
    this.listener.taken(`${count(numSent, "answer")} sent.${rest}`);
  }

  /**
   * Makes the task this person's and sends its answer; what the server refuses becomes a rejected answer.
   * @param {Waiting} task
   * @param {string} name
   * @returns {Promise<number>} 1 if an answer was sent
   */
  async #take(task, name) {
    const { token, slug, item, draft } = task;
    const { rater } = this.owner;
    const api = createApi({ slug, csrf: this.owner.csrf });
    const refusal = await refusalOf(api.takeOver(token, name));
    if (draft) {
      const { value, reasons, note, active_ms, dwell_ms, at } = draft;
      const body = { value, reasons, note, active_ms, dwell_ms };
      if (refusal) await this.#reject({ slug, token, item, body, at }, refusal);
      else await this.store.put("drafts", draftKey({ rater, slug, item }), { ...draft, rater });
      if (!refusal) await refusalOf(api.saveDraft(token, { ...body, at }, false));
      await this.store.remove("drafts", draftKey(task));
      return 0;
    }
    let isSent = false;
    for (const submission of task.submissions) {
      const { refused: _, ...own } = { ...submission, rater };
      if (!refusal) await this.store.put("outbox", own.key, own); // sent by the next page if this one closes
      const problem = refusal || (await refusalOf(api.send(own)));
      if (problem) await this.store.put("outbox", own.key, { ...own, refused: problem });
      else await this.store.remove("outbox", own.key);
      isSent ||= !problem && own.what !== "flag";
    }
    await this.store.remove("drafts", draftKey(task));
    return Number(isSent);
  }

  /** @param {any} task @param {string} refused */
  #reject(task, refused) {
    const key = newIdempotencyKey();
    const rejected = { ...task, key, rater: this.owner.rater, what: "judgement", refused };
    return this.store.put("outbox", key, rejected);
  }
}

/** Why the server refuses, or "".  @param {Promise<any>} response */
async function refusalOf(response) {
  try {
    await response;
    return "";
  } catch (error) {
    if (error instanceof Refused && !error.isSessionError) return error.message;
    throw error;
  }
}

/** @param {Waiting} task */
function card({ item, slug, at, submissions, draft }) {
  const title = `${draft ? "Draft" : "Answer"} for item ${item}`;
  const texts = draft ? [contentOf({ body: draft })] : submissions.map(contentOf);
  return h(
    "article.card.stack.tight",
    { "aria-label": title },
    h("div.row.spread", null, h("h3", null, title), h("span.muted.small", null, originOf({ slug, at }))),
    h("div.said.written", { dir: "auto" }, texts.join("\n\n")),
  );
}
