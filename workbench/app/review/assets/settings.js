// What a person likes, kept in this browser.

const KEY = "workbench-review-settings";
const DEFAULTS = { keys: true, arrows: false, difference: false, together: false, details: false };

/** Where this browser forgets who sits at it. */
export const leaveUrl = () => new URL("leave", document.baseURI).href;

export function readSettings() {
  try {
    return { ...DEFAULTS, ...JSON.parse(localStorage.getItem(KEY) ?? "{}") };
  } catch {
    return { ...DEFAULTS };
  }
}

export function writeSettings(settings) {
  try {
    localStorage.setItem(KEY, JSON.stringify(settings));
  } catch {
    // they hold until the page closes
  }
}
