// Answers that the server has not confirmed yet, kept so that nothing short of losing the disk loses them.

const PREFIX = "workbench-review:";
const DATABASE = "workbench-review";
const STORE = "ops";

/** Two copies of every unconfirmed operation, besides the one in memory.
 *
 * localStorage is written before the next pair is shown: it survives a closed tab and a crashed
 * page. The browser flushes it to disk seconds later, though, so IndexedDB, asked for strict
 * durability, holds a second copy that survives the death of the browser itself. Each operation has
 * a key of its own: two tabs never overwrite each other's list.
 */
export class Outbox {
  constructor(scope) {
    this.scope = scope;
    this.ops = new Map(); // id -> op, in the order of the keys pressed
    this.mirrored = new Set(); // ids that are on disk for certain
    this.broken = false; // neither copy can be written
    this.onChange = () => {};
    this.onElsewhere = () => {};
    this.database = openDatabase();
    window.addEventListener("storage", (event) => this.heardOfAnotherTab(event));
  }

  list() {
    return [...this.ops.values()].sort((a, b) => a.seq - b.seq);
  }

  get size() {
    return this.ops.size;
  }

  put(op) {
    this.ops.set(op.id, op);
    let kept = true;
    try {
      localStorage.setItem(this.key(op.id), JSON.stringify(op));
    } catch {
      kept = false; // full or forbidden: the mirror below still holds it
    }
    this.mirror(op).then(
      () => this.mirrored.add(op.id),
      () => {
        if (!kept) this.broken = true;
        this.onChange();
      },
    );
  }

  /** The server has committed it (or will never take it). */
  remove(id) {
    this.ops.delete(id);
    this.mirrored.delete(id);
    try {
      localStorage.removeItem(this.key(id));
    } catch {
      // nothing was kept there
    }
    this.change((store) => store.delete([this.scope, id])).catch(() => {});
  }

  /** Takes over what earlier pages of this person left behind: a closed tab, a killed browser. */
  async adopt() {
    const found = [];
    try {
      const start = this.key("");
      for (const key of Object.keys(localStorage)) {
        if (key.startsWith(start)) found.push(JSON.parse(localStorage.getItem(key)));
      }
    } catch {
      // unreadable: the mirror is read next
    }
    try {
      found.push(...(await this.mirrors()).map((row) => row.op));
    } catch {
      // no IndexedDB here
    }
    for (const op of found) if (op && op.id && !this.ops.has(op.id)) this.ops.set(op.id, op);
    return this.ops.size;
  }

  key(id) {
    return `${PREFIX}${this.scope}:${id}`;
  }

  heardOfAnotherTab(event) {
    if (!event.key?.startsWith(this.key(""))) return;
    if (event.newValue !== null) this.onElsewhere(JSON.parse(event.newValue));
    // A tab that sent what we both hold has removed it: so do we.
    else if (this.ops.delete(event.key.slice(this.key("").length))) this.onChange();
  }

  mirror(op) {
    return this.change((store) => store.put({ scope: this.scope, id: op.id, op }));
  }

  async change(write) {
    const database = await this.database;
    return new Promise((resolve, reject) => {
      const transaction = database.transaction(STORE, "readwrite", { durability: "strict" });
      write(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve();
      transaction.onabort = transaction.onerror = () => reject(transaction.error);
    });
  }

  async mirrors() {
    const database = await this.database;
    return new Promise((resolve, reject) => {
      const range = IDBKeyRange.bound([this.scope, ""], [this.scope, "\uffff"]);
      const request = database.transaction(STORE).objectStore(STORE).getAll(range);
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  }
}

function openDatabase() {
  const opened = new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: ["scope", "id"] });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  opened.catch(() => {}); // told to whoever awaits it; never an unhandled rejection
  return opened;
}
