// Drafts of forms with `data-draft`: whatever is typed is kept in this browser until it is saved, so that a
// session that ends, a closed tab or a "Back" loses nothing.  A draft belongs to one person, because the key
// contains the pseudonym.  Leaving the page with unsaved changes asks first, except for links with
// `data-keeps`, which come back to the form.

import { pathInStudio } from "./root.js";
import { isChanged, labelOf, loadedText, namedFields } from "./form-values.js";

const PREFIX = "fairlead.draft/";
const SENT = "fairlead.sent"; // the draft that the browser's own submission carried away
const MAX_QUOTED = 200; // characters of a changed text that are shown at once

export function keepDrafts() {
  removeSentDraft();
  for (const form of document.querySelectorAll("form[data-draft]")) keepDraft(form);
}

// A form that the browser sends itself is saved when the next page is the one that follows it.
function removeSentDraft() {
  const { key, until } = JSON.parse(sessionStorage.getItem(SENT) ?? "{}");
  sessionStorage.removeItem(SENT);
  if (key && pathInStudio().startsWith(until)) localStorage.removeItem(key);
}

function keepDraft(form) {
  const key = PREFIX + form.dataset.draft;
  let isLeaving = false;

  function keep() {
    const fields = {};
    const before = read(key)?.fields ?? {};
    for (const { id, field } of identified(form)) {
      const text = textOf(field);
      if (isChanged(field)) fields[id] = { text, was: loadedText(field) };
      else if (before[id]?.text === text) fields[id] = before[id]; // the page was sent back with this text
    }
    try {
      if (Object.keys(fields).length) {
        localStorage.setItem(key, JSON.stringify({ at: new Date().toISOString(), fields }));
      } else {
        localStorage.removeItem(key);
      }
    } catch {
      // the browser keeps nothing, in a private window for example; leaving the page still asks
    }
  }

  restore(form, key);
  form.addEventListener("input", keep);
  form.addEventListener("change", keep);
  form.addEventListener("done", () => {
    localStorage.removeItem(key);
    keep(); // what was typed while the form was being saved
  });
  form.addEventListener("submit", () => {
    if (form.dataset.api) return;
    isLeaving = true;
    sessionStorage.setItem(SENT, JSON.stringify({ key, until: form.dataset.draftUntil }));
  });
  addEventListener("session-ended", () => (isLeaving = true));
  document.addEventListener("click", (event) => {
    if (event.target.closest("a[data-keeps]")) isLeaving = true;
  });
  addEventListener("beforeunload", (event) => {
    if (!isLeaving && namedFields(form).some(isChanged)) event.preventDefault();
  });
}

function restore(form, key) {
  const draft = read(key);
  if (!draft) return;
  const kept = [];
  let anyRestored = false;
  for (const { id, field } of identified(form)) {
    const stored = draft.fields[id];
    if (!stored) continue;
    if (isChoice(field)) field.checked = stored.text === "true";
    else field.value = stored.text;
    if (!isChanged(field)) continue;
    anyRestored = true;
    if (form.dataset.api && stored.was !== loadedText(field)) {
      kept.push({ label: labelOf(field), text: loadedText(field) });
    }
  }
  if (!anyRestored) {
    if (form.dataset.api) localStorage.removeItem(key);
    return;
  }
  if (kept.length) showChanges(form, [], kept);
  showRestored(form, key, draft.at);
}

function read(key) {
  return JSON.parse(localStorage.getItem(key) ?? "null");
}

const isChoice = (field) => field.type === "checkbox" || field.type === "radio";
const textOf = (field) => (isChoice(field) ? String(field.checked) : field.value);

// The fields that a draft keeps, with a name for each: several fields may share theirs.
function identified(form) {
  const seen = new Map();
  return namedFields(form)
    .filter((field) => field.type !== "hidden" && field.type !== "file" && field.type !== "submit")
    .map((field) => {
      const n = seen.get(field.name) ?? 0;
      seen.set(field.name, n + 1);
      return { id: `${field.name}#${n}`, field };
    });
}

function showRestored(form, key, at) {
  const notice = document.createElement("div");
  notice.className = "notice row spread";
  notice.setAttribute("role", "status");
  const when = new Date(at).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
  const text = document.createElement("span");
  text.textContent = `What you wrote here until ${when} is back. It is not saved yet.`;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button small";
  button.textContent = "Discard it";
  button.addEventListener("click", () => {
    form.reset();
    localStorage.removeItem(key);
    notice.remove();
    form.querySelector("textarea, input:not([type=hidden])")?.focus();
    for (const field of form.querySelectorAll("textarea")) field.dispatchEvent(new Event("input"));
  });
  notice.append(text, button);
  form.prepend(notice);
}

// Says what somebody else has changed: `taken` is shown in the form, `kept` waits for the user to decide.
export function showChanges(form, taken, kept) {
  const notice = document.createElement("div");
  notice.className = "notice warn stack tight";
  notice.setAttribute("role", kept.length ? "alert" : "status");
  form.prepend(notice);
  if (taken.length) {
    const names = taken.map(({ label }) => label).join(", ");
    notice.append(paragraph(`Somebody else has changed ${names} meanwhile. The form shows the change now.`));
  }
  for (const { label, text } of kept) {
    const isShort = text.length <= MAX_QUOTED;
    const now = isShort ? `It is now: “${text.replaceAll("\n", ", ")}”.` : "";
    notice.append(paragraph(`Somebody else has changed ${label} too. ${now}`));
    if (!isShort) notice.append(unfolding("Their text", text));
  }
  if (kept.length) {
    notice.append(paragraph("Your own text is not saved yet. Save again to replace theirs."));
    notice.scrollIntoView({ block: "nearest" });
  }
}

function paragraph(text) {
  const node = document.createElement("p");
  node.textContent = text;
  return node;
}

function unfolding(title, text) {
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  summary.textContent = title;
  const content = document.createElement("pre");
  content.textContent = text;
  details.append(summary, content);
  return details;
}
