/** Elements, without a template language.  Text is always text; only `rendered` takes HTML, and that from the server's cleaner. */

/**
 * @param {string} tag   "div", or with classes: "div.card.flush"
 * @param {Object<string, any>|null} [props]   attributes; on… are listeners; false and null are left out
 * @param {...(Node|string|number|null|undefined|false)} children
 * @returns {any}
 */
export function h(tag, props, ...children) {
  const [name, ...classes] = tag.split(".");
  const made = document.createElement(name);
  if (classes.length) made.className = classes.join(" ");
  for (const [key, value] of Object.entries(props ?? {})) {
    if (value === false || value === null || value === undefined) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key === "value" || key === "checked" || key === "disabled") made[key] = value;
    else made.setAttribute(key, value === true ? "" : String(value));
  }
  for (const child of children) if (child !== null && child !== undefined && child !== false) made.append(/** @type {any} */ (child));
  return made;
}

/**
 * A rendered text.  Every block decides its own direction, unless the text as a whole is known.
 * @param {{html: string, dir: string}} one
 */
export function rendered(one) {
  const made = h("div.said", { dir: one.dir || "auto" });
  made.innerHTML = one.html;
  for (const block of made.querySelectorAll("p, li, h1, h2, h3, h4, h5, h6, blockquote, td, th")) if (!block.dir) block.dir = "auto";
  for (const box of made.querySelectorAll("pre, table, math[display=block]")) box.tabIndex = 0; // so that keys can scroll what is wider
  return made;
}

/** @param {string} key */
export const keycap = (key) => h("kbd", { "aria-hidden": "true" }, key);

/** @param {number} n @param {string} one @param {string} [many] */
export const count = (n, one, many) => `${n.toLocaleString("en")} ${n === 1 ? one : (many ?? one + "s")}`;
