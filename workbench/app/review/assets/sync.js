// The conversation with the server: answers up, pairs down, one request at a time.

const BATCH_BYTES = 48_000; // beacons and keepalive requests under way may carry 64 KB in all
const BATCH_OPS = 100;
const TIMEOUT_MS = 8_000;
const HEARTBEAT_MS = 30_000;
const LONGEST_WAIT_MS = 4_000;

class ServerError extends Error {}

// Not the length of the string: a Chinese sign is three bytes.
const encoder = new TextEncoder();
const sizeOf = (text) => encoder.encode(text).length;

/** Sends the outbox and keeps the queue filled.
 *
 * `desk` gives `request()` (the body without ops), takes `heard(response)`, `lost(ids, why)` for
 * operations the server will never take, `signedOut()`, and `changed()` after a change of state.
 */
export class Sync {
  constructor(api, outbox, desk) {
    this.api = api;
    this.outbox = outbox;
    this.desk = desk;
    this.failures = 0; // in a row
    this.retryAt = 0;
    this.problem = ""; // what the server said, if it was reached and answered with an error
    this.lastAt = -Infinity;
    this.oneByOne = false; // after a refused batch: find the operation that the server cannot read
    this.busy = false;
    this.again = false;
  }

  get offline() {
    return this.failures > 1 || (this.failures === 1 && !navigator.onLine);
  }

  /** Called twice a second: fills the queue, retries, and tells the server that the page is open. */
  tick(hungry) {
    const now = Date.now();
    if (this.failures && now < this.retryAt) return;
    const heartbeat = now - this.lastAt > HEARTBEAT_MS;
    if (this.outbox.size || hungry || heartbeat) this.now();
  }

  async now() {
    if (this.busy) {
      this.again = true;
      return;
    }
    this.busy = true;
    try {
      do {
        this.again = false;
        await this.exchange();
      } while (this.again);
      this.failures = 0;
      this.problem = "";
    } catch (error) {
      // A dropped line, a dead server, a proxy's error page: all are met by trying again.
      this.failures++;
      this.problem = error instanceof ServerError ? error.message : "";
      this.retryAt = Date.now() + Math.min(LONGEST_WAIT_MS, 250 * 2 ** this.failures);
    } finally {
      this.busy = false;
      this.desk.changed();
    }
  }

  async exchange() {
    const ops = this.batch();
    const body = JSON.stringify({ ...this.desk.request(), ops });
    const response = await fetch(new URL(this.api, document.baseURI), {
      method: "POST",
      headers: { "content-type": "application/json" },
      body,
      credentials: "same-origin",
      keepalive: sizeOf(body) <= BATCH_BYTES, // a closing page lets it finish
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (response.status === 401) this.desk.signedOut();
    if ((response.status === 400 || response.status === 413) && ops.length) {
      const { error } = await response.json();
      if (ops.length === 1) this.desk.lost([ops[0].id], error);
      this.oneByOne = ops.length > 1;
      this.again = true;
      return;
    }
    if (!response.ok) throw new ServerError(`status ${response.status}`);
    const answer = await response.json();
    this.lastAt = Date.now();
    this.failures = 0;
    const acked = new Set(answer.acks.map(([id]) => id));
    // An operation without an answer stays, and must not make us ask in a tight circle.
    if (ops.some((op) => !acked.has(op.id))) throw new ServerError("an answer was left out");
    this.desk.heard(answer);
    if (this.outbox.size > 0 && ops.length > 0) this.again = true;
    if (!this.outbox.size) this.oneByOne = false;
  }

  batch() {
    const ops = [];
    let bytes = 0;
    for (const op of this.outbox.list()) {
      bytes += sizeOf(JSON.stringify(op));
      if (ops.length && (this.oneByOne || ops.length === BATCH_OPS || bytes > BATCH_BYTES)) break;
      ops.push(op);
    }
    return ops;
  }

  /** The page is going away: one last message that outlives it. It wants nothing, and so also hands
   * this page's pairs back for the person's next page. The browser refuses a message beyond what it
   * still has room for; then the good-bye goes alone, and the answers wait on this device. */
  farewell() {
    for (const ops of [this.batch(), []]) {
      const body = JSON.stringify({ ...this.desk.request(), ops, want: 0, have: [], history: false });
      const url = new URL(this.api, document.baseURI);
      if (navigator.sendBeacon(url, new Blob([body], { type: "application/json" }))) return;
    }
  }
}
