// A row of a table to fill in: a field a column, empty for a missing cell.

import { element } from "./elements.js";

export class Form {
  /** `columns` are { name, kind, categories }; `changed` is called at each change. */
  constructor(columns, changed) {
    this.fields = columns.map((column, place) => ({ column, input: field(column, place, changed) }));
    this.elements = this.fields.map(({ column, input }) =>
      element("div", { className: "field" },
        element("label", { htmlFor: input.id }, column.name, element("small", {}, column.kind)), input));
  }

  set(row) {
    for (const { column, input } of this.fields) {
      const cell = row?.[column.name];
      input.value = cell === null || cell === undefined ? "" : String(typeof cell === "number" ? +cell.toPrecision(6) : cell);
      if (input.value === "" && cell) another(input, String(cell));
    }
  }

  /** The row as the server takes it; texts stay texts, and it says what is none. */
  get value() {
    return Object.fromEntries(this.fields.map(({ column, input }) => [column.name, cell(column, input)]));
  }
}

function cell(column, input) {
  if (input.value === "") return null;
  if (column.categories) return input.value;
  if (!Number.isFinite(Number(input.value))) throw new Error(`${column.name} was given as ${input.value}; it takes a number`);
  return Number(input.value);
}

function field(column, place, changed) {
  const id = `column-${place}`;
  if (!column.categories) return element("input", { id, inputMode: "decimal", autocomplete: "off", oninput: changed });
  const options = column.categories.map((name) => element("option", { value: name }, name));
  return element("select", { id, onchange: changed }, element("option", { value: "" }, "(missing)"), ...options);
}

/** A category that no training row had. */
function another(input, name) {
  if (input.tagName !== "SELECT") return;
  input.append(element("option", { value: name }, name));
  input.value = name;
}
