// From a pair's HTML to nodes: parsed ahead of time, long texts cut until they are asked for.

import { ROLES, SAY } from "./wording.js";

// About six screens of text. Longer responses start cut, so that the next pair always paints at once.
const LONG_CHARS = 12_000;

const nodesOf = new WeakMap(); // item -> {prompt, left, right}, used once

// The HTML was rendered and sanitised by the server; it is never put together here.
function parse(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

function element(tag, className, text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

function turn({ role, html }) {
  const block = element("div", "rv-turn");
  block.dataset.role = role;
  const text = element("div", "rv-text");
  text.append(parse(html));
  block.append(element("div", "rv-role", ROLES[role] ?? role), text);
  return block;
}

/** Nodes of the prompt: a conversation shows who speaks, a single question needs no label. */
function promptNodes(turns) {
  if (turns.length === 1 && turns[0].role === "user") {
    const text = element("div", "rv-text");
    text.append(parse(turns[0].html));
    return [text];
  }
  return turns.map(turn);
}

/** {first, rest, nRest}: the top-level blocks up to LONG_CHARS, and what follows them. */
function cut(html) {
  const first = parse(html);
  if (!first.textContent.trim() && !first.querySelector("hr")) {
    first.replaceChildren(element("p", "rv-empty", SAY.emptyResponse));
  }
  const rest = document.createDocumentFragment();
  if (first.textContent.length <= LONG_CHARS * 1.2) return { first, rest, nRest: 0 };
  let n = 0;
  let block = first.firstChild;
  while (block && n < LONG_CHARS) {
    n += block.textContent.length;
    block = block.nextSibling;
  }
  while (block) {
    const next = block.nextSibling;
    rest.append(block);
    block = next;
  }
  return { first, rest, nRest: rest.textContent.length };
}

export function prepare(item) {
  if (!nodesOf.has(item)) {
    nodesOf.set(item, {
      prompt: promptNodes(item.prompt_html),
      left: cut(item.left_html),
      right: cut(item.right_html),
    });
  }
}

/** The nodes of an item; a second call makes them anew (the first ones are in the page, maybe marked). */
export function take(item) {
  prepare(item);
  const nodes = nodesOf.get(item);
  nodesOf.delete(item);
  return nodes;
}

/** One response again, whole and without marks. */
export function whole(html) {
  const { first, rest } = cut(html);
  first.append(rest);
  return first;
}
