// Entry: Streamlit calls `default` on mounting, and again on every change of data or theme.

import { Session } from "./session.js";
import { keyName, isTyping } from "./keys.js";
import { CHOICES, PANELS, TOOLS } from "./wording.js";
import { View } from "./view.js";

// Streamlit takes the component away and mounts it anew after a reconnect. What a person is doing
// must not notice: sessions live as long as the browser page, views as long as their place in it.
const sessions = new Map(); // scope -> Session
const mounted = new WeakMap(); // parentElement -> Mount

const ACTIONS = new Map([...TOOLS, ...PANELS].map(({ name, key }) => [key.toLowerCase(), name]));
ACTIONS.set("p", "fold");

class Mount {
  constructor(parent, session) {
    this.root = parent.querySelector(".rv");
    this.view = new View(this.root, session);
    this.session = session;
    this.stop = new AbortController();
    const { signal } = this.stop;
    // Capture on the window: before Streamlit's own shortcuts.
    window.addEventListener("keydown", (event) => this.key(event), { capture: true, signal });
    for (const kind of ["keydown", "pointerdown", "pointermove", "wheel", "touchmove"]) {
      window.addEventListener(kind, () => session.clock.input(), { capture: true, passive: true, signal });
    }
    window.addEventListener("resize", () => this.place(), { signal });
    this.resized = new ResizeObserver(() => this.place());
    this.resized.observe(parent.host ?? parent);
    this.dialogs = new MutationObserver(() => this.closeConnectionError());
    this.dialogs.observe(document.body, { childList: true, subtree: false });
    this.place();
  }

  update(component) {
    this.session.renew = () => component.setTriggerValue("renew", Date.now());
    this.root.dataset.theme = isDark(this.root) ? "dark" : "light";
    this.view.refresh();
  }

  destroy() {
    this.stop.abort();
    this.resized.disconnect();
    this.dialogs.disconnect();
    if (this.session.view === this.view) this.session.view = null;
  }

  /** The page ends where the window ends, wherever Streamlit puts it: nothing but texts scrolls. */
  place() {
    const { top, left } = this.root.getBoundingClientRect();
    this.root.style.setProperty("--rv-top", `${Math.max(0, Math.round(top + window.scrollY))}px`);
    // The button that opens a folded sidebar shares our top line.
    const opener = document.querySelector("[data-testid=stExpandSidebarButton]")?.getBoundingClientRect();
    const beside = opener?.width && opener.bottom > top;
    const inset = beside ? Math.max(0, opener.right + 8 - left) : 0;
    this.root.style.setProperty("--rv-inset", `${Math.round(inset)}px`);
  }

  /** Streamlit covers the page some seconds into an outage. Reviewing goes on, and our banner says so. */
  closeConnectionError() {
    for (const dialog of document.querySelectorAll("[role=dialog]")) {
      if (dialog.textContent.startsWith("Connection error")) dialog.querySelector("button[aria-label=Close]")?.click();
    }
  }

  key(event) {
    const { view } = this;
    if (event.key === "Escape" && view.panels.isOpen) {
      // At once: the browser closes a dialog a little later, and the next key would still find it.
      view.panels.close();
      claim(event);
      return;
    }
    if (event.key === "Escape" && view.details.isOpen && !isTyping(event)) {
      view.act("details", event.timeStamp);
      claim(event);
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || isTyping(event)) return;
    const key = keyName(event);
    if (view.panels.isOpen) {
      if (!event.repeat && view.panels.key(key, event.timeStamp)) claim(event);
      return;
    }
    // A dialog of Streamlit's: its keys, not ours.
    if (document.querySelector("[role=dialog]")) return;
    if (this.scrollKey(key, event)) return claim(event);
    if (!view.settings.keys) return;
    const arrow = view.settings.arrows ? key : null;
    const choice = CHOICES.find((one) => one.key === key || (one.arrow && one.arrow === arrow));
    const action = ACTIONS.get(key);
    if (!choice && !action) return;
    claim(event);
    // A key held down is one key.
    if (event.repeat) return;
    if (choice) view.choose(choice.label, event.timeStamp);
    else view.act(action, event.timeStamp);
  }

  scrollKey(key, event) {
    const target = event.composedPath()[0];
    // Something that scrolls or is pressed by these keys has the focus.
    if (target instanceof Element && target.closest("[tabindex='0'], button, a, summary")) return false;
    const share = { ArrowDown: 0.12, ArrowUp: -0.12, PageDown: 0.85, PageUp: -0.85, " ": event.shiftKey ? -0.85 : 0.85 }[key];
    if (!share) return false;
    this.view.scrollBy(share);
    return true;
  }
}

function claim(event) {
  event.preventDefault();
  event.stopImmediatePropagation();
}

function isDark(root) {
  const [red, green, blue] = getComputedStyle(root).backgroundColor.match(/[\d.]+/g).map(Number);
  return 0.299 * red + 0.587 * green + 0.114 * blue < 128;
}

export default function (component) {
  const { parentElement: parent, data } = component;
  let session = sessions.get(data.scope);
  if (session) session.take(data);
  else sessions.set(data.scope, (session = new Session(data)));
  let mount = mounted.get(parent);
  if (mount?.session !== session) {
    mount?.destroy();
    mounted.set(parent, (mount = new Mount(parent, session)));
  }
  mount.update(component);
  return () => {
    mount.destroy();
    mounted.delete(parent);
  };
}
