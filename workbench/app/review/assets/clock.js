// Time spent on a pair, without the time nobody was looking.

/** Counts the seconds since `restart` during which a person was there.
 *
 * A gap between two inputs counts up to `idleAfter` ms: who reads for 50 s without touching anything
 * is reading; who does nothing for an hour is at lunch. A hidden tab does not count at all.
 */
export class ActiveClock {
  constructor(idleAfter = 60_000, now = () => performance.now()) {
    this.idleAfter = idleAfter;
    this.now = now;
    this.hidden = false;
    this.restart();
  }

  restart() {
    this.total = 0;
    this.last = this.now();
  }

  input() {
    const now = this.now();
    if (!this.hidden) this.total += Math.min(now - this.last, this.idleAfter);
    this.last = now;
  }

  hide() {
    this.input();
    this.hidden = true;
  }

  show() {
    this.input();
    this.hidden = false;
  }

  /** Whether there was input within the idle limit. */
  get active() {
    return !this.hidden && this.now() - this.last < this.idleAfter;
  }

  seconds() {
    const open = this.hidden ? 0 : Math.min(this.now() - this.last, this.idleAfter);
    return Math.round(this.total + open) / 1000;
  }
}
