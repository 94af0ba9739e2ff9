// One person's work on one round: the queue, the answers given, undo. Knows nothing of the page.

import { ActiveClock } from "./clock.js";
import { Outbox } from "./outbox.js";
import { Sync } from "./sync.js";

const UNDOS = 20;
const TICK_MS = 500;
const ADOPT_MS = 2_000;

// crypto.randomUUID exists only on https and localhost; colleagues may come over plain http.
function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

const blank = () => ({ comment: "", tags: { left: [], right: [] }, criteria: {} });

/** What was noted on an earlier page, as the server tells it. */
function notesOf({ comment, details }) {
  const { left = [], right = [] } = details?.tags ?? {};
  return { comment: comment ?? "", tags: { left, right }, criteria: details?.criteria ?? {} };
}

/** Lives as long as the browser page: Streamlit may take the component away and mount it again after
 * a reconnect, and nothing here is lost by that. `view` is the mounted component, or null. */
export class Session {
  constructor(data) {
    this.data = data;
    this.queue = [];
    this.history = []; // answers that can be taken back, oldest first
    this.undoneVotes = new Set(); // ids of undo operations that take back a vote
    this.answered = new Set(); // lease ids answered here: never shown again by a late response
    this.progress = null;
    this.closed = false;
    this.synced = false;
    this.signedOff = false;
    this.refusal = "";
    this.want = data.want ?? 12;
    this.lastSeq = 0;
    this.notes = blank(); // of the pair on the screen
    this.before = null; // the answer just taken back
    this.clock = new ActiveClock();
    this.view = null;
    this.renew = () => {};
    this.outbox = new Outbox(data.scope);
    this.outbox.onChange = () => this.changed();
    this.outbox.onElsewhere = (op) => this.elsewhere(op);
    this.sync = new Sync(data.api, this.outbox, this);
    this.start();
  }

  async start() {
    // First of all the answers of an earlier page, so that the history the server tells holds them.
    // A browser that never opens its database must not keep the page from working.
    await Promise.race([this.outbox.adopt(), new Promise((resolve) => setTimeout(resolve, ADOPT_MS))]);
    this.sync.now();
    setInterval(() => this.sync.tick(this.hungry), TICK_MS);
    window.addEventListener("online", () => this.sync.now());
    window.addEventListener("pagehide", () => this.sync.farewell());
    window.addEventListener("pageshow", (event) => event.persisted && this.sync.now());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "hidden") {
        this.clock.hide();
        if (this.outbox.size) this.sync.now();
      } else {
        this.clock.show();
        this.sync.now();
      }
    });
  }

  /** New data from the script: a fresh token, or other settings of the round. */
  take(data) {
    if (data.token !== this.data.token) this.signedOff = false;
    this.data = data;
    if (this.outbox.size || this.hungry) this.sync.now();
  }

  get current() {
    return this.queue[0] ?? null;
  }

  get hungry() {
    return !this.closed && this.queue.length < this.want / 2 && Date.now() - this.sync.lastAt > this.patience;
  }

  // An empty answer is not asked for again at once: pairs come back when somebody else is away.
  get patience() {
    return this.starved ? 10_000 : 400;
  }

  // --- what the person does ---

  vote(label) {
    const item = this.current;
    if (!item) return null;
    const { comment, tags, criteria } = this.notes;
    return this.answer({
      kind: "vote",
      lease: item.id,
      label,
      seconds: this.clock.seconds(),
      comment: comment || null,
      details: { tags, criteria },
    });
  }

  skip(reason) {
    const item = this.current;
    if (!item) return null;
    return this.answer({ kind: "skip", lease: item.id, reason: reason || null });
  }

  answer(fields) {
    const item = this.queue.shift();
    const op = this.post(fields);
    this.answered.add(item.id);
    this.history.push({ id: op.id, kind: op.kind, label: op.label ?? null, item, notes: this.notes });
    if (this.history.length > UNDOS) this.history.shift();
    this.fresh(null);
    return op;
  }

  undo() {
    const last = this.history.pop();
    if (!last) return null;
    const op = this.post({ kind: "undo", target: last.id });
    if (last.kind === "vote") this.undoneVotes.add(op.id);
    this.answered.delete(last.item.id);
    this.queue.unshift(last.item);
    this.fresh(last);
    return last;
  }

  /** Another pair is on the screen (the one taken back, with what was noted on it, if `before`). */
  fresh(before) {
    this.before = before;
    this.notes = before?.notes ?? blank();
    this.changed();
  }

  post(fields) {
    // Strictly rising, also within one millisecond and after the clock was set back.
    this.lastSeq = Math.max(Date.now(), this.lastSeq + 0.001);
    const op = { id: uuid(), client_at: Date.now(), seq: this.lastSeq, ...fields };
    this.outbox.put(op); // kept on this device before anything else happens
    // After the frame that shows the next pair: the browser draws before it runs timers.
    setTimeout(() => this.sync.now());
    return op;
  }

  // --- what the server says ---

  request() {
    return {
      token: this.data.token,
      want: this.want,
      have: this.queue.map((item) => item.id),
      active: this.clock.active,
      history: !this.synced,
    };
  }

  heard(answer) {
    for (const [id, status] of answer.acks) {
      if (status.startsWith("rejected")) this.lost([id], status.slice("rejected:".length));
      else this.outbox.remove(id);
    }
    if (!this.synced) this.remember(answer.history ?? []);
    this.synced = true;
    this.signedOff = false;
    this.progress = answer.progress;
    this.closed = answer.round.closed;
    if (answer.want) this.want = answer.want;
    this.drop(new Set(answer.drop ?? []));
    const known = new Set(this.queue.map((item) => item.id));
    const fresh = answer.items.filter((item) => !known.has(item.id) && !this.answered.has(item.id));
    this.queue.push(...fresh);
    this.starved = fresh.length === 0 && this.queue.length < this.want / 2;
    this.changed();
  }

  remember(history) {
    const here = new Set(this.history.map((entry) => entry.id));
    const earlier = history.filter(({ id }) => !here.has(id)).map((entry) => ({ ...entry, notes: notesOf(entry) }));
    this.history = [...earlier, ...this.history].slice(-UNDOS);
  }

  /** Another tab of this person answered a pair that may be in our queue as well. */
  elsewhere(op) {
    if (op.lease) this.drop(new Set([op.lease]), "elsewhere");
  }

  drop(ids, why = "took") {
    const shown = this.current;
    this.queue = this.queue.filter((item) => !ids.has(item.id));
    if (shown && this.current !== shown) {
      this.fresh(null);
      this.view?.tell(why); // last: a new pair takes older words away
    }
  }

  lost(ids, why) {
    for (const id of ids) {
      this.outbox.remove(id);
      this.history = this.history.filter((entry) => entry.id !== id);
    }
    this.refusal = why;
    this.nRefused = (this.nRefused ?? 0) + ids.length;
  }

  signedOut() {
    this.signedOff = true;
    this.renew(); // the script makes another token, if this person may still come in
  }

  changed() {
    this.view?.refresh();
  }

  /** Mine and everyone's labels, with those that are still under way. */
  get counts() {
    if (!this.progress) return null;
    let delta = 0;
    for (const op of this.outbox.list()) delta += op.kind === "vote" ? 1 : this.undoneVotes.has(op.id) ? -1 : 0;
    return {
      mine: this.progress.mine + delta,
      everyone: Math.min(this.progress.asked, this.progress.everyone + delta),
      asked: this.progress.asked,
    };
  }

  /** Which of the page's states this is, when there is no pair to show. */
  get state() {
    if (this.current) return "pair";
    if (this.closed) return "closed";
    if (!this.synced) return "fetching";
    if (this.sync.offline) return "dry";
    const { mine, everyone, asked } = this.counts;
    if (asked > 0 && everyone >= asked) return "complete";
    return mine > 0 ? "finished" : "nothing";
  }
}
