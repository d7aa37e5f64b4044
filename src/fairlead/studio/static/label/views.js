/** The view for each task kind. */

import { chat } from "./chat.js";
import { conversation } from "./conversation.js";
import { pairwise } from "./pairwise.js";
import { ranking } from "./ranking.js";
import { aspects, rating, thumbs } from "./rating.js";
import { demonstration, edit } from "./writing.js";

/** @typedef {import("./types.js").Task} Task */
/** @typedef {import("./types.js").Context} Context */

/** @type {Record<string, (task: Task, context: Context) => import("./types.js").View>} */
export const views = { pairwise, ranking, rating, thumbs, aspects, demonstration, edit, conversation, chat };
