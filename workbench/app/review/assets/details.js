// Criteria and error tags of each response: given by who wants to, out of the way of everyone else.

const MOST = 5; // marks of a criterion

export class DetailsStrip {
  /** `changed` is called after every mark. */
  constructor(root, session, changed) {
    this.root = root;
    this.session = session;
    this.changed = changed;
    root.addEventListener("click", (event) => this.clicked(event));
  }

  get isOpen() {
    return !this.root.hidden;
  }

  get hasFocus() {
    return this.root.contains(this.root.getRootNode().activeElement);
  }

  focus() {
    this.root.querySelector("button")?.focus();
  }

  visible(on) {
    if (this.root.hidden === !on) return;
    this.root.hidden = !on;
    if (on) this.show();
  }

  show() {
    if (this.root.hidden) return;
    const { criteria = [], error_tags: tags = [] } = this.session.data;
    this.root.replaceChildren(
      ...["left", "right"].map((side) => {
        const column = group("rv-column", side === "left" ? "Left" : "Right");
        for (const name of criteria) column.append(this.criterion(side, name));
        if (tags.length) column.append(this.tags(side, tags));
        return column;
      }),
    );
    if (!criteria.length && !tags.length) this.root.textContent = "This round asks for no ratings or tags.";
  }

  criterion(side, name) {
    const row = group("rv-criterion", `${name}, ${side}, 1 is worst, ${MOST} is best`);
    const title = document.createElement("span");
    title.textContent = name;
    row.append(title);
    const given = this.session.notes.criteria[name]?.[side];
    for (let mark = 1; mark <= MOST; mark++) {
      row.append(toggle(String(mark), given === mark, { side, criterion: name, mark }));
    }
    return row;
  }

  tags(side, tags) {
    const row = group("rv-tags", `Errors, ${side}`);
    for (const tag of tags) row.append(toggle(tag, this.session.notes.tags[side].includes(tag), { side, tag }));
    return row;
  }

  clicked(event) {
    const button = event.composedPath().find((node) => node instanceof HTMLButtonElement);
    if (!button) return;
    const { side, tag, criterion, mark } = button.dataset;
    const { notes } = this.session;
    const on = button.getAttribute("aria-pressed") !== "true";
    if (tag !== undefined) {
      notes.tags[side] = on ? [...notes.tags[side], tag] : notes.tags[side].filter((other) => other !== tag);
    } else {
      const marks = (notes.criteria[criterion] ??= {});
      if (on) marks[side] = Number(mark);
      else delete marks[side];
      for (const other of button.parentElement.querySelectorAll("button")) other.setAttribute("aria-pressed", "false");
    }
    button.setAttribute("aria-pressed", String(on));
    this.changed();
  }
}

/** Whether anything is rated or tagged in these notes of a pair. */
export function isMarked({ criteria, tags }) {
  return tags.left.length + tags.right.length > 0 || Object.values(criteria).some((marks) => Object.keys(marks).length > 0);
}

function group(className, label) {
  const made = document.createElement("div");
  made.className = className;
  made.setAttribute("role", "group");
  made.setAttribute("aria-label", label);
  return made;
}

function toggle(text, on, data) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "rv-chip";
  button.textContent = text;
  button.setAttribute("aria-pressed", String(on));
  Object.assign(button.dataset, data);
  return button;
}
