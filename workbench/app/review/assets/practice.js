// Practice pairs with feedback before the first real pair. They are marked here and never sent.

const DONE = "workbench-review-practised:";

/** Steps through the round's practice set; `current` is null when there is none, or it is over. */
export class Practice {
  constructor(scope, items = []) {
    this.key = DONE + scope;
    this.items = items.map((item, n) => ({ ...item, id: `practice-${n}` }));
    this.index = 0;
    this.verdict = null; // after an answer: {right, expected, why}
    if (this.done()) this.index = this.items.length;
  }

  get current() {
    return this.items[this.index] ?? null;
  }

  get place() {
    return [this.index + 1, this.items.length];
  }

  vote(label) {
    const { answer, why } = this.current;
    // "Both bad" is a tie that says more.
    const given = label === "both_bad" ? "tie" : label;
    this.verdict = { right: given === answer, expected: answer, why: why ?? "" };
  }

  next() {
    this.verdict = null;
    this.index++;
    if (!this.current) this.finish();
  }

  finish() {
    this.index = this.items.length;
    this.verdict = null;
    try {
      localStorage.setItem(this.key, "1");
    } catch {
      // asked again next time
    }
  }

  done() {
    try {
      return localStorage.getItem(this.key) !== null;
    } catch {
      return false;
    }
  }
}
