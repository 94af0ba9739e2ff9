// Which key is meant, whatever the keyboard's layout.

const TEXT_INPUTS = new Set(["text", "search", "url", "email", "tel", "password", "number", "date"]);

/** Whether a key goes into a text: then it is never a command. */
export function isTyping(event) {
  const target = event.composedPath()[0];
  if (!(target instanceof HTMLElement)) return false;
  if (target instanceof HTMLInputElement) return TEXT_INPUTS.has(target.type);
  return target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement || target.isContentEditable;
}

/** The key in lower case; by its place on the keyboard where the layout gives no Latin letter or digit there. */
export function keyName(event) {
  const { key, code, shiftKey } = event;
  if (key.length > 1 || /^[a-z0-9? ]$/i.test(key)) return key.length > 1 ? key : key.toLowerCase();
  // Digits need Shift on a French keyboard, and unshifted they are signs: "&" is 1 there.
  const digit = /^Digit([1-9])$/.exec(code);
  if (digit && !shiftKey) return digit[1];
  const letter = /^Key([A-Z])$/.exec(code);
  return letter ? letter[1].toLowerCase() : key;
}
