/** What somebody wrote and did not send: listed, and opened again. */

import { byId } from "./frame.js";
import { chooseRow } from "./menus.js";

const HOW = /** @type {Record<string, string>} */ ({ skipped: "skipped", expired: "lapsed", released: "let go", judged: "sent before" });

export class Parked {
  /**
   * @param {{drafts: () => Promise<{drafts: {token: string, how: string|null, excerpt: string}[]}>}} api
   * @param {{shown: () => string|undefined, open: (token: string) => void}} tell   `shown`: the token of the task on the screen
   */
  constructor(api, tell) {
    this.api = api;
    this.tell = tell;
    this.button = byId("open-drafts");
    this.button.onclick = () => void this.choose();
  }

  async #all() {
    const { drafts } = await this.api.drafts();
    return drafts.filter((draft) => draft.how !== null && draft.excerpt !== "" && draft.token !== this.tell.shown());
  }

  async list() {
    const found = await this.#all().catch(() => null);
    if (found === null) return;
    this.button.hidden = found.length === 0;
    byId("drafts-badge").textContent = String(found.length);
  }

  async choose() {
    const found = await this.#all().catch(() => []);
    const rows = found.map((draft) => ({ text: draft.excerpt, note: HOW[draft.how ?? ""] ?? draft.how, value: draft.token }));
    const token = await chooseRow("Drafts", "What you wrote and did not send. Open one to go on with it.", rows);
    if (token) this.tell.open(token);
  }
}
