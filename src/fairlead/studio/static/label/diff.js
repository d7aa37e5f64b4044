/**
 * Word-level diff: the shortest edit script (Myers, 1986) over words, spaces and punctuation.
 *
 * The names a, b, d, k, x and y follow the paper: d edits, diagonal k = x - y, x tokens of a and y tokens
 * of b consumed.
 */

/** @typedef {{kind: "same"|"gone"|"new", text: string}} Part */

const MAX_EDITS = 1000; // beyond this the texts have little in common, and the search is slow

/** @param {string} text @returns {string[]} */
export const tokenize = (text) => text.match(/\s+|[\p{L}\p{N}_'’-]+|[^\s\p{L}\p{N}_]/gu) ?? [];

/** @param {string} before @param {string} after @returns {Part[]} */
export function diff(before, after) {
  const a = tokenize(before);
  const b = tokenize(after);
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  const maxEnd = Math.min(a.length, b.length) - start;
  let end = 0;
  while (end < maxEnd && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  const middle = shortestEdit(a.slice(start, a.length - end), b.slice(start, b.length - end));
  return merged([
    { kind: "same", text: a.slice(0, start).join("") },
    ...middle,
    { kind: "same", text: a.slice(a.length - end).join("") },
  ]);
}

/** @param {string[]} a @param {string[]} b @returns {Part[]} */
function shortestEdit(a, b) {
  const maxEdits = Math.min(a.length + b.length, MAX_EDITS);
  /** @type {Int32Array[]} trace[d][k + d]: the furthest x that d edits reach on diagonal k */
  const trace = [];
  let previous = new Int32Array(3);
  for (let d = 0; d <= maxEdits; d++) {
    const row = new Int32Array(2 * d + 1);
    for (let k = -d; k <= d; k += 2) {
      let x = 0;
      if (d > 0) {
        const isInsertion = stepIsInsertion(previous, d, k);
        x = isInsertion ? furthest(previous, d - 1, k + 1) : furthest(previous, d - 1, k - 1) + 1;
      }
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x++;
      row[k + d] = x;
      if (x >= a.length && x - k >= b.length) {
        trace.push(row);
        return backtrack(trace, a, b);
      }
    }
    trace.push(row);
    previous = row;
  }
  return [
    { kind: "gone", text: a.join("") },
    { kind: "new", text: b.join("") },
  ];
}

/** @param {Int32Array} row @param {number} d @param {number} k */
const furthest = (row, d, k) => (Math.abs(k) > d ? -1 : row[k + d]);

/**
 * Whether the d-th edit on diagonal k inserts a token of b (otherwise it deletes a token of a).
 * @param {Int32Array} previous   row d - 1 of the trace
 * @param {number} d
 * @param {number} k
 */
const stepIsInsertion = (previous, d, k) =>
  k === -d || (k !== d && furthest(previous, d - 1, k - 1) < furthest(previous, d - 1, k + 1));

/**
 * Reads the edits off the trace, from the end to the start.
 * @param {Int32Array[]} trace
 * @param {string[]} a
 * @param {string[]} b
 * @returns {Part[]}
 */
function backtrack(trace, a, b) {
  /** @type {Part[]} */
  const reversed = [];
  let x = a.length;
  let y = b.length;
  const keep = () => {
    x--;
    y--;
    reversed.push({ kind: "same", text: a[x] });
  };
  for (let d = trace.length - 1; d > 0; d--) {
    const k = x - y;
    const isInsertion = stepIsInsertion(trace[d - 1], d, k);
    const previousK = isInsertion ? k + 1 : k - 1;
    const previousX = furthest(trace[d - 1], d - 1, previousK);
    const afterEditX = previousX + (isInsertion ? 0 : 1);
    while (x > afterEditX) keep();
    if (isInsertion) reversed.push({ kind: "new", text: b[--y] });
    else reversed.push({ kind: "gone", text: a[--x] });
  }
  while (x > 0) keep();
  return reversed.reverse();
}

/** Joins neighbouring parts of the same kind.  @param {Part[]} parts @returns {Part[]} */
function merged(parts) {
  /** @type {Part[]} */
  const result = [];
  for (const part of parts) {
    if (!part.text) continue;
    const last = result.at(-1);
    if (last?.kind === part.kind) last.text += part.text;
    else result.push({ ...part });
  }
  return result;
}
