/** Which words differ: the shortest way from one text to the other (Myers, 1986), words and the gaps between them as the letters. */

/** @typedef {{kind: "same"|"gone"|"new", text: string}} Part */

const MOST_EDITS = 1000; // beyond this the texts have little in common, and the answer would be slow and useless

/** @param {string} text @returns {string[]} */
export const words = (text) => text.match(/\s+|[\p{L}\p{N}_'’-]+|[^\s\p{L}\p{N}_]/gu) ?? [];

/** @param {string} before @param {string} after @returns {Part[]} */
export function diff(before, after) {
  const a = words(before);
  const b = words(after);
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  const middle = myers(a.slice(start, a.length - end), b.slice(start, b.length - end));
  /** @type {Part[]} */
  const all = [{ kind: "same", text: a.slice(0, start).join("") }, ...middle, { kind: "same", text: a.slice(a.length - end).join("") }];
  return joined(all);
}

/** @param {string[]} a @param {string[]} b @returns {Part[]} */
function myers(a, b) {
  const most = Math.min(a.length + b.length, MOST_EDITS);
  /** @type {Int32Array[]} furthest[d][k + d] is how far into `a` d edits reach on diagonal k */
  const trace = [];
  let row = new Int32Array(3);
  for (let d = 0; d <= most; d++) {
    const next = new Int32Array(2 * d + 1);
    for (let k = -d; k <= d; k += 2) {
      const down = k === -d || (k !== d && at(row, d - 1, k - 1) < at(row, d - 1, k + 1));
      let x = d === 0 ? 0 : down ? at(row, d - 1, k + 1) : at(row, d - 1, k - 1) + 1;
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x++;
      next[k + d] = x;
      if (x >= a.length && x - k >= b.length) {
        trace.push(next);
        return walked(trace, a, b);
      }
    }
    trace.push(next);
    row = next;
  }
  return [{ kind: "gone", text: a.join("") }, { kind: "new", text: b.join("") }];
}

/** @param {Int32Array} row @param {number} d @param {number} k */
const at = (row, d, k) => (Math.abs(k) > d ? -1 : row[k + d]);

/** @param {Int32Array[]} trace @param {string[]} a @param {string[]} b @returns {Part[]} */
function walked(trace, a, b) {
  /** @type {Part[]} */
  const back = [];
  let [x, y] = [a.length, b.length];
  for (let d = trace.length - 1; d >= 0; d--) {
    const k = x - y;
    const row = trace[d - 1];
    const down = d > 0 && (k === -d || (k !== d && at(row, d - 1, k - 1) < at(row, d - 1, k + 1)));
    const fromX = d === 0 ? 0 : down ? at(row, d - 1, k + 1) : at(row, d - 1, k - 1);
    const fromY = d === 0 ? 0 : fromX - (down ? k + 1 : k - 1);
    while (x > fromX && y > fromY && !(d > 0 && x === fromX + (down ? 0 : 1) && y === fromY + (down ? 1 : 0))) {
      back.push({ kind: "same", text: a[--x] });
      y--;
    }
    if (d > 0) {
      if (down) back.push({ kind: "new", text: b[--y] });
      else back.push({ kind: "gone", text: a[--x] });
    }
  }
  return back.reverse();
}

/** Neighbours of one kind as one part.  @param {Part[]} parts @returns {Part[]} */
function joined(parts) {
  /** @type {Part[]} */
  const made = [];
  for (const part of parts) {
    if (!part.text) continue;
    const last = made.at(-1);
    if (last?.kind === part.kind) last.text += part.text;
    else made.push({ ...part });
  }
  return made;
}
