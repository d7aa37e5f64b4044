/** The button "Drafts": lists unsent drafts of earlier tasks and reopens one. */

import { chooseRow } from "./dialogs.js";
import { byId } from "./page.js";

/** How an assignment ended -> label in the list.  @type {Record<string, string>} */
const ENDINGS = { skipped: "skipped", expired: "expired", released: "released", judged: "submitted before" };

/** @typedef {{token: string, how: string|null, excerpt: string}} ListedDraft */

export class DraftList {
  /**
   * @param {{drafts: () => Promise<{drafts: ListedDraft[]}>}} api
   * @param {{currentToken: () => string|undefined, open: (token: string) => void}} screen
   */
  constructor(api, screen) {
    this.api = api;
    this.screen = screen;
    this.button = byId("open-drafts");
    this.button.onclick = () => void this.#choose();
  }

  /** Shows the number of drafts on the button. */
  async update() {
    const drafts = await this.#fetch().catch(() => null);
    if (drafts === null) return;
    this.button.hidden = drafts.length === 0;
    byId("drafts-badge").textContent = String(drafts.length);
  }

  async #choose() {
    const drafts = await this.#fetch().catch(() => []);
    const rows = drafts.map(({ excerpt, how, token }) => {
      return { text: excerpt, note: ENDINGS[how ?? ""] ?? how, value: token };
    });
    const description = "Text you wrote but did not submit. Select a draft to continue.";
    const token = await chooseRow("Drafts", description, rows);
    if (token) this.screen.open(token);
  }

  /** Drafts of tasks that are no longer open and not on the screen. */
  async #fetch() {
    const { drafts } = await this.api.drafts();
    const current = this.screen.currentToken();
    return drafts.filter((draft) => draft.how !== null && draft.excerpt !== "" && draft.token !== current);
  }
}
