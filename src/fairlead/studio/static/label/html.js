/**
 * Creates DOM elements.  Text is always inserted as text; only `rendered` inserts HTML, sanitised by the
 * server.
 */

/**
 * @param {string} tag   "div", or with classes: "div.card.flush"
 * @param {Object<string, any>|null} [props]   attributes; "on…" adds a listener; false and null are skipped
 * @param {...(Node|string|number|null|undefined|false)} children
 * @returns {any}
 */
export function h(tag, props, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(props ?? {})) {
    if (value === false || value === null || value === undefined) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "value" || key === "checked" || key === "disabled") element[key] = value;
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  for (const child of children) {
    if (child !== null && child !== undefined && child !== false) element.append(/** @type {any} */ (child));
  }
  return element;
}

const BLOCKS = "p, li, h1, h2, h3, h4, h5, h6, blockquote, td, th";
const SCROLLABLE = "pre, table, math[display=block]";

/**
 * Text rendered by the server.  Each block gets its own direction, unless the direction of the whole text
 * is given.
 * @param {{html: string, dir: string}} text
 */
export function rendered({ html, dir }) {
  const element = h("div.said", { dir: dir || "auto" });
  element.innerHTML = html;
  for (const block of element.querySelectorAll(BLOCKS)) if (!block.dir) block.dir = "auto";
  // wide content scrolls by keyboard
  for (const box of element.querySelectorAll(SCROLLABLE)) box.tabIndex = 0;
  return element;
}

/**
 * Text exactly as it was written, with its spaces and line breaks.  Each line gets its own direction.
 * @param {{text: string, dir: string}} text
 */
export const written = ({ text, dir }) => h("div.said.written", { dir: dir || "auto" }, text);

/** @param {string} key */
export const keycap = (key) => h("kbd", { "aria-hidden": "true" }, key);

/** @param {number} number @param {string} singular @param {string} [plural] */
export const count = (number, singular, plural = `${singular}s`) =>
  `${number.toLocaleString("en")} ${number === 1 ? singular : plural}`;

/** @param {string} text */
export const capitalize = (text) => text.charAt(0).toUpperCase() + text.slice(1);
