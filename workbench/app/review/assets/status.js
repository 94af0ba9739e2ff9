// The top line, the banner under it, and what the buttons say of the last answer.

import { isMarked } from "./details.js";
import { SAY, shortName } from "./wording.js";

/** Sets a text only if it differs: setting it anyway would lay the line out again. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export class Status {
  constructor(root, session) {
    this.root = root;
    this.session = session;
  }

  find(selector) {
    return this.root.querySelector(selector);
  }

  /** `practice` is the practice set while it lasts, else null. */
  refresh(practice) {
    this.bar(practice);
    this.banner();
  }

  bar(practice) {
    const { session } = this;
    const counts = session.counts;
    write(this.find(".rv-round"), session.data.round.name);
    write(this.find(".rv-who"), session.data.who);
    const mine = practice ? SAY.practice(...practice.place) : counts ? `${counts.mine.toLocaleString("en")} by you` : "";
    write(this.find(".rv-mine"), mine);
    this.find(".rv-end-practice").hidden = !practice;
    const everyone = this.find(".rv-everyone");
    everyone.parentElement.hidden = !counts || practice !== null;
    if (counts) write(everyone, `${counts.everyone.toLocaleString("en")} of ${counts.asked.toLocaleString("en")}`);
    const [done, all] = practice ? [practice.place[0] - 1, practice.place[1]] : [counts?.everyone ?? 0, counts?.asked ?? 0];
    const share = all ? done / all : 0;
    this.find(".rv-track i").style.inlineSize = `${100 * share}%`;
    const last = session.history.at(-1);
    const what = !last ? "" : last.kind === "skip" ? "skip" : shortName(last.label).toLowerCase();
    write(this.find('[data-act="undo"] .rv-last'), what && ` (${what})`);
    write(this.find('[data-act="note"] .rv-last'), session.notes.comment ? " ✓" : "");
    write(this.find('[data-act="details"] .rv-last'), isMarked(session.notes) ? " ✓" : "");
    const before = session.before?.kind === "vote" ? session.before.label : null;
    for (const button of this.root.querySelectorAll(".rv-choice")) {
      button.classList.toggle("rv-before", button.dataset.choice === before);
    }
  }

  banner() {
    const { session } = this;
    const unsent = session.outbox.size;
    const saved = this.find(".rv-saved");
    saved.dataset.state = session.sync.offline || session.signedOff ? "offline" : unsent ? "saving" : "saved";
    saved.dataset.unsent = unsent;
    write(saved.lastElementChild, !unsent ? SAY.saved : session.sync.offline ? SAY.kept(unsent) : SAY.saving(unsent));
    saved.hidden = !session.synced && !unsent;
    saved.title = saved.lastElementChild.textContent;
    const banner = this.find(".rv-banner");
    let text = "";
    if (session.signedOff) text = SAY.signedOut(unsent);
    else if (session.refusal) text = SAY.refused(session.nRefused, session.refusal);
    else if (session.outbox.broken && unsent) text = SAY.unstored;
    else if (session.sync.offline && session.sync.problem) text = SAY.trouble(unsent, session.sync.problem);
    else if (session.sync.offline) text = SAY.offline(unsent);
    write(banner, text);
    banner.hidden = !text;
  }
}
