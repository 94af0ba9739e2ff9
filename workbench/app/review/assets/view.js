// Shows a session: fills the frame, and turns buttons and keys into what the session can do.

import { changedWords, markWords, wordsOf } from "./difference.js";
import { DetailsStrip } from "./details.js";
import { FRAME } from "./frame.js";
import { prepare, take, whole } from "./pair.js";
import { Panels } from "./panels.js";
import { Practice } from "./practice.js";
import { leaveUrl, readSettings, writeSettings } from "./settings.js";
import { Status, write } from "./status.js";
import { SAY, detailsWords, plural, shortName } from "./wording.js";

const TOAST_MS = 4_000;
const FLASH_MS = 140;
const READY_AHEAD = 3; // pairs whose nodes are made before they are shown

// A message posted within a frame is handled after it was drawn.
function whenDrawn(task) {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = task;
  port2.postMessage(0);
}

// Safari has no requestIdleCallback.
const whenIdle = window.requestIdleCallback?.bind(window) ?? ((task) => setTimeout(task, 50));

export class View {
  constructor(root, session) {
    this.root = root;
    this.session = session;
    this.settings = readSettings();
    this.practice = new Practice(session.data.scope, session.data.practice);
    this.shown = null; // the item in the page
    this.shownAt = Infinity; // when its first frame was on the screen
    this.expanded = false;
    root.innerHTML = FRAME;
    this.find(".rv-leave").href = leaveUrl();
    this.panels = new Panels(this);
    this.status = new Status(root, session);
    this.details = new DetailsStrip(this.find(".rv-details"), session, () => this.status.bar(null));
    this.tool("details").lastElementChild.firstChild.data = detailsWords(session.data)[0];
    root.addEventListener("click", (event) => this.clicked(event));
    for (const side of ["left", "right"]) {
      this.body(side).addEventListener("scroll", () => this.scrolled(side), { passive: true });
    }
    session.view = this;
    this.applySettings();
    this.refresh();
  }

  find(selector) {
    return this.root.querySelector(selector);
  }

  body(name) {
    return this.find(`[data-body="${name}"]`);
  }

  tool(name) {
    return this.find(`.rv-tool[data-act="${name}"]`);
  }

  // --- showing ---

  /** Whether the practice set is still to be done: only by who has not voted in this round yet. */
  get practising() {
    const { session } = this;
    return Boolean(this.practice.current) && session.progress?.mine === 0 && session.history.length === 0;
  }

  get item() {
    return this.practising ? this.practice.current : this.session.current;
  }

  /** Brings the page in line with the session; called after every change. */
  refresh() {
    this.refreshState(); // first: a part that is hidden cannot be scrolled
    if (this.item !== this.shown) this.paint(this.item);
    this.status.refresh(this.practising ? this.practice : null);
  }

  paint(item) {
    this.shown = item;
    this.shownAt = Infinity;
    this.expanded = false;
    this.find(".rv-toast").hidden = true; // it spoke of the pair before
    this.root.dataset.item = item?.id ?? "";
    if (item) {
      const nodes = take(item);
      this.body("prompt").replaceChildren(...nodes.prompt);
      for (const side of ["left", "right"]) this.fill(side, nodes[side]);
      this.pressed("expand", false);
      this.details.show();
      this.afterFirstFrame(item, nodes.prompt.length > 1);
    }
  }

  fill(side, { first, rest, nRest }) {
    const body = this.body(side);
    body.replaceChildren(first);
    body.classList.toggle("rv-long", nRest > 0);
    if (nRest) {
      const more = document.createElement("button");
      more.type = "button";
      more.className = "rv-more";
      more.dataset.act = "expand";
      more.textContent = SAY.truncated(nRest);
      body.append(more);
    }
  }

  /** What may wait until the pair is on the screen: its clock, marks, reading aloud, the next pairs. */
  afterFirstFrame(item, conversation) {
    requestAnimationFrame(() => {
      if (this.shown !== item) return;
      // Scrolling needs the layout, which the frame makes anyway; earlier it would be made twice.
      for (const side of ["left", "right"]) this.body(side).scrollTop = 0;
      // The newest turn is what the responses answer.
      this.body("prompt").scrollTop = conversation ? this.body("prompt").scrollHeight : 0;
      // From this frame on the pair is on the screen; a key pressed before it meant another pair.
      this.shownAt = performance.now();
      this.root.dataset.shown = item.id;
      this.session.clock.restart();
      whenDrawn(() => {
        if (this.shown === item && this.settings.difference) this.mark();
      });
      whenIdle(() => {
        if (this.shown === item) this.announce(item);
        this.session.queue.slice(1, 1 + READY_AHEAD).forEach(prepare);
      });
    });
  }

  announce(item) {
    const before = this.session.before;
    const said = before ? `Taken back: ${before.kind === "skip" ? "skip" : shortName(before.label)}. ` : "";
    const asked = this.body("prompt").textContent.trim().slice(0, 160);
    this.say(`${said}${item.left_html === item.right_html ? `${SAY.same} ` : ""}Prompt: ${asked}`);
  }

  say(text) {
    this.find(".rv-live").textContent = text;
  }

  refreshState() {
    const { session } = this;
    const state = this.practising ? "pair" : session.state;
    this.root.dataset.state = state;
    this.find(".rv-empty-state").hidden = state === "pair";
    for (const part of [".rv-prompt", ".rv-pair"]) this.find(part).hidden = state !== "pair";
    if (state !== "pair") {
      const text = state === "fetching" ? null : SAY[state];
      write(this.find(".rv-empty-state h2"), text ? text.title : "");
      write(this.find(".rv-empty-state p"), text ? text.text(session.counts?.mine ?? 0) : SAY.fetching);
    }
    const { verdict } = this.practice;
    this.find(".rv-verdict").hidden = !verdict;
    if (verdict) {
      const said = verdict.right ? SAY.practiceRight : SAY.practiceWrong(shortName(verdict.expected));
      write(this.find(".rv-verdict p"), `${said} ${verdict.why}`);
    }
    for (const button of this.root.querySelectorAll(".rv-choice")) button.disabled = state !== "pair" || Boolean(verdict);
    const blocked = state !== "pair" || this.practising;
    for (const name of ["note", "skip"]) this.tool(name).disabled = blocked;
    this.tool("undo").disabled = session.history.length === 0 || this.practising;
    this.details.visible(this.settings.details && state === "pair" && !this.practising);
  }

  tell(what) {
    this.toast(SAY[what]);
  }

  toast(text) {
    const toast = this.find(".rv-toast");
    toast.textContent = text;
    toast.hidden = false;
    this.say(text);
    clearTimeout(this.toastTimer);
    this.toastTimer = setTimeout(() => (toast.hidden = true), TOAST_MS);
  }

  // --- doing ---

  /** One action by key or click, at `time` (of the event). Whatever came before the first frame of
   * the pair on the screen was meant for another pair, and is dropped. */
  act(name, time) {
    if (time < this.shownAt && this.item && ["skip", "note"].includes(name)) return;
    const toggles = { difference: () => this.mark(), together: () => {}, details: () => this.toggleDetails() };
    if (name in toggles) {
      this.settings[name] = !this.settings[name];
      writeSettings(this.settings);
      this.applySettings();
      toggles[name]();
    } else if (name === "expand") this.expand();
    else if (name === "fold") this.fold();
    else if (name === "undo") this.undo();
    else if (name === "next") this.nextPractice();
    else if (name === "practised") this.endPractice();
    else if (!this.tool(name)?.disabled) this.panels.open(name);
  }

  choose(label, time) {
    if (!this.item || time < this.shownAt || this.practice.verdict) return;
    this.flash(label);
    if (this.practising) {
      this.practice.vote(label);
      this.refresh();
      this.tool("next").focus();
    } else {
      this.session.vote(label);
    }
  }

  skip(reason) {
    if (this.session.skip(reason)) this.toast("Skipped. U takes it back.");
  }

  undo() {
    if (this.practising || !this.session.undo()) return;
    const { kind, label } = this.session.before;
    this.toast(kind === "skip" ? "Back at the pair you skipped." : `Back at this pair: you had chosen “${shortName(label)}”.`);
  }

  nextPractice() {
    this.practice.next();
    this.refresh();
  }

  endPractice() {
    this.practice.finish();
    this.refresh();
  }

  flash(label) {
    const button = this.find(`[data-choice="${label}"]`);
    button.classList.add("rv-flash");
    setTimeout(() => button.classList.remove("rv-flash"), FLASH_MS);
  }

  /** Whoever opens the strip wants to mark something: the focus goes there, and comes back after. */
  toggleDetails() {
    const within = this.details.hasFocus;
    this.refreshState();
    if (this.settings.details) this.details.focus();
    else if (within) this.tool("details").focus();
  }

  expand() {
    if (!this.shown) return;
    this.expanded = !this.expanded;
    this.root.classList.toggle("rv-expanded", this.expanded);
    this.pressed("expand", this.expanded);
    for (const side of ["left", "right"]) this.refill(side);
    if (this.settings.difference) this.mark();
  }

  refill(side) {
    const html = this.shown[`${side}_html`];
    const top = this.body(side).scrollTop;
    if (this.expanded) {
      this.body(side).replaceChildren(whole(html));
      this.body(side).classList.add("rv-long");
    } else {
      this.fill(side, take(this.shown)[side]);
    }
    this.body(side).scrollTop = top;
  }

  fold() {
    const folded = this.root.classList.toggle("rv-folded");
    this.find(".rv-fold").setAttribute("aria-expanded", String(!folded));
  }

  mark() {
    if (!this.shown) return;
    for (const side of ["left", "right"]) if (this.body(side).querySelector("mark")) this.refill(side);
    if (!this.settings.difference) return;
    const left = wordsOf(this.body("left"));
    const right = wordsOf(this.body("right"));
    const flags = changedWords(
      left.words.map(({ word }) => word),
      right.words.map(({ word }) => word),
    );
    markWords(left.words, flags.left);
    markWords(right.words, flags.right);
    const n = flags.left.reduce((a, b) => a + b, 0) + flags.right.reduce((a, b) => a + b, 0);
    if (!n) this.toast(this.shown.left_html === this.shown.right_html ? SAY.same : SAY.noDifference);
    else if (!flags.exact || !left.whole || !right.whole) this.toast(SAY.roughDifference);
    else this.say(`${plural(n, "word")} marked.`);
  }

  scrolled(side) {
    if (!this.settings.together) return;
    const from = this.body(side);
    // The echo of our own setting scrolls nothing further.
    if (this.expected && this.expected[0] === side && Math.abs(this.expected[1] - from.scrollTop) < 2) {
      this.expected = null;
      return;
    }
    const other = side === "left" ? "right" : "left";
    const to = this.body(other);
    const room = from.scrollHeight - from.clientHeight;
    const top = room > 0 ? Math.round((from.scrollTop / room) * (to.scrollHeight - to.clientHeight)) : 0;
    if (Math.abs(to.scrollTop - top) < 1) return;
    this.expected = [other, top];
    to.scrollTop = top;
  }

  /** Scrolls both responses when no part of the page that scrolls by itself has the focus. */
  scrollBy(share) {
    for (const side of ["left", "right"]) {
      const body = this.body(side);
      body.scrollBy({ top: share * body.clientHeight, behavior: "instant" });
    }
  }

  applySettings() {
    for (const name of ["difference", "together", "details"]) this.pressed(name, this.settings[name]);
    this.root.dataset.keys = this.settings.keys ? "on" : "off";
  }

  pressed(name, on) {
    this.tool(name).setAttribute("aria-pressed", String(on));
    if (name === "expand") this.root.classList.toggle("rv-expanded", on);
  }

  clicked(event) {
    const button = event.composedPath().find((node) => node instanceof HTMLButtonElement);
    if (!button || button.disabled) return;
    // After a click with the mouse the space bar should scroll, not press the button again.
    if (event.detail > 0 && !button.closest("dialog")) button.blur();
    if (button.dataset.choice) {
      // The second half of a double click is not a judgement of the next pair.
      if (event.detail > 1 && event.timeStamp - this.shownAt < 300) return;
      this.choose(button.dataset.choice, event.timeStamp);
    } else if (button.dataset.act) {
      this.act(button.dataset.act, event.timeStamp);
    }
  }
}
