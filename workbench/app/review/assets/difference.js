// Which words does only one of two texts have? Bounded, so that no text can hang the page.

// Chinese, Japanese, Thai, Lao, Khmer and Burmese are written without spaces: each sign is a word there.
const WORD =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]\p{M}*|[\p{L}\p{N}\p{M}_]+(?:['’][\p{L}\p{N}\p{M}]+)*|[^\s\p{L}\p{N}\p{M}_]/gu;
const LETTER = /[\p{L}\p{N}]/u;

const MOST_WORDS = 60_000; // beyond this a text is not compared at all
const MOST_EDITS = 2_000; // edits that the exact comparison looks for: about 16 MB and 30 ms at most

/** The words of all text nodes under an element, as [{node, start, end, word}], and whether all were read. */
export function wordsOf(element) {
  const words = [];
  // Our own words ("empty", "show all") are no part of the text.
  const accept = (node) =>
    node.parentElement.closest(".rv-empty, .rv-more") ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT;
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT, accept);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    for (const match of node.data.matchAll(WORD)) {
      if (words.length === MOST_WORDS) return { words, whole: false };
      words.push({ node, start: match.index, end: match.index + match[0].length, word: match[0] });
    }
  }
  return { words, whole: true };
}

/** Flags of the words that the other side lacks.
 *
 * @param {string[]} left
 * @param {string[]} right
 * @returns {{left: Uint8Array, right: Uint8Array, exact: boolean}} exact: from a shortest edit
 *   script; else the words that the other side has nowhere.
 */
export function changedWords(left, right) {
  const flags = { left: new Uint8Array(left.length), right: new Uint8Array(right.length), exact: true };
  let head = 0;
  while (head < left.length && head < right.length && left[head] === right[head]) head++;
  let endLeft = left.length;
  let endRight = right.length;
  while (endLeft > head && endRight > head && left[endLeft - 1] === right[endRight - 1]) {
    endLeft--;
    endRight--;
  }
  const a = left.slice(head, endLeft);
  const b = right.slice(head, endRight);
  const kept = commonSubsequence(a, b);
  if (kept) {
    flags.left.fill(1, head, endLeft);
    flags.right.fill(1, head, endRight);
    for (const [i, j] of withoutConfetti(kept, a, b)) {
      flags.left[head + i] = 0;
      flags.right[head + j] = 0;
    }
  } else {
    flags.exact = false;
    const inLeft = new Set(left);
    const inRight = new Set(right);
    left.forEach((word, i) => (flags.left[i] = inRight.has(word) ? 0 : 1));
    right.forEach((word, j) => (flags.right[j] = inLeft.has(word) ? 0 : 1));
  }
  return flags;
}

/** Index pairs of a longest common subsequence, or null beyond MOST_EDITS. Myers (1986), O((n+m)d). */
export function commonSubsequence(a, b) {
  const n = a.length;
  const m = b.length;
  const most = Math.min(n + m, MOST_EDITS);
  const reach = new Int32Array(2 * most + 3); // furthest x on each diagonal k, at index k + most + 1
  const trace = [];
  for (let d = 0; d <= most; d++) {
    // What this round reads: diagonals -d..d of the round before.
    trace.push(reach.slice(most + 1 - d, most + 2 + d));
    for (let k = -d; k <= d; k += 2) {
      const at = k + most + 1;
      let x = k === -d || (k !== d && reach[at - 1] < reach[at + 1]) ? reach[at + 1] : reach[at - 1] + 1;
      let y = x - k;
      while (x < n && y < m && a[x] === b[y]) {
        x++;
        y++;
      }
      reach[at] = x;
      if (x >= n && y >= m) return walkBack(trace, d, n, m);
    }
  }
  return null;
}

function walkBack(trace, edits, n, m) {
  const pairs = [];
  let x = n;
  let y = m;
  for (let d = edits; d > 0; d--) {
    const before = trace[d]; // index k + d
    const k = x - y;
    const down = k === -d || (k !== d && before[k - 1 + d] < before[k + 1 + d]);
    const fromK = down ? k + 1 : k - 1;
    const fromX = before[fromK + d];
    const startX = down ? fromX : fromX + 1;
    while (x > startX) pairs.push([--x, --y]);
    x = fromX;
    y = fromX - fromK;
  }
  while (x > 0 && y > 0) pairs.push([--x, --y]);
  return pairs.reverse();
}

/** Drops lone matches between changes: a shared "the" or comma there is chance, and only dazzles. */
function withoutConfetti(pairs, a, b) {
  const kept = [];
  for (let from = 0; from < pairs.length; ) {
    let to = from + 1;
    while (to < pairs.length && pairs[to][0] === pairs[to - 1][0] + 1 && pairs[to][1] === pairs[to - 1][1] + 1) to++;
    const words = pairs.slice(from, to).filter(([i]) => LETTER.test(a[i])).length;
    const atEdge = (pairs[from][0] === 0 && pairs[from][1] === 0) || (pairs[to - 1][0] === a.length - 1 && pairs[to - 1][1] === b.length - 1);
    if (words >= 2 || atEdge) kept.push(...pairs.slice(from, to));
    from = to;
  }
  return kept;
}

/** Wraps the flagged words in <mark>; neighbours in one text node share a mark. */
export function markWords(words, flags) {
  const runs = new Map(); // text node -> [[start, end]...]
  words.forEach(({ node, start, end }, i) => {
    if (!flags[i]) return;
    const list = runs.get(node) ?? runs.set(node, []).get(node);
    const last = list.at(-1);
    if (last && flags[i - 1] && words[i - 1].node === node) last[1] = end;
    else list.push([start, end]);
  });
  for (const [node, list] of runs) {
    for (const [start, end] of list.reverse()) {
      node.splitText(end);
      const mark = document.createElement("mark");
      const word = node.splitText(start);
      word.replaceWith(mark);
      mark.append(word);
    }
  }
}
