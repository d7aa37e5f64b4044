/**
 * Answers that the server does not take.  They stay on this machine, of whichever campaign, until one is taken after all or thrown away on
 * purpose; here they can be read, copied, sent again and discarded.
 */

import { makeApi, Refused, Unreachable } from "./api.js";
import { count, h, keycap } from "./html.js";

/** @typedef {import("./types.js").Sent} Sent */

const WHAT = { judgement: "Answer", skip: "Skip", flag: "Flag" };

export class Refusals {
  /**
   * @param {import("./store.js").Store} store
   * @param {{rater: string, csrf: string}} owner
   * @param {{changed: (num: number) => void, taken?: (sent: Sent) => void, open?: (sent: Sent) => void, slug?: string}} tell
   *   `open` puts the task of an answer in this campaign (`slug`) on the screen again
   */
  constructor(store, owner, tell) {
    this.store = store;
    this.owner = owner;
    this.tell = tell;
  }

  /** @returns {Promise<Sent[]>} the oldest first */
  async all() {
    const kept = /** @type {Sent[]} */ (await this.store.all("outbox"));
    return kept.filter((sent) => sent.rater === this.owner.rater && sent.refused).sort((a, b) => a.at - b.at);
  }

  async load() {
    this.tell.changed((await this.all()).length);
  }

  /** The same task was answered anew.  @param {Sent} sent */
  async settled(sent) {
    for (const one of await this.all()) if (one.token === sent.token && one.what === sent.what) await this.store.remove("outbox", one.key);
    await this.load();
  }

  async show() {
    if (document.querySelector("dialog[open]")) return;
    const rows = (await this.all()).map((sent) => this.#row(sent));
    const said = h("p.small", { role: "status" });
    const list = h("div.stack", null, ...rows);
    const dialog = h(
      "dialog.dialog.wide",
      { "aria-label": "Not taken" },
      h("header", null, h("h2", null, "Not taken"), h("button.button.quiet.small", { type: "button", onclick: () => dialog.close() }, "Close", keycap("Esc"))),
      h("div.stack", null, h("p.muted", null, "The studio refused these. They are kept on this machine until one is taken after all, or you discard it."), said, list),
    );
    list.addEventListener("gone", (/** @type {CustomEvent} */ event) => {
      const next = event.target.nextElementSibling ?? event.target.previousElementSibling;
      event.target.remove();
      said.textContent = event.detail;
      void this.load();
      if (next) next.querySelector("textarea").focus();
      else dialog.close();
    });
    list.addEventListener("said", (/** @type {CustomEvent} */ event) => (said.textContent = event.detail));
    list.addEventListener("leave", () => dialog.close());
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
    rows[0]?.querySelector("textarea").focus();
  }

  /** @param {Sent} sent */
  #row(sent) {
    const title = `${WHAT[sent.what]} to item ${sent.item}`;
    const why = h("p.notice.fault", null, sent.refused);
    const text = h("textarea.control", { readonly: true, rows: "4", dir: "auto", "aria-label": `${title}, what you wrote`, value: written(sent) });
    const tell = (/** @type {string} */ kind, /** @type {string} */ detail) => node.dispatchEvent(new CustomEvent(kind, { bubbles: true, detail }));

    const copy = async () => {
      text.select(); // without https there is no clipboard; the text is marked instead
      await navigator.clipboard?.writeText(text.value).then(() => tell("said", "Copied."), () => undefined);
    };
    const again = async () => {
      const { refused: _, ...clean } = sent;
      try {
        await makeApi({ slug: sent.slug, csrf: this.owner.csrf }).send(clean);
      } catch (error) {
        if (error instanceof Refused) why.textContent = error.status === 401 ? "You are logged out; log in and try again." : error.message;
        return tell("said", error instanceof Unreachable ? "No connection; try again later." : "Still not taken.");
      }
      await this.store.remove("outbox", sent.key);
      this.tell.taken?.(sent);
      tell("gone", "Taken.");
    };
    const discard = async () => {
      if (away.dataset.sure === undefined) {
        away.dataset.sure = "";
        away.textContent = "Discard for good";
        return tell("said", "Press again to discard it for good.");
      }
      await this.store.remove("outbox", sent.key);
      tell("gone", "Discarded.");
    };
    const unsure = () => {
      delete away.dataset.sure;
      away.textContent = "Discard";
    };
    const away = h("button.button.small.danger", { type: "button", onclick: discard, onblur: unsure }, "Discard");
    const open = this.tell.open && sent.what === "judgement" && sent.slug === this.tell.slug;
    const node = h(
      "article.card.stack.tight.refusal",
      { "aria-label": title },
      h("div.row.spread", null, h("h3", null, title), h("span.muted.small", null, `${sent.slug}, ${new Date(sent.at).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" })}`)),
      why,
      text,
      h(
        "div.row",
        null,
        h("button.button.small.primary", { type: "button", onclick: again }, "Try again"),
        open && h("button.button.small", { type: "button", onclick: () => (tell("leave", ""), this.tell.open?.(sent)) }, "Open the task"),
        h("button.button.small", { type: "button", onclick: copy }, "Copy"),
        away,
      ),
    );
    return node;
  }
}

/** Everything that somebody chose and typed.  @param {Sent} sent */
export function written({ said, body, draft }) {
  const { text, edit, ...value } = body.value ?? draft?.value ?? {};
  const rest = Object.entries(value).map(([name, one]) => `${name}: ${typeof one === "string" ? one : JSON.stringify(one)}`);
  const reasons = [...(body.reasons ?? []), body.reason].filter(Boolean);
  return [said, text, edit?.text, ...rest, reasons.join(", "), body.note ?? draft?.note].filter(Boolean).join("\n\n");
}

/** @param {number} num */
export const notTaken = (num) => count(num, "answer was not taken", "answers were not taken");
