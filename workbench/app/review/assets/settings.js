// What a person likes, kept in this browser.

const KEY = "workbench-review-settings";
const DEFAULTS = { keys: true, arrows: false, difference: false, together: false, details: false };

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
