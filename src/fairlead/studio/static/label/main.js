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
import { LeftBehind } from "./left-behind.js";
import { Outbox } from "./outbox.js";
import { dismissAbout, toast } from "./notices.js";
import { Pace } from "./pace.js";
import { announce, byId, emptyMessage } from "./page.js";
import { countRejected, RejectedAnswers } from "./rejected-answers.js";
import { root } from "../root.js";
import { SaveStatus } from "./save-status.js";
import { openShortcutsDialog } from "./shortcuts-dialog.js";
import { isTyping, keyBindings, Shortcuts } from "./shortcuts.js";
import { openStore } from "./store.js";
import { Tabs } from "./tabs.js";
import { TaskQueue } from "./task-queue.js";
import { views } from "./views.js";

/** @typedef {import("./types.js").Task} Task */
/** @typedef {import("./types.js").Draft} Draft */
/** @typedef {import("./types.js").Submission} Submission */
/** @typedef {import("./types.js").View} View */
/** @typedef {import("./task-queue.js").QueuedTask} QueuedTask */
/** @typedef {{task: Task, draft: Draft, corrects: boolean}} GivenAnswer */

const MAX_UNDO = 50;
const HEARTBEAT_MS = 60_000;
const LONG_TEXT = 20; // characters; the notice after a skip says where a longer text is kept

const config = JSON.parse(document.body.dataset.config ?? "{}");
const { preferences } = config;
const api = createApi(config);
const store = await openStore();
const status = new SaveStatus();
const activeTime = new ActiveTime();
const guidelines = new GuidelinesPanel(api, () => void queue.fill());
const stage = byId("stage");
const bindings = keyBindings(preferences);

/** @type {(QueuedTask & {view: View, initial: string})|null} the task on the screen */
let current = null;
/** @type {GivenAnswer[]} judgements made on this page, oldest first */
let history = [];
/** @type {Set<string>} tokens of tasks that were submitted or skipped on this page */
const finished = new Set();
const pace = new Pace(preferences);

const drafts = new Drafts(store, api, config, {
  saving: () => {
    status.saving = true;
    status.draw();
  },
  saved: () => {
    status.offline = false;
    status.setSaved("draft saved");
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
  requested: () => pace.version,
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
const tabs = new Tabs(config, {
  finished: (token, what, isAnswer) => {
    if (isAnswer) pace.countElsewhere(token);
    handleFinishedElsewhere(token, `${what} in another tab`);
  },
  delivered: (token) => {
    pace.confirm(token);
    void queue.fill(pace.isUnsure); // the task is not held any more: another one can be
  },
  withdrawn: (token) => {
    pace.uncount(token);
    finished.delete(token);
  },
});
const leftBehind = new LeftBehind(store, config, [config.slug], {
  changed: (text) => {
    if (text) toast(text, { isLasting: true, actions: [["Review", () => leftBehind.openDialog()]] });
  },
  taken: (text) => {
    toast(text);
    void rejectedAnswers.updateCount();
    void draftList.update();
    void queue.fill();
  },
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
  current = { ...entry, view, initial: "" };
  if (draft) view.write(draft.value.cannot ? {} : draft.value);
  stage.replaceChildren(...(entry.isAnswered ? [answeredNotice(entry)] : []), ...view.content);
  stage.className = `stage kind-${task.kind}`;
  stage.setAttribute("aria-label", `Task ${pace.figures.today + 1} today`);
  form.show(view, task, draft);
  current.initial = currentContent();
  guidelines.update(/** @type {any} */ (task).guidelines);
  activeTime.start(draft);
  scrollTo(0, 0);
  const hasKeyboard = !matchMedia("(pointer: coarse)").matches;
  const focusTarget = view.firstField && hasKeyboard && !reopened ? view.firstField : stage;
  focusTarget.focus({ preventScroll: true });
}

/** Above a task that the rater has answered before.  @param {QueuedTask} entry */
function answeredNotice(entry) {
  const text = "This is your earlier answer. Submit changes it, and Skip removes it.";
  const keep = h("button.button.small", { type: "button" }, "Keep it as it was");
  keep.addEventListener("click", () => {
    show(entry);
    void submit();
  });
  return h("p.notice.row.spread", null, h("span", null, text), entry.draft ? keep : null);
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

/** What the rater selected and typed, to tell whether it changed. */
function currentContent() {
  const { value, reasons, note } = currentDraft();
  return JSON.stringify([value, reasons, note]);
}

function saveDraft() {
  if (!current) return;
  form.update(current.view);
  drafts.save(current.task, currentDraft());
}

async function submit() {
  if (!current) return;
  const { task, view, isAnswered } = current;
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
  const corrects = pace.has(task.token);
  finish(task, "judgement", body, { summary, choice, corrects, replaces: corrects || isAnswered });
  history = [...history, { task, draft, corrects }].slice(-MAX_UNDO);
  pace.count(task.token);
  showNextOrLoading();
  const saved = outbox.offline || status.sessionError ? "Kept in this browser" : "Submitted";
  announce(`${saved}: ${summary}.${current ? "" : " No tasks left for now."}`);
  toast(`${saved}: ${summary}`, {
    kind: "good",
    about: task.token,
    actions: [["Undo", () => undoAnswer(task.token)]],
  });
  tabs.tellFinished(task.token, `You answered this task (${summary})`, true);
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
  dismissAbout(task.token);
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

/** Takes back the last answer, and at the next call the one before it. */
async function undo() {
  const last = history.at(-1);
  if (last) {
    undoAnswer(last.task.token);
    return;
  }
  await outbox.settled(); // the answers of an earlier page
  try {
    if (outbox.offline) throw new Unreachable("answers are queued");
    const task = /** @type {Task} */ (await api.undo(tokensOnPage()));
    pace.addCounted(task.token);
    reopen({ task, draft: task.draft, isAnswered: true });
  } catch (error) {
    if (error instanceof Refused && !error.isSessionError) toast("There is no earlier answer to undo.");
    else handleError(error);
    if (error instanceof Unreachable) toast("You are offline. Earlier answers cannot be undone.");
  }
}

/** Takes back one answer that was given on this page.  @param {string} token */
function undoAnswer(token) {
  const answer = history.findLast(({ task }) => task.token === token);
  if (!answer) return;
  history = history.filter((other) => other !== answer);
  const { task, draft, corrects } = answer;
  if (outbox.withdraw(token)) {
    if (!corrects) pace.uncount(token);
    drafts.save(task, draft);
    tabs.tellWithdrawn(token);
  }
  reopen({ task, draft, isAnswered: true });
}

/** Tokens of the answers that are open for changes already. */
function tokensOnPage() {
  const entries = [...(current ? [current] : []), ...queue.entries];
  return entries.filter((entry) => entry.isAnswered).map((entry) => entry.task.token);
}

/**
 * Shows an earlier task again; the task on the screen comes next.
 * @param {{task: Task, draft: Draft|null, isAnswered?: boolean}} entry
 */
function reopen({ task, draft, isAnswered = false }) {
  if (current && current.task.token !== task.token) queue.putFirst({ ...current, draft: currentDraft() });
  finished.delete(task.token);
  queue.remove(task.token);
  dismissAbout(task.token);
  show({ task, draft, reopened: true, isAnswered });
  announce("Your earlier answer is open for changes.");
}

/**
 * A task of this page was answered or skipped in another tab or browser.
 * @param {string} token
 * @param {string} what   what the rater did, and where
 */
function handleFinishedElsewhere(token, what) {
  if (current?.task.token !== token) {
    finished.add(token);
    queue.remove(token);
    void queue.fill();
    return;
  }
  const isUntouched = currentContent() === current.initial;
  current.isAnswered = true;
  const next = () => {
    finished.add(token);
    showNextOrLoading();
  };
  if (isUntouched) {
    next();
    toast(`${what}.`);
    announce(`${what}.`);
    return;
  }
  const text = `${what}. Submitting here replaces that.`;
  toast(text, { isLasting: true, about: token, actions: [["Next task", next]] });
  announce(text);
}

async function skip() {
  if (!current) return;
  const { task, view, isAnswered } = current;
  const before = isAnswered ? "Your answer is removed, and somebody else gets" : "Somebody else will get";
  const answer = await chooseReason({
    title: "Skip this task",
    description: `${before} this task. Why are you skipping it?`,
    reasons: config.skips,
  });
  if (!answer || current?.task.token !== task.token) return;
  const typedLength = (view.typedLength?.() ?? 0) + form.note.length;
  const draft = currentDraft();
  finish(task, "skip", { reason: answer.reason }, { draft: typedLength ? draft : undefined });
  pace.uncount(task.token);
  showNextOrLoading();
  tabs.tellFinished(task.token, "You skipped this task", false);
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
  if (current) show({ ...current, draft: currentDraft() });
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

/** @param {any} response @param {number} request  the version of the pace when it was asked for */
function handleResponse(response, request) {
  status.offline = outbox.offline;
  status.sessionError = 0;
  const isNew = (/** @type {Submission} */ submission) =>
    submission.what === "judgement" && !submission.corrects;
  const numUnsent = outbox.pending.filter(isNew).length;
  pace.receive(response.mine, numUnsent, request);
  if (response.must_read) guidelines.require();
}

/** @param {{state: string, paused: boolean, must_read: boolean}} response */
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

/**
 * Fetches a task of the rater and shows it again.
 * @param {string} token
 * @param {(task: Task) => Draft|null|Promise<Draft|null>} chooseDraft
 */
async function reopenByToken(token, chooseDraft) {
  try {
    const task = /** @type {Task} */ (await api.task(token));
    if (task.judgement) pace.addCounted(token);
    reopen({ task, draft: await chooseDraft(task), isAnswered: task.judgement !== null });
  } catch (error) {
    handleError(error);
  }
}

/** @param {string} token */
async function reopenDraft(token) {
  await reopenByToken(token, (task) => drafts.latest(task));
  void draftList.update();
}

/** @param {Submission} submission */
function reopenRejected({ token, at, body }) {
  const { value, reasons, note, active_ms, dwell_ms } = body;
  return reopenByToken(token, () => ({ value, reasons, note, active_ms, dwell_ms, at }));
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
  status.setSaved(submission.what === "flag" ? "flag saved" : "answer saved");
  if (submission.what !== "flag") {
    pace.confirm(submission.token);
    tabs.tellDelivered(submission.token);
  }
  if (submission.draft) void draftList.update();
  const hasRejected = !byId("open-refused").hidden;
  if (submission.what !== "flag" && hasRejected) void rejectedAnswers.removeReplaced(submission);
  if (response?.late) toast("The task had expired. Your answer is saved and marked as late.");
  if (response?.replaced && !submission.replaces) showReplaced(submission.token, response.replaced);
  if (outbox.pending.length === 0) void queue.fill(pace.isUnsure);
}

/**
 * The answer replaced one that the rater had given elsewhere, without knowing of it here.
 * @param {string} token
 * @param {Draft} earlier   the answer that was replaced
 */
function showReplaced(token, earlier) {
  const text = "You had already answered this task in another window or browser.";
  toast(`${text} Your new answer replaced that one.`, {
    isLasting: true,
    about: token,
    actions: [["Open the earlier answer", () => void reopenByToken(token, () => earlier)]],
  });
}

/** @param {Submission} submission @param {Refused} error */
function handleRejected(submission, error) {
  toast(`${countRejected(1)}: ${error.message} It is saved in this browser.`, {
    kind: "fault",
    isLasting: true,
    actions: [["Review", () => void rejectedAnswers.openDialog()]],
  });
  if (submission.what === "judgement" && !submission.corrects) pace.uncount(submission.token);
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
async function handleExpiredLease(entry) {
  entry.reopened = true;
  const task = /** @type {Task|null} */ (await api.task(entry.task.token).catch(() => null));
  if (current?.task.token !== entry.task.token) return;
  if (task?.judgement) handleFinishedElsewhere(task.token, "You answered this task in another browser");
  else toast("This task has expired. You can still submit your answer.");
}

function sendHeartbeats() {
  queue.sendHeartbeats((entry) => void handleExpiredLease(entry));
}

/** Opens the answer that the page "My answers" links to. */
async function openRequestedTask() {
  const token = new URLSearchParams(location.search).get("task");
  if (!token) return;
  window.history.replaceState(null, "", location.pathname); // a reload shows the next task
  await reopenByToken(token, (task) => task.judgement ?? drafts.latest(task));
}

// ---------------------------------------------------------------- start

setInterval(() => {
  if (!activeTime.isIdle && !outbox.offline) sendHeartbeats();
}, HEARTBEAT_MS);

addEventListener("online", () => void queue.fill());
document.addEventListener("visibilitychange", () => {
  if (document.hidden) void drafts.flush(true);
  else sendHeartbeats(); // another browser may have answered the task meanwhile
});
addEventListener("pagehide", () => {
  void drafts.flush(true);
  outbox.sendOnLeave();
  queue.releaseUnseen();
});
addEventListener("pageshow", (event) => event.persisted && location.reload());
document.addEventListener("click", (event) => {
  // After a click no button keeps the focus, so that Enter submits the answer.
  const hasFocus = document.activeElement?.matches("button:not(dialog *)");
  if (hasFocus && event.detail > 0) stage.focus({ preventScroll: true });
});
byId("open-refused").addEventListener("click", () => void rejectedAnswers.openDialog());
byId("open-keys").addEventListener("click", () => void openShortcuts());

status.isPersistent = store.isPersistent;
if (!store.isPersistent) {
  const text = "This browser stores nothing between visits. Keep the page open until your answer is saved.";
  toast(text, { isLasting: true });
}
await outbox.load();
for (const submission of outbox.pending) {
  if (submission.what !== "flag") finished.add(submission.token);
  if (submission.what === "judgement") pace.addCounted(submission.token);
}
if (outbox.pending.length) announce(`Sending ${count(outbox.pending.length, "saved answer")}.`);
await Promise.all([queue.fill(), draftList.update(), rejectedAnswers.updateCount()]);
await openRequestedTask();
document.body.dataset.ready = "yes";
await leftBehind.update().catch(() => undefined); // offline: it is shown at the next visit
