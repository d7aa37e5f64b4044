// Forms that call the API.  A page writes
//
//   <form data-api="POST /api/v1/invites" data-then="#made">
//
// and the fields become the JSON body.
//
//   type=number                          a number; empty is null.
//   type=checkbox                        true or false.
//   checkboxes with data-list            a list of the checked values.
//   a textarea with data-list            a list of its lines.
//   a field with data-json               its value, parsed as JSON.
//   data-empty="null", data-empty="leave"   an empty field is null, or left out; otherwise "".
//   data-times="60"                      shown in another unit: minutes here, seconds in the API.
//   data-none="0"                        what the field shows for null.
//
//   data-then="reload"          reload the page afterwards.
//   data-then="/path/{slug}"    open a page, filled in from the response.
//   data-then="#id"             show an element; [data-fill="key"] inside it are filled in from the response.
//   data-done="Saved"           show a notice.
//   data-on="change"            send whenever a field changes; if refused, the fields are reset.
//   data-changes                send only what differs from the page as it was loaded, and hidden fields.
//   data-was="role"             also send, as `was`, the value that this field had.
//   data-holds="id"             disable a button on each change, until the page replaces the button.
//   data-confirm="Delete it?"   ask first; on a button: when this button sends the form.  Needs no data-api.
//
// Two people may have the same form open.  When the server answers that a value is stale, the form takes over
// what the other person has changed.  It is sent again if that are other fields; otherwise the user decides.
//
//   data-draft="key"            keep in this browser what is typed, and ask before the page is left.
//   data-draft-until="/c/"      of a form that the browser sends itself: the path of the page that follows.
//
// Buttons: data-opens="id" opens a dialog, data-closes closes its own, data-copy copies the text before it.

import { bodyOf, isChanged, namedFields, setLoaded, snapshotOf, takeOver } from "./form-values.js";
import { keepDrafts, showChanges } from "./form-drafts.js";
import { pathInStudio, root } from "./root.js";

const NOTICE_MS = 3500;
const ERROR_NOTICE_MS = 9000;

class Refused extends Error {
  constructor(error) {
    super(error.message);
    this.fields = error.fields || (error.field ? { [error.field]: error.message } : {});
    this.current = error.code === "stale" ? error.current : null;
  }
}

async function send(method, path, body) {
  const token = document.querySelector('meta[name="csrf"]')?.content || "";
  const headers = { "X-CSRF-Token": token, Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await fetch(path, {
    method,
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (response.status === 401) {
    dispatchEvent(new Event("session-ended")); // what was typed is kept, so leaving the page need not ask
    location.assign(`${root}/login?next=${encodeURIComponent(pathInStudio() + location.search)}`);
    return new Promise(() => {}); // nothing more happens before the login page opens
  }
  const text = await response.text();
  const isJson = (response.headers.get("content-type") || "").includes("json");
  const content = text && isJson ? JSON.parse(text) : {};
  if (!response.ok) throw new Refused(content.error || { message: "Something went wrong. Try again." });
  return content;
}

function toast(text, kind = "good") {
  const box = document.createElement("div");
  box.className = `toast ${kind}`;
  box.textContent = text;
  document.querySelector(".toasts")?.append(box);
  setTimeout(() => box.remove(), kind === "fault" ? ERROR_NOTICE_MS : NOTICE_MS);
}

// ---------------------------------------------------------------- sending

const sending = new Map(); // form -> whether a field has changed since it was sent

async function submit(form) {
  const { api, done: notice, on: trigger, then: target } = form.dataset;
  if (sending.has(form)) {
    sending.set(form, trigger === "change");
    return;
  }
  const [method, path] = api.split(" ");
  clearErrors(form);
  const body = bodyOf(form);
  if (!body) {
    toast("Nothing has changed");
    return;
  }
  const buttons = form.querySelectorAll("button");
  const sent = snapshotOf(form);
  let leavesPage = false;
  sending.set(form, false);
  buttons.forEach((button) => (button.disabled = true));
  try {
    const hasBody = method !== "DELETE" && Object.keys(body).length > 0;
    const response = await send(method, path, hasBody ? body : undefined);
    if (notice) toast(notice);
    setLoaded(sent);
    const version = namedFields(form).find((field) => field.type === "hidden" && field.name === "version");
    if (version && response.version) version.value = response.version;
    form.dispatchEvent(new CustomEvent("done", { bubbles: true, detail: response }));
    if (target) leavesPage = follow(target, response);
  } catch (error) {
    if (error instanceof Refused && error.current && showStale(form, error)) {
      sending.delete(form);
      buttons.forEach((button) => (button.disabled = false));
      await submit(form);
      return;
    }
    if (error instanceof Refused) showErrors(form, error);
    else toast("The studio cannot be reached. Nothing was changed. Try again.", "fault");
    if (trigger === "change" && !sending.get(form)) form.reset();
  }
  if (leavesPage) return; // the buttons stay disabled until the next page opens
  buttons.forEach((button) => (button.disabled = false));
  const hasChanged = sending.get(form);
  sending.delete(form);
  if (hasChanged) await submit(form);
}

// Shows what somebody else has changed.  Returns whether the form can be sent again as it is.
function showStale(form, error) {
  const { taken, kept } = takeOver(form, error.current);
  if (!("changes" in form.dataset)) return false;
  error.message = ""; // the notice says it
  showChanges(form, taken, kept);
  return kept.length === 0 && namedFields(form).some(isChanged);
}

// What `data-then` asks for.  Returns whether the page is left.
function follow(target, response) {
  if (target.startsWith("#")) {
    const element = document.querySelector(target);
    for (const slot of element.querySelectorAll("[data-fill]")) {
      slot.textContent = response[slot.dataset.fill] ?? "";
    }
    element.hidden = false;
    element.focus();
    element.scrollIntoView({ block: "nearest" });
    return false;
  }
  if (target === "reload") {
    location.reload();
  } else {
    location.assign(target.replace(/\{(\w+)\}/g, (_, key) => encodeURIComponent(response[key] ?? "")));
  }
  return true;
}

// ---------------------------------------------------------------- errors

// Shows each message below its field; messages without a field go above the form or into a notice.
function showErrors(form, error) {
  if (!error.message) return;
  let firstField = null;
  let allShown = true;
  for (const [name, message] of Object.entries(error.fields)) {
    const field = [...form.elements].find((element) => element.name === name && element.type !== "hidden");
    const container = field?.closest(".field");
    if (!container) {
      allShown = false;
      continue;
    }
    const node = errorNode("error", message);
    node.id = `${field.id || name}-error`;
    container.append(node);
    field.setAttribute("aria-invalid", "true");
    field.setAttribute("aria-describedby", node.id);
    firstField ??= field;
  }
  if (firstField && allShown) {
    firstField.focus();
  } else if (form.matches(".fields, .card")) {
    const node = errorNode("notice fault", "");
    node.setAttribute("role", "alert");
    form.prepend(node);
    node.textContent = error.message; // screen readers speak a text that is set after the alert exists
  } else {
    toast(error.message, "fault");
  }
}

function errorNode(className, text) {
  const node = document.createElement("p");
  node.className = className;
  node.dataset.error = "";
  node.textContent = text;
  return node;
}

function clearErrors(form) {
  form.querySelectorAll("[data-error]").forEach((node) => node.remove());
  form.querySelectorAll("[aria-invalid]").forEach((field) => field.removeAttribute("aria-invalid"));
}

// ---------------------------------------------------------------- listeners

document.addEventListener("submit", (event) => {
  const form = event.target;
  const question = event.submitter?.dataset.confirm ?? form.dataset.confirm;
  const isRefused = question && !sending.has(form) && !confirm(question);
  if (isRefused || form.dataset.api) event.preventDefault();
  if (!isRefused && form.dataset.api) submit(form);
});

document.addEventListener("change", (event) => {
  const form = event.target.form;
  if (form?.dataset.on === "change") submit(form);
  if (form?.dataset.holds) document.getElementById(form.dataset.holds).disabled = true;
});

keepDrafts();

// A change made before the scripts ran, on a slow connection or machine, reached nobody: pass it on now.
for (const form of document.querySelectorAll('form[data-on="change"]')) {
  if (namedFields(form).some(isChanged)) submit(form);
}
document.addEventListener("htmx:load", ({ target }) => {
  for (const form of target.querySelectorAll('form[hx-trigger="change"]')) {
    if (namedFields(form).some(isChanged)) form.dispatchEvent(new Event("change"));
  }
});

// A page restored by "back" would keep its buttons disabled.
addEventListener("pageshow", (event) => event.persisted && location.reload());

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy], [data-opens], [data-closes]");
  if (!button) return;
  if ("opens" in button.dataset) document.getElementById(button.dataset.opens).showModal();
  else if ("closes" in button.dataset) button.closest("dialog").close();
  else await copyText(button.previousElementSibling);
});

async function copyText(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    toast("Copied");
  } catch {
    // without https there is no clipboard; the user can copy the selection
    getSelection().selectAllChildren(element);
  }
}

// ---------------------------------------------------------------- scrolling

// Wide content scrolls by keyboard.
function makeFocusable(root) {
  for (const box of root.querySelectorAll(".said :is(pre, table)")) box.tabIndex = 0;
}
makeFocusable(document);
document.addEventListener("htmx:load", (event) => makeFocusable(event.target));

// The current tab is in sight.
for (const tab of document.querySelectorAll("nav [aria-current]")) {
  const nav = tab.parentElement;
  nav.scrollLeft = tab.offsetLeft - nav.offsetLeft - (nav.clientWidth - tab.offsetWidth) / 2;
}
