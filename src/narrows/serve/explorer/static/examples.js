// One example on the page, whatever it is: an image on a canvas, or a row as a table.

import { element, short, table } from "./elements.js";
import { paint } from "./pictures.js";

const MOST_CELLS = 60;

export class Example {
  /** `format` is how images lie in lists; null for rows of a table. */
  constructor(format, label, className = "example") {
    this.format = format;
    this.label = label;
    this.value = null;
    this.canvas = format ? element("canvas", { role: "img", ariaLabel: label, className: "picture" }) : null;
    this.element = element("div", { className }, ...(format ? [this.canvas] : []));
    if (format) [this.canvas.width, this.canvas.height] = [format.width, format.height];
  }

  set(value) {
    this.value = value;
    if (this.format) paint(this.canvas, value, this.format);
    else this.element.replaceChildren(cells(value, this.label));
  }
}

/** The cells of a row, the first ones where there are many. */
function cells(row, label) {
  const lines = Object.entries(row);
  const shown = table(["column", "value"], lines.slice(0, MOST_CELLS), label);
  const rest = lines.length - MOST_CELLS;
  return element("div", {}, shown, ...(rest > 0 ? [element("p", { className: "hint" }, `and ${rest} more columns`)] : []));
}

/** An example with words under it. */
export function figure(example, caption) {
  return element("figure", {}, example.element, element("figcaption", {}, caption));
}

/** A button that shows an example and does something with it; its caption need not be seen. */
export function tile(format, value, caption, chosen, seen = true) {
  const example = new Example(format, caption, "example small");
  if (format) example.set(value);
  else {
    const words = Object.entries(value).slice(0, 4).map(([name, cell]) => `${name} ${short(cell)}`);
    example.element.append(element("span", { className: "words" }, words.join(", ")));
  }
  const under = seen ? [element("span", { className: "caption" }, caption)] : [];
  return element("button", { type: "button", className: "tile", title: caption, onclick: chosen }, example.element, ...under);
}
