/**
 * The labelling screen: shows a task, stores its draft, submits the answer and shows the next task.
 *
 * Tasks are fetched ahead and answers are sent in the background: the rater never waits for the network.
 */

import { ActiveTime } from "./active-time.js";
import { AnswerForm } from "./answer-form.js";
import { createApi, newIdempotencyKey, Refused, Unreachable } from "./api.js";
import { chooseReason } from "./dialogs.js";
import { DraftList } from "./draft-list.js";
import { Drafts } from "./drafts.js";
import { GuidelinesPanel } from "./guidelines-panel.js";
import { capitalize, count, h } from "./html.js";
import { Outbox } from "./outbox.js";
import { announce, byId, drawPace, emptyMessage, toast } from "./page.js";
import { countRejected, RejectedAnswers } from "./rejected-answers.js";
import { root } from "../root.js";
import { SaveStatus } from "./save-status.js";
import { openShortcutsDialog } from "./shortcuts-dialog.js";
import { isTyping, keyBindings, Shortcuts } from "./shortcuts.js";
import { openStore } from "./store.js";
import { TaskQueue } from "./task-queue.js";
import { views } from "./views.js";

/** @typedef {import("./types.js").Task} Task */
/** @typedef {import("./types.js").Draft} Draft */
/** @typedef {import("./types.js").Submission} Submission */
/** @typedef {import("./types.js").View} View */
/** @typedef {import("./task-queue.js").QueuedTask} QueuedTask */

const MAX_UNDO = 50;
const HEARTBEAT_MS = 60_000;
const LONG_TEXT = 20; // characters; the notice after a skip says where a longer text is kept

const config = JSON.parse(document.body.dataset.config ?? "{}");
const { preferences } = config;
const api = createApi(config);
const store = await openStore();
const status = new SaveStatus();
const activeTime = new ActiveTime();
const guidelines = new GuidelinesPanel(api);
const stage = byId("stage");
const bindings = keyBindings(preferences);

/** @type {(QueuedTask & {view: View})|null} the task on the screen */
let current = null;
/** @type {{task: Task, draft: Draft, corrects: boolean}[]} judgements made on this page, oldest first */
let history = [];
/** @type {Set<string>} tokens of tasks that were submitted or skipped on this page */
const finished = new Set();
/** @type {Set<string>} tokens of answers that `pace` counts, as far as this page has seen them */
const counted = new Set();
let pace = { today: 0, total: 0, median_active_ms: null };

const drafts = new Drafts(store, api, config, {
  saving: () => {
    status.saving = true;
    status.draw();
  },
  saved: () => {
    status.offline = false;
    status.saved();
  },
  failed: handleError,
});
const outbox = new Outbox(store, { send: sendAfterDraft }, config, {
  changed: drawOutbox,
  delivered: handleDelivered,
  rejected: handleRejected,
  failed: handleError,
});
const queue = new TaskQueue(api, drafts, {
  current: () => current,
  isFinished: (token) => finished.has(token),
  numUnsent: () => outbox.pending.filter((submission) => submission.what !== "flag").length,
  received: handleResponse,
  filled: (response) => {
    if (!current) showNext(response);
    status.draw();
  },
  failed: handleFetchError,
});
const draftList = new DraftList(api, {
  currentToken: () => current?.task.token,
  open: (token) => void reopenDraft(token),
});
const rejectedAnswers = new RejectedAnswers(store, config, {
  slug: config.slug,
  changed: (number) => {
    byId("open-refused").hidden = number === 0;
    byId("refused-badge").textContent = String(number);
  },
  accepted: () => void queue.fill(),
  open: (submission) => void reopenRejected(submission),
});
const form = new AnswerForm(byId("dock"), bindings, {
  changed: saveDraft,
  submit: () => void submit(),
  undo: () => void undo(),
  skip: () => void skip(),
  flag: () => void flag(),
});

/** @type {import("./types.js").Context} */
const context = {
  api,
  changed: saveDraft,
  announce,
  keys: bindings,
  preview: async (text) => (await api.preview(text)).html,
};

/** Actions of every task kind; a view may replace them.  @type {Record<string, () => void>} */
const actions = {
  submit: () => void submit(),
  undo: () => void undo(),
  skip: () => void skip(),
  flag: () => void flag(),
  guide: () => guidelines.toggle(),
  note: () => form.openNote(),
  chips: () => form.toggleChipMode(),
  cannot: () => form.toggleCannot("judge"),
  unsafe: () => form.toggleCannot("unsafe"),
  link: toggleLinkedScrolling,
  help: () => void openShortcuts(),
};
const ALWAYS_AVAILABLE = ["help", "undo", "guide"];

new Shortcuts(bindings, {
  run: (action) => {
    if (!isAvailable(action) && !ALWAYS_AVAILABLE.includes(action)) return false;
    (current?.view.actions[action] ?? actions[action])();
    return true;
  },
  handleKey: (key) => form.handleChipKey(key) || (current?.view.handleKey?.(key) ?? false),
  escape: leaveField,
});

/** Whether the action does something for the task on the screen.  @param {string} action */
function isAvailable(action) {
  if (!current) return false;
  if (action === "chips" && !form.hasChips) return false;
  if (action === "link" && current.task.answers.length < 2) return false;
  return Boolean(current.view.actions[action] || actions[action]);
}

// ---------------------------------------------------------------- the task on the screen

/** @param {QueuedTask} entry */
function show(entry) {
  const { task, draft, reopened } = entry;
  current?.view.dispose?.();
  const view = views[task.kind](task, context);
  current = { ...entry, view };
  if (draft) view.write(draft.value.cannot ? {} : draft.value);
  stage.replaceChildren(...view.content);
  stage.className = `stage kind-${task.kind}`;
  stage.setAttribute("aria-label", `Task ${pace.today + 1} today`);
  form.show(view, task, draft);
  guidelines.update(/** @type {any} */ (task).guidelines);
  activeTime.start(draft);
  scrollTo(0, 0);
  const hasKeyboard = !matchMedia("(pointer: coarse)").matches;
  const focusTarget = view.firstField && hasKeyboard && !reopened ? view.firstField : stage;
  focusTarget.focus({ preventScroll: true });
}

/** Shows a message instead of a task.  @param {...Node} content */
function showMessage(...content) {
  current?.view.dispose?.();
  current = null;
  form.hide();
  stage.className = "stage";
  stage.replaceChildren(h("div.waiting", null, ...content));
}

/** @returns {Draft} */
function currentDraft() {
  const value = form.cannot ? { cannot: form.cannot } : (current?.view.read() ?? {});
  return { value, reasons: form.reasons, note: form.note, ...activeTime.read(), at: Date.now() };
}

function saveDraft() {
  if (!current) return;
  form.update(current.view);
  drafts.save(current.task, currentDraft());
}

async function submit() {
  if (!current) return;
  const { task, view } = current;
  const missing = form.cannot ? "" : view.missing();
  if (missing) {
    form.showHint(missing);
    announce(missing);
    return;
  }
  const question = form.cannot ? null : (view.question?.() ?? null);
  if (question) {
    const { title, description, yes, no } = question;
    const answer = await chooseReason({ title, description, reasons: [yes, no] });
    if (answer?.reason !== yes || current?.task.token !== task.token) return;
    question.confirm();
  }
  const choice = form.cannot ? undefined : view.takeUnsentChoice?.();
  const draft = currentDraft();
  const summary = capitalize(form.cannot ? form.cannotLabel : view.summary());
  const { value, reasons, note, active_ms, dwell_ms } = draft;
  const body = { value, reasons, note, active_ms, dwell_ms, ui: uiDetails(task, view) };
  const corrects = counted.has(task.token);
  finish(task, "judgement", body, { summary, choice, corrects });
  history = [...history, { task, draft, corrects }].slice(-MAX_UNDO);
  countAnswer(task.token);
  showNextOrLoading();
  announce(`Saved: ${summary}.${current ? "" : " No tasks left for now."}`);
  toast(`Saved: ${summary}`, { kind: "good", action: ["Undo", () => void undo()] });
}

/** An answer that is taken back and sent again counts once.  @param {string} token */
function countAnswer(token) {
  if (!counted.has(token)) changePace(1);
  counted.add(token);
}

/** @param {string} token */
function uncountAnswer(token) {
  if (counted.delete(token)) changePace(-1);
}

/** @param {number} difference */
function changePace(difference) {
  pace = { ...pace, today: pace.today + difference, total: pace.total + difference };
  drawPace(pace, preferences.daily_goal);
}

/**
 * Takes a task off the screen and stores the submission until the server has it.
 * @param {Task} task
 * @param {"judgement"|"skip"} what
 * @param {any} body
 * @param {Partial<Submission>} [extra]
 */
function finish(task, what, body, extra = {}) {
  finished.add(task.token);
  drafts.cancel(task);
  void outbox.add({ ...newSubmission(task, what, body), ...extra }).then(() => {
    const wasUndone = !finished.has(task.token); // the draft is in use again
    if (!extra.draft && !wasUndone) drafts.remove(task);
  });
}

/** @param {Task} task @param {"judgement"|"skip"|"flag"} what @param {any} body @returns {Submission} */
function newSubmission(task, what, body) {
  return {
    key: newIdempotencyKey(),
    slug: config.slug,
    rater: config.rater,
    token: task.token,
    item: task.item,
    what,
    body,
    at: Date.now(),
  };
}

/** How the task was shown; stored with the judgement.  @param {Task} task @param {View} view */
function uiDetails(task, view) {
  const systemTheme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const theme = preferences.theme ? (preferences.theme === "dark" ? "dark" : "light") : systemTheme;
  return {
    viewport: [innerWidth, innerHeight],
    theme,
    hand: preferences.hand ?? "both",
    render: task.render,
    ...view.details?.(),
  };
}

function showNextOrLoading() {
  const next = queue.take();
  if (next) show(next);
  else showMessage(h("span.spinner"), h("span.sr", null, "Loading the next task"));
  void queue.fill();
}

async function undo() {
  const previous = history.pop();
  if (previous) {
    if (outbox.withdraw(previous.task.token)) {
      if (!previous.corrects) uncountAnswer(previous.task.token);
      drafts.save(previous.task, previous.draft);
    }
    reopen(previous.task, previous.draft);
    return;
  }
  await outbox.settled(); // the answers of an earlier page
  try {
    if (outbox.offline) throw new Unreachable("answers are queued");
    const task = /** @type {Task} */ (await api.undo());
    counted.add(task.token);
    if (current?.task.token === task.token || queue.has(task.token)) toast("Nothing more to undo.");
    else reopen(task, task.draft);
  } catch (error) {
    if (error instanceof Refused && !error.isSessionError) toast("Nothing to undo.");
    else handleError(error);
    if (error instanceof Unreachable) toast("You are offline. Earlier answers cannot be undone.");
  }
}

/**
 * Shows an earlier task again; the task on the screen comes next.
 * @param {Task} task
 * @param {Draft|null} draft
 */
function reopen(task, draft) {
  if (current) queue.putFirst({ task: current.task, draft: currentDraft(), reopened: current.reopened });
  finished.delete(task.token);
  queue.remove(task.token);
  show({ task, draft, reopened: true });
  announce("Your earlier answer is open for changes.");
}

async function skip() {
  if (!current) return;
  const { task, view } = current;
  const answer = await chooseReason({
    title: "Skip this task",
    description: "Another rater will get this task. Why are you skipping it?",
    reasons: config.skips,
  });
  if (!answer || current?.task.token !== task.token) return;
  const typedLength = (view.typedLength?.() ?? 0) + form.note.length;
  const draft = currentDraft();
  finish(task, "skip", { reason: answer.reason }, { draft: typedLength ? draft : undefined });
  uncountAnswer(task.token);
  showNextOrLoading();
  announce("Skipped.");
  toast(typedLength > LONG_TEXT ? "Skipped. Your text is saved under Drafts." : "Skipped");
}

async function flag() {
  if (!current) return;
  const { task } = current;
  const answer = await chooseReason({
    title: "Flag this task",
    description: "The lead will review this task. You can still answer it.",
    reasons: config.flags,
    noteLabel: "Describe the problem (optional)",
  });
  if (!answer) return;
  void outbox.add(newSubmission(task, "flag", { reason: answer.reason, note: answer.note }));
  announce("Flagged.");
  toast("Flagged for review.");
}

function toggleLinkedScrolling() {
  const isSeparate = document.body.classList.toggle("apart");
  announce(isSeparate ? "Answers scroll separately" : "Answers scroll together");
}

/** Escape: closes the guidelines, or moves the focus from a field back to the task. */
function leaveField() {
  if (guidelines.isOpen && !isTyping(document.activeElement)) {
    guidelines.close();
    return;
  }
  form.endChipMode();
  if (document.activeElement !== stage) stage.focus({ preventScroll: true });
}

async function openShortcuts() {
  if (document.querySelector("dialog[open]")) return;
  await openShortcutsDialog({
    preferences,
    actionNames: current?.view.actionNames ?? {},
    isAvailable: (action) => !current || isAvailable(action),
    letters: reservedLetters(),
    save: savePreferences,
  });
  // draws the task again, with the new keys
  if (current) show({ task: current.task, draft: currentDraft(), reopened: current.reopened });
}

/** Letters that select an answer in the view on the screen. */
function reservedLetters() {
  if (!current) return [];
  const { kind, answers } = current.task;
  const selectsByLetter = kind === "ranking" || (kind === "edit" && answers.length > 1);
  return selectsByLetter ? answers.map((answer) => answer.letter) : [];
}

/** @param {import("./shortcuts-dialog.js").Preferences} changes */
function savePreferences(changes) {
  if (changes.theme) document.documentElement.dataset.theme = changes.theme;
  else if ("theme" in changes) delete document.documentElement.dataset.theme;
  for (const [action, key] of keyBindings(preferences)) bindings.set(action, key);
  const notSaved = "Not saved: no connection. The change lasts until you leave the page.";
  api.savePreferences(changes).catch(() => toast(notSaved));
}

// ---------------------------------------------------------------- tasks from the server

/** @param {any} response */
function handleResponse(response) {
  status.offline = outbox.offline;
  status.sessionError = 0;
  const isNew = (/** @type {Submission} */ submission) =>
    submission.what === "judgement" && !submission.corrects;
  const numUnsent = outbox.pending.filter(isNew).length;
  pace = { ...response.mine, today: response.mine.today + numUnsent };
  drawPace(pace, preferences.daily_goal);
}

/** @param {{state: string, paused: boolean}} response */
function showNext(response) {
  const next = queue.take();
  if (next) {
    show(next);
    void queue.fill();
    return;
  }
  const [title, text] = emptyMessage(response);
  const link = h("a.button", { href: `${root}/work` }, "Your work");
  showMessage(h("h2", null, title), h("p.muted", null, text), link);
  queue.poll();
}

/** @param {unknown} error */
function handleFetchError(error) {
  handleError(error);
  if (!current) {
    const isRefused = error instanceof Refused;
    const title = isRefused ? "No tasks" : "Offline";
    const text = isRefused ? error.message : "New tasks load when you are back online.";
    const saved = h("p.muted", null, "Your work is saved in this browser.");
    showMessage(h("h2", null, title), h("p.muted", null, text), saved);
  }
  status.draw();
}

/** @param {string} token */
async function reopenDraft(token) {
  try {
    const task = /** @type {Task} */ (await api.task(token));
    reopen(task, await drafts.latest(task));
    void draftList.update();
  } catch (error) {
    handleError(error);
  }
}

/** @param {Submission} submission */
async function reopenRejected(submission) {
  try {
    const { value, reasons, note, active_ms, dwell_ms } = submission.body;
    const task = /** @type {Task} */ (await api.task(submission.token));
    reopen(task, { value, reasons, note, active_ms, dwell_ms, at: submission.at });
  } catch (error) {
    handleError(error);
  }
}

// ---------------------------------------------------------------- answers to the server

/**
 * Waits for a draft on its way, which must not arrive after its answer.
 * @param {Submission} submission
 * @param {boolean} [leaving]
 */
async function sendAfterDraft(submission, leaving) {
  if (!leaving) await drafts.sending;
  return api.send(submission, leaving);
}

function drawOutbox() {
  status.numPending = outbox.pending.length;
  status.offline = outbox.offline;
  status.draw();
}

/** @param {Submission} submission @param {any} response */
function handleDelivered(submission, response) {
  status.saved();
  if (submission.draft) void draftList.update();
  const hasRejected = !byId("open-refused").hidden;
  if (submission.what !== "flag" && hasRejected) void rejectedAnswers.removeReplaced(submission);
  if (response?.late) toast("The task had expired. Your answer is saved and marked as late.");
  if (outbox.pending.length === 0) void queue.fill();
}

/** @param {Submission} submission @param {Refused} error */
function handleRejected(submission, error) {
  toast(`${countRejected(1)}: ${error.message} It is saved in this browser.`, {
    kind: "fault",
    lasting: true,
    action: ["Review", () => void rejectedAnswers.openDialog()],
  });
  if (submission.what === "judgement" && !submission.corrects) uncountAnswer(submission.token);
  void drafts.restore(submission);
  void rejectedAnswers.updateCount();
}

/** @param {unknown} error */
function handleError(error) {
  status.saving = false;
  if (error instanceof Unreachable) status.offline = true;
  else if (error instanceof Refused && error.isSessionError) status.sessionEnded(error.status);
  else toast(error instanceof Error ? error.message : String(error), { kind: "fault" });
  status.draw();
}

/** @param {QueuedTask} entry */
function handleExpiredLease(entry) {
  entry.reopened = true;
  toast("This task has expired. You can still submit your answer.");
}

// ---------------------------------------------------------------- start

setInterval(() => {
  if (!activeTime.isIdle && !outbox.offline) queue.sendHeartbeats(handleExpiredLease);
}, HEARTBEAT_MS);

addEventListener("online", () => void queue.fill());
document.addEventListener("visibilitychange", () => {
  if (document.hidden) void drafts.flush(true);
});
addEventListener("pagehide", () => {
  void drafts.flush(true);
  outbox.sendOnLeave();
  queue.releaseUnseen();
});
addEventListener("pageshow", (event) => event.persisted && location.reload());
byId("open-refused").addEventListener("click", () => void rejectedAnswers.openDialog());
byId("open-keys").addEventListener("click", () => void openShortcuts());

status.isPersistent = store.isPersistent;
if (!store.isPersistent) {
  const text = "This browser stores nothing between visits. Keep the page open until the status says saved.";
  toast(text, { lasting: true });
}
await outbox.load();
for (const submission of outbox.pending) {
  if (submission.what !== "flag") finished.add(submission.token);
  if (submission.what === "judgement") counted.add(submission.token);
}
if (outbox.pending.length) announce(`Sending ${count(outbox.pending.length, "saved answer")}.`);
await Promise.all([queue.fill(), draftList.update(), rejectedAnswers.updateCount()]);
document.body.dataset.ready = "yes";
