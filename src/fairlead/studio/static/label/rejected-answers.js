/**
 * Answers that the server rejected.
 *
 * They stay in this browser, for every campaign, until the server accepts them or the rater discards them.
 * The dialog shows, copies, resends and discards them.
 */

import { createApi, Refused } from "./api.js";
import { openDialog } from "./dialogs.js";
import { count, h } from "./html.js";

/** @typedef {import("./types.js").Submission} Submission */
/** @typedef {{rater: string, csrf: string}} Owner */

/**
 * @typedef {Object} Listener
 * @property {(number: number) => void} changed           the number of rejected answers
 * @property {(submission: Submission) => void} [accepted]  the server accepted an answer after all
 * @property {(submission: Submission) => void} [open]    puts the task of an answer back on the screen
 * @property {string} [slug]                              the campaign whose tasks `open` can show
 */

const KIND_LABELS = { judgement: "Answer", skip: "Skip", flag: "Flag" };

/** @param {number} number */
export const countRejected = (number) => count(number, "answer was rejected", "answers were rejected");

export class RejectedAnswers {
  /** @param {import("./store.js").Store} store @param {Owner} owner @param {Listener} listener */
  constructor(store, owner, listener) {
    this.store = store;
    this.owner = owner;
    this.listener = listener;
  }

  async updateCount() {
    this.listener.changed((await this.#all()).length);
  }

  /**
   * Drops earlier rejected answers to a task that has been answered again.
   * @param {Submission} submission
   */
  async removeReplaced(submission) {
    const { token, what } = submission;
    for (const rejected of await this.#all()) {
      if (rejected.token === token && rejected.what === what) await this.store.remove("outbox", rejected.key);
    }
    await this.updateCount();
  }

  async openDialog() {
    if (document.querySelector("dialog[open]")) return;
    const message = h("p.small", { role: "status" });
    const list = h("div.stack");
    const help =
      "The server rejected these answers. They stay in this browser until you resend or discard them.";
    for (const submission of await this.#all()) {
      const card = new RejectedAnswer(submission, this.store, this.owner, this.listener, {
        say: (text) => (message.textContent = text),
        close: () => dialog.close(),
        remove: (text) => {
          const next = card.node.nextElementSibling ?? card.node.previousElementSibling;
          card.node.remove();
          message.textContent = text;
          void this.updateCount();
          if (next) next.querySelector("textarea").focus();
          else dialog.close();
        },
      });
      list.append(card.node);
    }
    const content = h("div.stack", null, h("p.muted", null, help), message, list);
    const dialog = openDialog({ title: "Rejected answers", isWide: true }, content);
    list.querySelector("textarea")?.focus();
  }

  /** @returns {Promise<Submission[]>} oldest first */
  async #all() {
    const stored = /** @type {Submission[]} */ (await this.store.all("outbox"));
    const rejected = stored.filter(({ rater, refused }) => rater === this.owner.rater && refused);
    return rejected.sort((a, b) => a.at - b.at);
  }
}

/** The card of one rejected answer. */
class RejectedAnswer {
  /**
   * @param {Submission} submission
   * @param {import("./store.js").Store} store
   * @param {Owner} owner
   * @param {Listener} listener
   * @param {{say: (text: string) => void, close: () => void, remove: (text: string) => void}} dialog
   */
  constructor(submission, store, owner, listener, dialog) {
    this.submission = submission;
    this.store = store;
    this.owner = owner;
    this.listener = listener;
    this.dialog = dialog;
    const title = `${KIND_LABELS[submission.what]} to item ${submission.item}`;
    this.reason = h("p.notice.fault", null, submission.refused);
    this.text = h("textarea.control", {
      readonly: true,
      rows: "4",
      dir: "auto",
      "aria-label": `${title}, your text`,
      value: contentOf(submission),
    });
    this.discardButton = h(
      "button.button.small.danger",
      { type: "button", onclick: () => this.#discard(), onblur: () => this.#resetDiscard() },
      "Discard",
    );
    this.node = h(
      "article.card.stack.tight.refusal",
      { "aria-label": title },
      h("div.row.spread", null, h("h3", null, title), h("span.muted.small", null, originOf(submission))),
      this.reason,
      this.text,
      this.#buttons(),
    );
  }

  #buttons() {
    const { what, slug } = this.submission;
    const canOpen = this.listener.open && what === "judgement" && slug === this.listener.slug;
    const open = () => {
      this.dialog.close();
      this.listener.open?.(this.submission);
    };
    return h(
      "div.row",
      null,
      h("button.button.small.primary", { type: "button", onclick: () => this.#resend() }, "Try again"),
      canOpen && h("button.button.small", { type: "button", onclick: open }, "Open the task"),
      h("button.button.small", { type: "button", onclick: () => this.#copy() }, "Copy"),
      this.discardButton,
    );
  }

  async #resend() {
    const { refused: _, ...clean } = this.submission;
    try {
      await createApi({ slug: clean.slug, csrf: this.owner.csrf }).send(clean);
    } catch (error) {
      const isRefused = error instanceof Refused;
      if (isRefused) this.reason.textContent = problemText(error);
      this.dialog.say(isRefused ? "Rejected again." : problemText(error));
      return;
    }
    await this.store.remove("outbox", this.submission.key);
    this.listener.accepted?.(this.submission);
    this.dialog.remove("Accepted.");
  }

  async #copy() {
    this.text.select(); // without https there is no clipboard; the rater can copy the selection
    if (!navigator.clipboard) return;
    try {
      await navigator.clipboard.writeText(this.text.value);
      this.dialog.say("Copied.");
    } catch {
      // copying was denied; the text stays selected
    }
  }

  /** The first press asks for confirmation. */
  async #discard() {
    if (this.discardButton.dataset.sure === undefined) {
      this.discardButton.dataset.sure = "";
      this.discardButton.textContent = "Discard permanently";
      this.dialog.say("Press again to discard this answer permanently.");
      return;
    }
    await this.store.remove("outbox", this.submission.key);
    this.dialog.remove("Discarded.");
  }

  #resetDiscard() {
    delete this.discardButton.dataset.sure;
    this.discardButton.textContent = "Discard";
  }
}

/** Why an answer was not sent.  @param {unknown} error */
export function problemText(error) {
  if (!(error instanceof Refused)) return "No connection. Try again later.";
  return error.status === 401 ? "You are logged out. Log in and try again." : error.message;
}

/** The campaign and the time of an answer, as text.  @param {{slug: string, at: number}} submission */
export function originOf({ slug, at }) {
  const format = /** @type {const} */ ({ dateStyle: "medium", timeStyle: "short" });
  return `${slug}, ${new Date(at).toLocaleString("en-GB", format)}`;
}

/**
 * Everything the rater selected and typed, as text.
 * @param {{summary?: string, body: any, draft?: any}} submission
 */
export function contentOf({ summary, body, draft }) {
  const { text, edit, ...value } = body.value ?? draft?.value ?? {};
  const fields = Object.entries(value).map(([name, content]) => {
    return `${name}: ${typeof content === "string" ? content : JSON.stringify(content)}`;
  });
  const reasons = [...(body.reasons ?? []), body.reason].filter(Boolean).join(", ");
  const note = body.note ?? draft?.note;
  return [summary, text, edit?.text, ...fields, reasons, note].filter(Boolean).join("\n\n");
}
