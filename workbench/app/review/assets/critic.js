// One critique on a card, drawn in one step with its keys: a key judges what stands on the screen,
// and nothing else. After a choice the card waits for the next critique; keys do nothing meanwhile.

import { isTyping, keyName } from "./keys.js";

const OPINIONS = [
  { opinion: "right", key: "1", text: "Right" },
  { opinion: "wrong", key: "2", text: "Wrong" },
  { opinion: "unsure", key: "3", text: "Cannot tell" },
];
const MOST_CHARS = 2000;

const cards = new WeakMap(); // parentElement -> Card

class Card {
  constructor(parent) {
    this.root = parent.querySelector(".cr");
    this.stop = new AbortController();
    this.sent = null; // the choice that the server has not answered yet
    this.drawn = null; // the data that stand on the screen
    window.addEventListener("keydown", (event) => this.key(event), { capture: true, signal: this.stop.signal });
  }

  update({ data, setStateValue }) {
    this.send = (said) => setStateValue("said", said);
    const { done, ...shown } = data;
    if (this.sent && (done === this.sent.n || data.id !== this.sent.shown)) this.sent = null;
    const text = JSON.stringify(shown);
    if (text !== this.drawn) this.draw(data); // else what was typed stays
    this.drawn = text;
    this.root.dataset.state = this.sent ? "sent" : "open";
  }

  draw(data) {
    this.data = data;
    const count = make("p", "cr-count", data.count);
    count.setAttribute("role", "status");
    const parts = [count, ...(data.id ? this.critique(data) : [])];
    if (data.undo) {
      const row = this.row([this.button("u", `Undo: ${data.undo.text}`, () => this.undo())]);
      row.classList.add("cr-undo");
      parts.push(row);
    }
    this.root.replaceChildren(...parts);
  }

  critique(data) {
    const head = make("header", "cr-head", [make("h2", "", data.title), make("p", "", data.about)]);
    const turns = data.prompt.map(({ role, html }) => make("div", "", [make("p", "cr-role", role), rendered(html)]));
    this.why = make("input", "cr-why");
    Object.assign(this.why, { type: "text", maxLength: MOST_CHARS, id: "cr-why", autocomplete: "off" });
    this.why.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === "Escape") this.why.blur(); // then keys are commands again
    });
    const label = make("label", "", "Why (optional; Enter, then a key)");
    label.htmlFor = this.why.id;
    return [
      head,
      pane("Prompt", turns),
      make("div", "cr-two", [
        pane("Response", [rendered(data.response_html)]),
        pane("What the critic says", [rendered(data.critic_html)]),
      ]),
      label,
      this.why,
      this.row(OPINIONS.map(({ opinion, key, text }) => this.button(key, text, () => this.judge(opinion)))),
    ];
  }

  row(buttons) {
    return make("div", "cr-row", buttons);
  }

  button(key, text, act) {
    const button = make("button", "", [make("kbd", "", key.toUpperCase()), make("span", "", text)]);
    button.type = "button";
    button.addEventListener("click", act);
    return button;
  }

  judge(opinion) {
    this.say({ critique: this.data.id, opinion, why: this.why.value });
  }

  undo() {
    this.say({ critique: this.data.undo.id, opinion: "withdrawn", why: "" });
  }

  say(choice) {
    if (this.sent) return;
    const n = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
    this.sent = { n, shown: this.data.id };
    this.root.dataset.state = "sent";
    this.send({ n, ...choice });
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat || isTyping(event)) return;
    if (document.querySelector("[role=dialog]")) return;
    const key = keyName(event);
    const choice = this.data.id && OPINIONS.find((one) => one.key === key);
    if (!choice && !(key === "u" && this.data.undo)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (choice) this.judge(choice.opinion);
    else this.undo();
  }
}

function make(tag, name, content = []) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.append(...(Array.isArray(content) ? content : [content]));
  return element;
}

/** Sanitised by the server, as everything whose name ends in `html`. */
function rendered(html) {
  const element = make("div", "rv-scroll");
  element.innerHTML = html;
  return element;
}

function pane(title, parts) {
  const body = make("div", "cr-body", parts);
  body.tabIndex = 0; // so that the keyboard scrolls it
  body.setAttribute("role", "group");
  body.setAttribute("aria-label", title);
  return make("section", "cr-pane", [make("h3", "", title), body]);
}

export default function (component) {
  const parent = component.parentElement;
  let card = cards.get(parent);
  if (!card) cards.set(parent, (card = new Card(parent)));
  card.update(component);
  return () => {
    card.stop.abort();
    cards.delete(parent);
  };
}
