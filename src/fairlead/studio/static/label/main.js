/**
 * The labelling screen: fetches tasks, shows one, keeps what is said about it, sends it, shows the next.
 *
 * The next task is here before it is needed, and an answer is on its way before it is acknowledged, so that nobody waits for the network.
 */

import { makeApi, newKey, Refused, Unreachable, waitMs } from "./api.js";
import { Dock } from "./dock.js";
import { Drafts } from "./drafts.js";
import { announce, byId, drawPace, Guide, nothing, Status, toast } from "./frame.js";
import { count, h } from "./html.js";
import { bindings, isTyping, Keys } from "./keys.js";
import { choose, sentence } from "./menus.js";
import { Outbox } from "./outbox.js";
import { Parked } from "./parked.js";
import { notTaken, Refusals } from "./refusals.js";
import { sheet } from "./sheet.js";
import { openStore } from "./store.js";
import { Timing } from "./timing.js";
import { views } from "./views.js";

/** @typedef {import("./types.js").Task} Task */
/** @typedef {import("./types.js").Draft} Draft */
/** @typedef {{task: Task, draft: Draft|null, again?: boolean}} Ready  a task with what was written; `again`: it was judged or parked before */

const AHEAD = 2; // tasks that are here before they are needed
const MOST_HELD = 5; // the server lends no more to one person
const MOST_BACK = 50; // answers that can be taken back one by one
const HEARTBEAT_MS = 60_000;
const POLL_MS = 15_000;
const PARKED = 20; // characters; a skip that would lose as many says where they are

const config = JSON.parse(document.body.dataset.config ?? "{}");
const api = makeApi(config);
const store = await openStore();
const status = new Status();
const timing = new Timing();
const guide = new Guide(api);
const stage = byId("stage");
const marks = bindings(config.preferences);

/** @type {(Ready & {view: import("./types.js").View})|null} */
let current = null;
/** @type {Ready[]} */
let queue = [];
/** @type {{task: Task, draft: Draft}[]} what was said on this page, the last at the end */
let given = [];
/** @type {Set<string>} tokens that need not be shown again */
const finished = new Set();
let mine = { today: 0, total: 0, median_active_ms: null };
let filling = false;
let failures = 0;
let pollTimer = 0;

const drafts = new Drafts(store, api, config, {
  saving: () => ((status.saving = true), status.draw()),
  saved: () => ((status.offline = false), status.saved()),
  failed: (error) => lost(error),
});
// No draft comes after its answer.
const outbox = new Outbox(store, { send: async (sent, leaving) => (leaving || (await drafts.sending), api.send(sent, leaving)) }, config, { changed: sentChanged, arrived, refused, lost });
const parked = new Parked(api, { shown: () => current?.task.token, open: (token) => void openDraft(token) });
const refusals = new Refusals(store, config, {
  slug: config.slug,
  changed: (num) => {
    byId("open-refused").hidden = num === 0;
    byId("refused-badge").textContent = String(num);
  },
  taken: () => void fill(),
  open: (sent) => void openRefused(sent),
});
const dock = new Dock(byId("dock"), marks, {
  changed,
  submit,
  undo: () => void undo(),
  skip: () => void skip(),
  flag: () => void flag(),
});

/** @type {import("./types.js").Context} */
const context = { api, changed, announce, marks, preview: async (text) => (await api.preview(text)).html };

/** @type {Record<string, () => void>} */
const actions = {
  submit,
  undo: () => void undo(),
  skip: () => void skip(),
  flag: () => void flag(),
  guide: () => guide.toggle(),
  note: () => dock.openNote(),
  chips: () => dock.startChips(),
  cannot: () => dock.toggleCannot("judge"),
  unsafe: () => dock.toggleCannot("unsafe"),
  link: () => announce(document.body.classList.toggle("apart") ? "Each answer scrolls alone" : "Answers scroll together"),
  help: () => void help(),
};

/** @param {string} action */
const isPossible = (action) => Boolean(current && (current.view.actions[action] || actions[action])) && (action !== "chips" || dock.hasChips) && (action !== "link" || (current?.task.answers.length ?? 0) > 1);

new Keys(marks, {
  run: (action) => {
    if (!isPossible(action) && action !== "help" && action !== "undo" && action !== "guide") return false;
    (current?.view.actions[action] ?? actions[action])();
    return true;
  },
  own: (key) => dock.chipKey(key) || (current?.view.key?.(key) ?? false),
  leave,
});

// ---------------------------------------------------------------- one task

/** @param {Ready} ready */
function show(ready) {
  current?.view.forget?.();
  const make = views[ready.task.kind];
  const view = make(ready.task, context);
  current = { ...ready, view };
  if (ready.draft) view.write(ready.draft.value.cannot ? {} : ready.draft.value);
  stage.replaceChildren(...view.stage);
  stage.className = `stage kind-${ready.task.kind}`;
  stage.setAttribute("aria-label", `Task ${mine.today + 1} of today`);
  dock.show(view, ready.task, ready.draft);
  guide.heed(/** @type {any} */ (ready.task).guidelines);
  timing.start(ready.draft);
  scrollTo(0, 0);
  if (view.first && !matchMedia("(pointer: coarse)").matches && !ready.again) view.first.focus({ preventScroll: true });
  else stage.focus({ preventScroll: true });
}

/** @returns {Draft} */
function draftNow() {
  const value = dock.cannot ? { cannot: dock.cannot } : (current?.view.read() ?? {});
  return { value, reasons: dock.reasons, note: dock.note, ...timing.read(), at: Date.now() };
}

function changed() {
  if (!current) return;
  dock.update(current.view);
  drafts.save(current.task, draftNow());
}

function submit() {
  if (!current) return;
  const { task, view } = current;
  const missing = dock.cannot ? "" : view.missing();
  if (missing) {
    dock.complain(missing);
    announce(missing);
    return;
  }
  const choice = dock.cannot ? undefined : view.unsent?.();
  const draft = draftNow();
  const said = sentence(dock.cannot ? dock.cannotWords : view.say());
  const { value, reasons, note, active_ms, dwell_ms } = draft;
  finish(task, "judgement", { value, reasons, note, active_ms, dwell_ms, ui: ui(task, view) }, { said, choice });
  given = [...given, { task, draft }].slice(-MOST_BACK);
  mine = { ...mine, today: mine.today + 1, total: mine.total + 1 };
  drawPace(mine, config.preferences.daily_goal);
  advance();
  announce(`${said}, saved.${current ? "" : " Nothing left for now."}`);
  toast(`${said}, saved`, { kind: "good", action: [`Undo`, () => void undo()] });
}

/** The task leaves the screen; what is said of it is kept on this machine until the server has it.
 * @param {Task} task @param {"judgement"|"skip"} what @param {any} body @param {Partial<import("./types.js").Sent>} [more] */
function finish(task, what, body, more = {}) {
  finished.add(task.token);
  drafts.drop(task);
  const sent = { key: newKey(), slug: config.slug, rater: config.rater, token: task.token, item: task.item, what, body, ...more, at: Date.now() };
  void outbox.add(sent).then(() => !more.draft && finished.has(task.token) && drafts.forget(task)); // taken back, it is a draft again
}

/** @param {Task} task @param {import("./types.js").View} view */
function ui(task, view) {
  const dark = config.preferences.theme ? config.preferences.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  return { viewport: [innerWidth, innerHeight], theme: dark ? "dark" : "light", hand: config.preferences.hand ?? "both", render: task.render, ...view.ui?.() };
}

function advance() {
  const next = queue.shift();
  if (next) show(next);
  else clear(h("span.spinner"), h("span.sr", null, "Fetching the next task"));
  void fill();
}

/** @param {...Node} content */
function clear(...content) {
  current?.view.forget?.();
  current = null;
  dock.hide();
  stage.className = "stage";
  stage.replaceChildren(h("div.waiting", null, ...content));
}

async function undo() {
  const back = given.pop();
  if (back) {
    if (outbox.takeBack(back.task.token)) drafts.save(back.task, back.draft);
    return again(back.task, back.draft);
  }
  await outbox.settled(); // what was said before this page came
  try {
    if (outbox.offline) throw new Unreachable("answers wait");
    const task = /** @type {Task} */ (await api.undo());
    if ([current, ...queue].some((ready) => ready?.task.token === task.token)) return void toast("There is nothing more to take back.");
    again(task, task.draft);
  } catch (error) {
    if (error instanceof Refused && !error.session) toast("There is nothing to take back.");
    else lost(error);
    if (error instanceof Unreachable) toast("Taking an earlier answer back needs the connection.");
  }
}

/** A task from before comes back; the one on the screen waits behind it.  @param {Task} task @param {Draft|null} draft */
function again(task, draft) {
  if (current) queue.unshift({ task: current.task, draft: draftNow(), again: current.again });
  finished.delete(task.token);
  queue = queue.filter((ready) => ready.task.token !== task.token);
  show({ task, draft, again: true });
  announce("The last answer, to be changed.");
}

async function skip() {
  if (!current) return;
  const { task, view } = current;
  const chosen = await choose({ title: "Skip this task", about: "Somebody else will get it. Why not you?", reasons: config.skips });
  if (!chosen || current?.task.token !== task.token) return;
  const typed = (view.typed?.() ?? 0) + dock.note.length;
  const draft = draftNow();
  finish(task, "skip", { reason: chosen.reason }, { draft: typed ? draft : undefined });
  advance();
  announce("Skipped.");
  toast(typed > PARKED ? "Skipped. What you wrote is under Drafts." : "Skipped");
}

async function flag() {
  if (!current) return;
  const { task } = current;
  const chosen = await choose({ title: "Flag this task", about: "Those who lead the campaign will look at it. You can still answer.", reasons: config.flags, note: "What is wrong (optional)" });
  if (!chosen) return;
  const body = { reason: chosen.reason, note: chosen.note };
  void outbox.add({ key: newKey(), slug: config.slug, rater: config.rater, token: task.token, item: task.item, what: "flag", body, at: Date.now() });
  announce("Flagged.");
  toast("Flagged. Somebody will look at it.");
}

function leave() {
  if (guide.isOpen && !isTyping(document.activeElement)) return guide.close();
  dock.endChips();
  if (document.activeElement !== stage) stage.focus({ preventScroll: true });
}

async function help() {
  if (document.querySelector("dialog[open]")) return;
  const letters = current?.task.kind === "ranking" || (current?.task.kind === "edit" && current.task.answers.length > 1) ? current.task.answers.map((answer) => answer.letter) : [];
  await sheet({
    preferences: config.preferences,
    names: current?.view.names ?? {},
    relevant: (action) => !current || isPossible(action),
    letters,
    save: (changes) => {
      if ("theme" in changes) changes.theme ? (document.documentElement.dataset.theme = changes.theme) : delete document.documentElement.dataset.theme;
      for (const [action, key] of bindings(config.preferences)) marks.set(action, key);
      api.savePreferences(changes).catch(() => toast("The change holds until you leave this page; the studio could not be reached."));
    },
  });
  if (current) show({ task: current.task, draft: draftNow(), again: current.again }); // with the new keys on it
}

// ---------------------------------------------------------------- the queue

async function fill() {
  if (filling || queue.length >= AHEAD) return;
  filling = true;
  clearTimeout(pollTimer);
  const waiting = outbox.waiting.filter((sent) => sent.what !== "flag").length;
  const known = queue.filter((ready) => !ready.again).length + (current && !current.again ? 1 : 0) + waiting;
  try {
    const handed = await api.next({ count: Math.min(MOST_HELD, known + AHEAD - queue.length + (current ? 0 : 1)), utc_offset_min: -new Date().getTimezoneOffset() });
    status.offline = outbox.offline;
    status.loggedOut = failures = 0;
    mine = { ...handed.mine, today: handed.mine.today + outbox.waiting.filter((sent) => sent.what === "judgement").length };
    drawPace(mine, config.preferences.daily_goal);
    for (const task of /** @type {Task[]} */ (handed.assignments)) {
      if (finished.has(task.token) || task.token === current?.task.token || queue.some((ready) => ready.task.token === task.token)) continue;
      queue.push({ task, draft: await drafts.latest(task) });
    }
    filling = false;
    if (!current) nothingOrNext(handed);
  } catch (error) {
    filling = false;
    lost(error);
    const [title, why] = error instanceof Refused ? ["No tasks", error.message] : ["Offline", "New tasks come with the connection."];
    if (!current) clear(h("h2", null, title), h("p.muted", null, why), h("p.muted", null, "What you said is kept on this machine."));
    if (error instanceof Unreachable) pollTimer = setTimeout(fill, waitMs(++failures));
  }
  status.draw();
}

/** @param {{state: string, paused: boolean}} handed */
function nothingOrNext(handed) {
  const next = queue.shift();
  if (next) {
    show(next);
    void fill();
    return;
  }
  clear(...nothing(handed), h("a.button", { href: "/work" }, "Your work"));
  pollTimer = setTimeout(fill, POLL_MS);
}

/** @param {string} token */
async function openDraft(token) {
  try {
    const task = /** @type {Task} */ (await api.task(token));
    again(task, await drafts.latest(task));
    void parked.list();
  } catch (error) {
    lost(error);
  }
}

/** @param {import("./types.js").Sent} sent */
async function openRefused(sent) {
  try {
    const { value, reasons, note, active_ms, dwell_ms } = sent.body;
    again(/** @type {Task} */ (await api.task(sent.token)), { value, reasons, note, active_ms, dwell_ms, at: sent.at });
  } catch (error) {
    lost(error);
  }
}

// ---------------------------------------------------------------- the connection

function sentChanged() {
  status.waiting = outbox.waiting.length;
  status.offline = outbox.offline;
  status.draw();
}

/** @param {import("./types.js").Sent} sent @param {any} answer */
function arrived(sent, answer) {
  status.saved();
  if (sent.draft) void parked.list();
  if (sent.what !== "flag" && !byId("open-refused").hidden) void refusals.settled(sent);
  if (answer?.late) toast("That task had lapsed. Your answer came late and is kept all the same.");
  if (outbox.waiting.length === 0) void fill();
}

/** @param {import("./types.js").Sent} sent @param {Refused} error */
function refused(sent, error) {
  toast(`${notTaken(1)}: ${error.message} It is kept on this machine.`, { kind: "fault", lasting: true, action: ["Look at it", () => void refusals.show()] });
  void drafts.keep(sent);
  void refusals.load();
}

/** @param {unknown} error */
function lost(error) {
  status.saving = false;
  if (error instanceof Unreachable) status.offline = true;
  else if (error instanceof Refused && error.session) status.out(error.status);
  else toast(error instanceof Error ? error.message : String(error), { kind: "fault" });
  status.draw();
}

setInterval(() => {
  if (timing.idle || outbox.offline) return;
  for (const ready of [current, ...queue]) {
    if (!ready || ready.again) continue;
    api.heartbeat(ready.task.token).catch((error) => {
      if (!(error instanceof Refused) || error.status !== 409) return;
      if (ready.task.token === current?.task.token) return void ((current.again = true), toast("Your hold on this task has lapsed. Your answer is taken all the same."));
      queue = queue.filter((one) => one !== ready);
      void fill();
    });
  }
}, HEARTBEAT_MS);

addEventListener("online", () => void fill());
document.addEventListener("visibilitychange", () => {
  if (document.hidden) void drafts.flush(true);
});
addEventListener("pagehide", () => {
  void drafts.flush(true);
  outbox.leave();
  // Nobody has seen these: others may have them at once.
  for (const ready of queue) if (!ready.again && !ready.draft) void api.release(ready.task.token).catch(() => undefined);
});
addEventListener("pageshow", (event) => event.persisted && location.reload());
byId("open-refused").addEventListener("click", () => void refusals.show());
byId("open-keys").addEventListener("click", () => void help());

status.local = store.lasting;
if (!store.lasting) toast("This browser keeps nothing between visits: what you write is safe only once it says saved.", { lasting: true });
await outbox.load();
for (const sent of outbox.waiting) if (sent.what !== "flag") finished.add(sent.token);
if (outbox.waiting.length) announce(count(outbox.waiting.length, "answer") + " from before on the way.");
await Promise.all([fill(), parked.list(), refusals.load()]);
document.body.dataset.ready = "yes";
