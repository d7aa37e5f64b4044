// The values of a form: as JSON for the API, as they were when the page was loaded, and as they are now
// on the server.  What each attribute means is listed in forms.js.

// The fields of a form that count.
export function namedFields(form) {
  return [...form.elements].filter((field) => field.name && field.name !== "csrf" && field.type !== "submit");
}

// The body of a request.  With `data-changes`, only fields that differ from the page as it was loaded,
// and hidden fields; null if nothing differs.
export function bodyOf(form) {
  const body = {};
  let anyChange = false;
  for (const field of namedFields(form)) {
    if (field.disabled || (field.type === "radio" && !field.checked)) continue;
    if ("changes" in form.dataset && field.type !== "hidden") {
      if (!isChanged(field)) continue;
      anyChange = true;
    }
    if ("list" in field.dataset && field.type !== "textarea") {
      body[field.name] ??= [];
      if (field.checked) body[field.name].push(field.value);
      continue;
    }
    const value = valueOf(field);
    if (value !== undefined) body[field.name] = value;
  }
  const shown = form.elements[form.dataset.was];
  if (shown) body.was = toJson(shown, loadedText(shown));
  return "changes" in form.dataset && !anyChange ? null : body;
}

// The value of a field as JSON; undefined if it is left out.
function valueOf(field) {
  if (field.type === "checkbox" && !("list" in field.dataset)) return field.checked;
  return toJson(field, field.value);
}

function toJson({ dataset, type }, text) {
  if ("list" in dataset) {
    const lines = text.split("\n").map((line) => line.trim());
    return lines.filter(Boolean);
  }
  if ("json" in dataset) return JSON.parse(text);
  if (text === "" && dataset.empty === "leave") return undefined;
  if (text === "" && (dataset.empty || type === "number")) return null;
  if (type !== "number") return text;
  return dataset.times ? Math.round(Number(text) * Number(dataset.times)) : Number(text);
}

// A value of the server as the text of the field.
function toText({ dataset }, value) {
  if (Array.isArray(value)) return value.join("\n");
  if (value === null || value === undefined) return dataset.none ?? "";
  return String(dataset.times ? value / Number(dataset.times) : value);
}

// ---------------------------------------------------------------- loaded, changed, saved

// The text of a field when the page was loaded, or when the form was last saved.
export function loadedText(field) {
  if (field.tagName !== "SELECT") return field.defaultValue;
  const options = [...field.options];
  return (options.find((option) => option.defaultSelected) ?? options[0])?.value ?? "";
}

export function isChanged(field) {
  if (field.type === "checkbox" || field.type === "radio") return field.checked !== field.defaultChecked;
  return field.type !== "hidden" && field.type !== "file" && !isSame(field, field.value, loadedText(field));
}

function isSame(field, one, other) {
  return one === other || (field.type === "number" && one && other && Number(one) === Number(other));
}

// What the form holds now, to be passed to `setLoaded` once it is saved.
export function snapshotOf(form) {
  return namedFields(form).map((field) => ({ field, text: field.value, checked: field.checked }));
}

// From now on, these values count as unchanged.
export function setLoaded(snapshot) {
  for (const { field, text, checked } of snapshot) {
    if (field.type === "checkbox" || field.type === "radio") field.defaultChecked = checked;
    else setLoadedText(field, text);
  }
}

function setLoadedText(field, text) {
  if (field.type === "password") return; // a default is readable in the page's source
  if (field.tagName !== "SELECT") {
    const shown = field.value;
    field.defaultValue = text;
    if (field.type !== "hidden") field.value = shown; // an untouched field would follow its default
    return;
  }
  for (const option of field.options) option.defaultSelected = option.value === text;
}

// ---------------------------------------------------------------- what somebody else has changed

// Takes over the server's values.  A field that the user has changed keeps its text.  Returns the labels of
// fields that somebody else changed: `taken` are those shown now, `kept` those that the user changed too.
export function takeOver(form, current) {
  const taken = [];
  const kept = [];
  for (const field of namedFields(form)) {
    if (!(field.name in current)) continue;
    if (field.type === "checkbox") {
      const isOn = current[field.name];
      if (isOn === field.defaultChecked) continue;
      field.defaultChecked = field.checked = isOn; // a box that both have changed is the same for both
      taken.push({ label: labelOf(field), text: isOn ? "on" : "off" });
      continue;
    }
    const text = toText(field, current[field.name]);
    if (field.type === "hidden") {
      field.value = text;
      continue;
    }
    if (isSame(field, text, loadedText(field))) continue;
    const mine = isChanged(field) && !isSame(field, field.value, text);
    if (!mine) field.value = text;
    setLoadedText(field, text);
    (mine ? kept : taken).push({ label: labelOf(field), text });
  }
  return { taken, kept };
}

export function labelOf(field) {
  return field.labels?.[0]?.textContent.trim() ?? field.getAttribute("aria-label") ?? field.name;
}
