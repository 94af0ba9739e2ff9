// What opens over the page: guidelines, the list of keys, a note, the reason of a skip.

import { CHOICES, LEAVE, PANELS, SKIP_REASONS, TOOLS, detailsWords } from "./wording.js";
import { leaveUrl, writeSettings } from "./settings.js";

const NOTE_CHARS = 4_000;

function make(tag, fields = {}, ...children) {
  const made = Object.assign(document.createElement(tag), fields);
  made.append(...children);
  return made;
}

/** One modal dialog at a time; the browser's own element traps the focus and closes on Escape. */
export class Panels {
  constructor(view) {
    this.view = view;
    this.dialog = null;
  }

  get isOpen() {
    return this.dialog !== null;
  }

  open(name) {
    if (this.dialog) return;
    const content = { guidelines: () => this.guidelines(), help: () => this.help(), note: () => this.note(), skip: () => this.skip() }[name]?.();
    if (!content) return;
    const close = make("button", { type: "button", className: "rv-close", ariaLabel: "Close", textContent: "✕" });
    const title = make("h2", { id: "rv-dialog-title", textContent: content.title });
    const dialog = make("dialog", { className: `rv-dialog rv-dialog-${name}` }, make("header", {}, title, close), ...content.parts);
    dialog.setAttribute("aria-labelledby", "rv-dialog-title");
    close.onclick = () => this.close();
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) this.close(); // beside the box
    });
    // Closed by the browser itself; the event of an earlier dialog may come late.
    dialog.addEventListener("close", () => this.dialog === dialog && this.close());
    this.done = content.done;
    this.view.root.append(dialog);
    this.dialog = dialog;
    this.name = name;
    this.openedAt = Infinity;
    dialog.showModal();
    (content.focus ?? dialog.querySelector(".rv-scroll") ?? close).focus();
    requestAnimationFrame(() => (this.openedAt = performance.now()));
  }

  close() {
    const { dialog } = this;
    if (!dialog) return;
    this.dialog = null;
    this.done?.();
    dialog.close(); // gives the focus back to where it was
    dialog.remove();
    this.view.refresh();
  }

  /** A key while a dialog is open; true if it meant something here. */
  key(key, time) {
    if (key === { guidelines: "g", help: "?", skip: "s" }[this.name]) {
      this.close();
      return true;
    }
    if (this.name === "skip" && /^[1-9]$/.test(key) && time >= this.openedAt) {
      const button = this.dialog.querySelectorAll(".rv-reason")[Number(key) - 1];
      button?.click();
      return Boolean(button);
    }
    return false;
  }

  guidelines() {
    const text = make("div", { className: "rv-scroll rv-text", tabIndex: 0 });
    // Rendered and sanitised by the server, like every text.
    text.innerHTML = this.view.session.data.guidelines_html || "<p>This round has no guidelines.</p>";
    text.append(this.whoami());
    return { title: "Guidelines", parts: [text] };
  }

  /** Also here: a phone's top line has no room for it. */
  whoami() {
    const leave = make("a", { href: leaveUrl(), target: "_self", textContent: LEAVE });
    return make("p", { className: "rv-small" }, `You are ${this.view.session.data.who}. `, leave);
  }

  help() {
    const rows = [
      ...CHOICES.map(({ key, text, says }) => [key, says ?? text]),
      ...TOOLS.map(({ name, key, says }) => [key, name === "details" ? detailsWords(this.view.session.data)[1] : says]),
      ["P", "Fold the prompt away, or open it"],
      ...PANELS.map(({ key, says }) => [key, says]),
      ["↑ ↓ Space", "Scroll both responses"],
      ["Esc", "Close what is open"],
    ];
    const list = make("dl", { className: "rv-keys" });
    for (const [key, says] of rows) {
      const keys = key.split(" ").map((one) => make("kbd", { textContent: one }));
      list.append(make("div", {}, make("dt", {}, ...keys), make("dd", { textContent: says })));
    }
    const body = make(
      "div",
      { className: "rv-scroll", tabIndex: 0 },
      list,
      this.setting("keys", "Single keys do things (off: buttons only, for speech input and screen readers)"),
      this.setting("arrows", "← and → choose left and right"),
      make("p", {
        className: "rv-small",
        textContent: "Keys do nothing while you type. Every answer is kept on this device until the server has stored it.",
      }),
    );
    body.append(this.whoami());
    return { title: "Keys", parts: [body] };
  }

  setting(name, text) {
    const { view } = this;
    const box = make("input", { type: "checkbox", checked: view.settings[name] });
    box.onchange = () => {
      view.settings[name] = box.checked;
      writeSettings(view.settings);
      view.applySettings();
    };
    return make("label", { className: "rv-setting" }, box, make("span", { textContent: text }));
  }

  note() {
    const { notes } = this.view.session;
    const area = make("textarea", { value: notes.comment, rows: 5, maxLength: NOTE_CHARS, dir: "auto", ariaLabel: "Your note on this pair" });
    area.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.close();
    });
    const keep = make("button", { type: "button", className: "rv-primary", textContent: "Keep note" });
    keep.onclick = () => this.close();
    const hint = make("p", { className: "rv-small", textContent: "Stored with your answer on this pair. Ctrl+Enter or Esc closes; what you wrote is kept." });
    // Taken when the dialog closes in whatever way: a note is never lost to Escape.
    return { title: "Note", parts: [area, hint, keep], focus: area, done: () => (notes.comment = area.value.trim()) };
  }

  skip() {
    const item = this.view.item;
    const give = (reason) => {
      this.close();
      if (this.view.item === item) this.view.skip(reason);
    };
    const reasons = SKIP_REASONS.map((reason, n) => {
      const button = make("button", { type: "button", className: "rv-reason" }, make("kbd", { textContent: String(n + 1) }), make("span", { textContent: reason }));
      button.onclick = () => give(reason);
      return button;
    });
    const other = make("input", { type: "text", maxLength: 500, placeholder: "Another reason", dir: "auto", ariaLabel: "Another reason" });
    const send = make("button", { type: "submit", className: "rv-primary", textContent: "Skip" });
    const form = make("form", { className: "rv-other" }, other, send);
    form.onsubmit = (event) => {
      event.preventDefault();
      give(other.value.trim() || null);
    };
    const hint = make("p", { className: "rv-small", textContent: "You are not asked about it again; it is left to other people." });
    return { title: "Why skip this pair?", parts: [hint, ...reasons, form], focus: reasons[0] };
  }
}
