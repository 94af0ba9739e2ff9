// Every word the page says, and every key it knows, in one place.

export const CHOICES = [
  { label: "left", key: "1", arrow: "ArrowLeft", text: "Left is better", short: "Left" },
  { label: "tie", key: "2", arrow: "", text: "Tie", short: "Tie" },
  { label: "right", key: "3", arrow: "ArrowRight", text: "Right is better", short: "Right" },
  { label: "both_bad", key: "4", arrow: "", text: "Both bad", short: "Both bad", says: "Both bad: counts as a tie, and is remembered" },
];

export const shortName = (label) => CHOICES.find((choice) => choice.label === label)?.short ?? label;

// `name` is the action's name in the program; `says` is the line in the help.
export const TOOLS = [
  { name: "difference", key: "D", text: "Difference", says: "Mark the words that only one side has", toggle: true },
  { name: "expand", key: "E", text: "Expand", says: "Show the whole prompt and long responses", toggle: true },
  { name: "together", key: "Y", text: "Scroll together", says: "Scroll both responses together", toggle: true },
  { name: "details", key: "T", text: "Rate and tag", says: "Rate criteria and tag errors of each response", toggle: true },
  { name: "note", key: "N", text: "Note", says: "Write a note on this pair" },
  { name: "skip", key: "S", text: "Skip", says: "Pass this pair on, with a reason" },
  { name: "undo", key: "U", text: "Undo", says: "Take back your last answers, up to 20" },
];

/** What the strip is for in this round: [on its button, in the list of keys]. */
export function detailsWords({ criteria = [], error_tags: tags = [] }) {
  if (!criteria.length && tags.length) return ["Tag errors", "Tag errors of each response"];
  if (criteria.length && !tags.length) return ["Rate", "Rate criteria of each response"];
  return ["Rate and tag", "Rate criteria and tag errors of each response"];
}

export const PANELS = [
  { name: "guidelines", key: "G", text: "Guidelines", says: "Read the guidelines of this round" },
  { name: "help", key: "?", text: "Keys", says: "Show this list" },
];

export const LEAVE = "Not you?";

export const SKIP_REASONS = [
  "I do not know enough about the subject",
  "I cannot read the language",
  "The text is broken or cut off",
  "I would rather not read this",
];

export const ROLES = { user: "User", assistant: "Assistant", system: "System", tool: "Tool" };

export const plural = (n, one, many = `${one}s`) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

const REFUSALS = {
  closed: "the round was closed meanwhile",
  lease: "the pair was never handed to you",
};

export const SAY = {
  fetching: "Fetching your first pairs…",
  emptyResponse: "(This response is empty.)",
  same: "Both responses are the same text.",
  took: "That pair went to somebody else; here is the next one.",
  elsewhere: "You answered that pair in another tab; here is the next one.",
  offline: (n) =>
    n
      ? `No connection. Keep going: ${plural(n, "answer")} kept on this device, sent as soon as the connection is back.`
      : "No connection. Keep going: your answers are kept on this device until the connection is back.",
  trouble: (n, problem) =>
    `The server has a problem (${problem}). Keep going: ${n ? plural(n, "answer") : "answers"} kept on this device, sent as soon as it recovers.`,
  signedOut: (n) =>
    `This page is no longer signed in. ${n ? `${plural(n, "answer")} kept on this device. ` : ""}Reload the page, or open your personal link again.`,
  refused: (n, why) => `The server did not take ${plural(n, "answer")}: ${REFUSALS[why] ?? why}.`,
  unstored: "This browser cannot keep answers on this device: do not close the page while answers are unsent.",
  saved: "All saved",
  saving: (n) => `Saving ${n}…`,
  kept: (n) => `${n} kept here`,
  closed: {
    title: "This round is closed",
    text: (mine) => `Thank you. You labelled ${plural(mine, "pair")}; nothing more is needed.`,
  },
  complete: {
    title: "Everything is labelled",
    text: (mine) => `All labels of this round are in; ${plural(mine, "label")} came from you. Thank you.`,
  },
  finished: {
    title: "You are done for now",
    text: (mine) =>
      `You labelled ${plural(mine, "pair")}, all that are yours. What is left is for other people: some pairs get a second label from somebody else, and what you skipped goes on to them. Should a pair come to you, it appears here by itself.`,
  },
  nothing: {
    title: "Nothing to review yet",
    text: () => "No pair is waiting for you. This page looks again by itself; you can leave it open.",
  },
  dry: {
    title: "You answered everything on this device",
    text: () => "More pairs come as soon as the connection is back. Your answers are safe here.",
  },
  truncated: (n) => `${n.toLocaleString("en")} more characters. Show all`,
  roughDifference: "Long or very different texts: words that the other side has nowhere are marked.",
  noDifference: "No word differs.",
  practice: (k, n) => `Practice ${k} of ${n}: does not count`,
  skipPractice: "Skip the practice",
  practiceRight: "That is how the guidelines see it, too.",
  practiceWrong: (short) => `The guidelines say: ${short}.`,
};
