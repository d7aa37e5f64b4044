/** Which view shows which kind of task. */

import { chat } from "./chat.js";
import { pairwise } from "./pairwise.js";
import { ranking } from "./ranking.js";
import { aspects, rating, thumbs } from "./scales.js";
import { conversation } from "./thread.js";
import { demonstration, edit } from "./writing.js";

/** @type {Record<string, (task: import("./types.js").Task, context: import("./types.js").Context) => import("./types.js").View>} */
export const views = { pairwise, ranking, rating, thumbs, aspects, demonstration, edit, conversation, chat };
