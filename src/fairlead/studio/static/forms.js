// Forms that speak to the API.  A page writes
//
//   <form data-api="POST /api/v1/invites" data-then="#made">
//
// and its fields become the JSON body: a number from type=number, true or false from a lone checkbox, a list from checkboxes with `data-list`
// or from the lines of a textarea with `data-list`, any JSON from a field with `data-json`.  An empty field is "", or null with data-empty="null", or is left out with data-empty="leave".
//
//   data-then="reload" | "/a/path/{slug}" | "#id"   afterwards; {slug} and each [data-fill="key"] inside #id are filled from the answer
//   data-done="Saved"                               a toast
//   data-on="change"                                sent as soon as a field changes; refused, the fields are again as they were
//   data-holds="id"                                 a button that rests from each change of this form until a new one is put in its place
//   data-confirm="Really?"                          asked before
//
// Buttons: data-opens="dialog's id", data-closes (the dialog it is in), data-copy (the text before it).
// For other modules: `send(method, path, body)` and `toast(text, kind)`.

export class Refused extends Error {
  constructor(status, error) {
    super(error.message);
    this.status = status;
    this.field = error.field;
    this.fields = error.fields || (error.field ? { [error.field]: error.message } : {});
  }
}

export async function send(method, path, body) {
  const token = document.querySelector('meta[name="csrf"]')?.content || "";
  const headers = { "X-CSRF-Token": token, Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  if (answer.status === 401) {
    location.assign("/login?next=" + encodeURIComponent(location.pathname + location.search));
    return new Promise(() => {});
  }
  const text = await answer.text();
  const said = text && (answer.headers.get("content-type") || "").includes("json") ? JSON.parse(text) : {};
  if (!answer.ok) throw new Refused(answer.status, said.error || { message: "that did not work; try again." });
  return said;
}

export function toast(text, kind = "good") {
  const box = document.createElement("div");
  box.className = `toast ${kind}`;
  box.textContent = text;
  document.querySelector(".toasts")?.append(box);
  setTimeout(() => box.remove(), kind === "fault" ? 9000 : 3500);
}

function bodyOf(form) {
  const body = {};
  for (const field of form.elements) {
    if (!field.name || field.disabled || field.name === "csrf" || (field.type === "radio" && !field.checked)) continue;
    if ("list" in field.dataset && field.type === "textarea") {
      body[field.name] = field.value.split("\n").map((one) => one.trim()).filter(Boolean);
    } else if ("list" in field.dataset) {
      body[field.name] ??= [];
      if (field.checked) body[field.name].push(field.value);
    } else if ("json" in field.dataset) {
      body[field.name] = JSON.parse(field.value);
    } else if (field.type === "checkbox") {
      body[field.name] = field.checked;
    } else if (field.value === "" && (field.dataset.empty || field.type === "number")) {
      if (field.dataset.empty !== "leave") body[field.name] = null;
    } else {
      body[field.name] = field.type === "number" ? Number(field.value) : field.value;
    }
  }
  return body;
}

const busy = new Map(); // a form on its way -> whether a field has changed since

async function submit(form) {
  if (busy.has(form)) return void busy.set(form, form.dataset.on === "change");
  if (form.dataset.confirm && !confirm(form.dataset.confirm)) return;
  const [method, path] = form.dataset.api.split(" ");
  const body = bodyOf(form);
  const buttons = form.querySelectorAll("button");
  const sent = [...form.querySelectorAll("option:checked")];
  let leaves = false;
  forget(form);
  busy.set(form, false);
  buttons.forEach((button) => (button.disabled = true));
  try {
    const said = await send(method, path, method === "DELETE" || !Object.keys(body).length ? undefined : body);
    if (form.dataset.done) toast(form.dataset.done);
    form.dispatchEvent(new CustomEvent("done", { bubbles: true, detail: said }));
    for (const option of form.querySelectorAll("option")) option.defaultSelected = sent.includes(option);
    if (form.dataset.then) leaves = then(form.dataset.then, said);
  } catch (error) {
    if (error instanceof Refused) show(form, error);
    else toast("The studio cannot be reached. Nothing was changed; try again.", "fault");
    if (form.dataset.on === "change" && !busy.get(form)) form.reset();
  }
  if (leaves) return; // nothing is sent twice while the next page comes
  buttons.forEach((button) => (button.disabled = false));
  const changed = busy.get(form);
  busy.delete(form);
  if (changed) await submit(form);
}

// Returns whether another page comes.
function then(what, said) {
  if (what.startsWith("#")) {
    const place = document.querySelector(what);
    for (const hole of place.querySelectorAll("[data-fill]")) hole.textContent = said[hole.dataset.fill] ?? "";
    place.hidden = false;
    place.focus();
    place.scrollIntoView({ block: "nearest" });
    return false;
  }
  if (what === "reload") location.reload();
  else location.assign(what.replace(/\{(\w+)\}/g, (_, key) => encodeURIComponent(said[key] ?? "")));
  return true;
}

function show(form, error) {
  const left = { ...error.fields };
  let first = null;
  for (const [name, why] of Object.entries(error.fields)) {
    const field = [...form.elements].find((one) => one.name === name && one.type !== "hidden");
    if (!field || !field.closest(".field")) continue;
    delete left[name];
    const said = document.createElement("p");
    said.className = "error";
    said.dataset.said = "";
    said.id = `${field.id || name}-error`;
    said.textContent = why;
    field.closest(".field").append(said);
    field.setAttribute("aria-invalid", "true");
    field.setAttribute("aria-describedby", said.id);
    first ??= field;
  }
  if (first && !Object.keys(left).length) first.focus();
  else if (form.matches(".fields, .card")) {
    const said = document.createElement("p");
    said.className = "notice fault";
    said.dataset.said = "";
    said.setAttribute("role", "alert");
    form.prepend(said);
    said.textContent = error.message;
  } else toast(error.message, "fault");
}

function forget(form) {
  form.querySelectorAll("[data-said]").forEach((one) => one.remove());
  form.querySelectorAll("[aria-invalid]").forEach((one) => one.removeAttribute("aria-invalid"));
}

document.addEventListener("submit", (event) => {
  if (!event.target.dataset.api) return;
  event.preventDefault();
  submit(event.target);
});

document.addEventListener("change", (event) => {
  const form = event.target.form;
  if (form?.dataset.on === "change") submit(form);
  if (form?.dataset.holds) document.getElementById(form.dataset.holds).disabled = true;
});

addEventListener("pageshow", (event) => event.persisted && location.reload()); // its buttons rest

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy], [data-opens], [data-closes]");
  if (!button) return;
  if ("opens" in button.dataset) document.getElementById(button.dataset.opens).showModal();
  else if ("closes" in button.dataset) button.closest("dialog").close();
  else {
    const text = button.previousElementSibling.textContent;
    try {
      await navigator.clipboard.writeText(text);
      toast("Copied");
    } catch {
      getSelection().selectAllChildren(button.previousElementSibling); // without https there is no clipboard; the text is marked instead
    }
  }
});

// What is wider than its place is scrolled with keys too; and of a row of tabs the one that is open is in sight.
function reachable(root) {
  for (const box of root.querySelectorAll(".said :is(pre, table)")) box.tabIndex = 0;
}
reachable(document);
document.addEventListener("htmx:load", (event) => reachable(event.target));
for (const here of document.querySelectorAll("nav [aria-current]")) {
  const row = here.parentElement;
  row.scrollLeft = here.offsetLeft - row.offsetLeft - (row.clientWidth - here.offsetWidth) / 2;
}
