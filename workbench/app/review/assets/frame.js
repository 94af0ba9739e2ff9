// The page's skeleton: made once, filled by view.js. No text of a pair comes near this string.

import { CHOICES, LEAVE, PANELS, SAY, TOOLS } from "./wording.js";

const key = (name) => `<kbd aria-hidden="true">${name}</kbd>`;

const choice = ({ label, key: name, text }) =>
  `<button type="button" class="rv-choice" data-choice="${label}" aria-keyshortcuts="${name}">${key(name)}<span>${text}</span></button>`;

const tool = ({ name, key: letter, text, toggle }) =>
  `<button type="button" class="rv-tool" data-act="${name}" aria-keyshortcuts="${letter}"${toggle ? ' aria-pressed="false"' : ""}>${key(letter)}<span>${text}<span class="rv-last"></span></span></button>`;

const pane = (side, title) => `
  <article class="rv-pane" data-side="${side}" aria-labelledby="rv-${side}-title">
    <h3 class="rv-pane-title" id="rv-${side}-title">${title}</h3>
    <div class="rv-scroll" data-body="${side}" tabindex="0" role="region" aria-labelledby="rv-${side}-title"></div>
  </article>`;

const byName = (names) => TOOLS.filter(({ name }) => names.includes(name)).map(tool).join("");

export const FRAME = `
  <header class="rv-bar">
    <div class="rv-where"><h1 class="rv-round"></h1><span class="rv-who"></span><a class="rv-leave" target="_self">${LEAVE}</a></div>
    <div class="rv-progress">
      <span class="rv-mine"></span>
      <button type="button" class="rv-tool rv-end-practice" data-act="practised" hidden>${SAY.skipPractice}</button>
      <span class="rv-track" aria-hidden="true"><i></i></span>
      <span title="The labels that this round asks for; some pairs are labelled by two people."><span class="rv-everyone"></span><span class="rv-wide"> labels by everyone</span></span>
    </div>
    <div class="rv-saved" data-state="saved"><i aria-hidden="true"></i><span></span></div>
    <div class="rv-panels">${PANELS.map(tool).join("")}</div>
  </header>
  <p class="rv-banner" role="status" hidden></p>
  <section class="rv-prompt">
    <h2 id="rv-prompt-title"><button type="button" class="rv-fold" data-act="fold" aria-expanded="true" aria-controls="rv-prompt-body" aria-keyshortcuts="P">${key("P")}<span>Prompt</span></button></h2>
    <div class="rv-scroll" id="rv-prompt-body" data-body="prompt" tabindex="0" role="region" aria-labelledby="rv-prompt-title"></div>
  </section>
  <section class="rv-pair" aria-label="Two responses to compare">${pane("left", "Left")}${pane("right", "Right")}</section>
  <section class="rv-empty-state" role="status" hidden><h2></h2><p></p></section>
  <section class="rv-details" aria-label="Ratings and error tags" hidden></section>
  <section class="rv-verdict" hidden><p role="status"></p><button type="button" class="rv-tool" data-act="next">${key("↵")}<span>Next pair</span></button></section>
  <footer class="rv-actions">
    <div class="rv-choices" role="group" aria-label="Which response is better?">${CHOICES.map(choice).join("")}</div>
    <div class="rv-tools" role="group" aria-label="Tools">
      ${byName(["difference", "expand", "together"])}
      <span class="rv-gap"></span>
      ${byName(["details", "note", "skip", "undo"])}
    </div>
  </footer>
  <div class="rv-live" aria-live="polite"></div>
  <div class="rv-toast" hidden></div>`;
