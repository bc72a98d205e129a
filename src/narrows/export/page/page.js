// What is seen: a form, files and pasted text in; a table, pictures and a verdict out.
const MOST_LINES = 200;
const MOST_PICTURES = 12;
const MOST_COLUMNS = 40;
const at = (id) => document.getElementById(id);
let inTurn = Promise.resolve();

// An element with attributes and children; text is text, never markup.
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value !== null) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// A number for a person, and exactly for a machine.
function told(value) {
  if (value === null || Number.isNaN(value)) return "–";
  if (typeof value !== "number") return value;
  const far = Math.abs(value) >= 1e6 || Math.abs(value) < 1e-3;
  const rounded = far ? value.toExponential(3) : String(Number(value.toPrecision(5)));
  return element("data", { value: String(value) }, Number.isInteger(value) ? String(value) : rounded);
}

function field(column, place) {
  const id = `cell-${place}`;
  const input = column.categories.length
    ? element("select", { id }, element("option", { value: "missing" }, "missing"),
      ...column.categories.map((name, at) => element("option", { value: at }, name)),
      element("option", { value: column.categories.length }, "another value"))
    : element("input", { id, inputmode: "decimal", placeholder: "missing", autocomplete: "off" });
  return element("div", { class: "field" }, element("label", { for: id }, column.name), input);
}

function fromForm() {
  const cells = MODEL.columns.map((column, place) => {
    const { value } = at(`cell-${place}`);
    if (!column.categories.length) return encoded(value.trim(), column, 1);
    return value === "missing" ? NaN : Number(value);
  });
  return rowsOf(1, SHAPE, Float64Array.from(cells));
}

function table(columns, lines, label) {
  const side = (value) => (typeof value === "number" ? "number" : null);
  const head = element("tr", {}, ...columns.map(([name, unit]) =>
    element("th", { scope: "col" }, name, ...(unit ? [element("small", {}, unit)] : []))));
  const body = lines.map(([first, ...rest]) => element("tr", {}, element("th", { scope: "row" }, first),
    ...rest.map((value) => element("td", { class: value === "anomaly" ? "alarm" : side(value) }, told(value)))));
  const whole = element("table", {}, element("thead", {}, head), element("tbody", {}, ...body));
  return element("div", { class: "wide", role: "region", "aria-label": label, tabindex: "0" }, whole);
}

function picture(cells, shape, label) {
  const [height, width, channels] = LAYOUT.sides(shape);
  const [low, high] = MODEL.data.step ? [MODEL.data.low, MODEL.data.high]
    : [cells.reduce((a, b) => Math.min(a, b)), cells.reduce((a, b) => Math.max(a, b))];
  const canvas = element("canvas", { width, height, role: "img", "aria-label": label });
  const image = new ImageData(width, height), colours = channels > 2;
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let c = 0; c < 4; c++) {
        const cell = cells[LAYOUT.place(y, x, colours ? c : 0, [height, width, channels])];
        image.data[(y * width + x) * 4 + c] = c === 3 ? 255 : (255 * (cell - low)) / (high - low || 1);
      }
  canvas.getContext("2d").putImageData(image, 0, 0);
  canvas.className = Math.max(width, height) <= 160 ? "small" : "";
  return element("figure", {}, canvas, element("figcaption", {}, label));
}

function pictures({ rows, made }) {
  const shown = Math.min(rows.count, MOST_PICTURES), pairs = [];
  const name = MODEL.graphs.denoise ? "denoised" : "reconstruction";
  for (let place = 0; place < shown; place++) {
    const one = [picture(cellsAt(rows.cells, rows.shape, place), rows.shape, `${place + 1}: given`)];
    if (made) one.push(picture(cellsAt(made, rows.shape, place), rows.shape, `${place + 1}: ${name}`));
    pairs.push(element("div", { class: "pair" }, ...one));
  }
  const drawn = element("div", { class: "pictures" }, ...pairs);
  if (shown === rows.count) return [drawn];
  return [drawn, element("p", { class: "help" }, `The first ${shown} of ${rows.count} images.`)];
}

// One row beside what the model makes of it, a column a line.
function sideBySide({ rows, made }) {
  const unnamed = () => Array.from(rows.cells, (_, place) => ({ name: `${place + 1}`, categories: [] }));
  const columns = MODEL.columns.length ? MODEL.columns : unnamed();
  const named = ({ categories }, value) =>
    categories[value] ?? (categories.length && !Number.isNaN(value) ? "another value" : value);
  const line = (column, place) => [column.name, named(column, rows.cells[place]), named(column, made[place])];
  const lines = columns.slice(0, MOST_COLUMNS).map(line);
  const beside = table([["column"], ["given"], ["reconstruction"]], lines, "The row, and its reconstruction");
  if (columns.length <= MOST_COLUMNS) return [beside];
  return [beside, element("p", {}, `The first ${MOST_COLUMNS} of ${columns.length} columns.`)];
}

function summary({ rows, columns }) {
  const verdicts = columns.find(({ name }) => name === "verdict")?.values;
  if (!verdicts) return element("p", {}, `${rows.count} ${rows.count === 1 ? "row" : "rows"}.`);
  const count = (kind) => verdicts.filter((one) => one === kind).length;
  const alarms = count("anomaly"), unknown = count(null);
  const why = unknown ? ` ${unknown} without a score: a cell is missing that must not be, or is not finite.` : "";
  const one = unknown ? "No verdict." : alarms ? "Anomaly" : "No alarm";
  const says = rows.count > 1 ? `Anomalies: ${alarms} of ${rows.count} rows.` : one;
  return element("p", { class: alarms && rows.count === 1 ? "verdict alarm" : "verdict" }, says + why);
}

function downloaded({ rows, columns }) {
  const line = (_, place) => [place + 1, ...columns.map(({ values }) => values[place] ?? "")].join(",");
  const heads = ["row", ...columns.map(({ name }) => name)].join(",");
  const file = new Blob([[heads, ...Array.from({ length: rows.count }, line), ""].join("\n")], { type: "text/csv" });
  const link = { href: URL.createObjectURL(file), download: "scores.csv" };
  return element("p", {}, element("a", link, "All figures as CSV"));
}

function show(found) {
  const { rows, columns } = found;
  const shown = Math.min(rows.count, MOST_LINES);
  const heads = [["row"], ...columns.map(({ name, unit }) => [name, unit])];
  const line = (_, place) => [String(place + 1), ...columns.map(({ values }) => values[place])];
  const parts = [summary(found)];
  if (columns.length) parts.push(table(heads, Array.from({ length: shown }, line), "Figures of each row"));
  if (shown < rows.count) parts.push(element("p", {}, `The first ${shown} of ${rows.count} rows; the file has all.`));
  if (columns.length) parts.push(downloaded(found));
  if (MODEL.graphs.score) parts.push(element("p", { class: "help" }, `Score: ${MODEL.graphs.score.output.meaning}.`));
  if (IMAGES) parts.push(...pictures(found));
  else if (found.made && rows.count === 1) parts.push(...sideBySide(found));
  at("answer").replaceChildren(...parts);
  at("says").scrollIntoView({ block: "nearest" });
}

// Read rows, ask the model, and show what it says; or say in a sentence why not. One at a time.
function ask(reading) {
  inTurn = inTurn.then(async () => {
    at("fault").textContent = "";
    at("answer").replaceChildren();
    at("answer").setAttribute("aria-busy", "true");
    try {
      show(await answer(await reading()));
    } catch (error) {
      at("fault").textContent = error.message;
    }
    at("answer").removeAttribute("aria-busy");
  });
}

function listen() {
  at("form").addEventListener("submit", (event) => { event.preventDefault(); ask(fromForm); });
  at("paste").addEventListener("submit", (event) => { event.preventDefault(); ask(() => fromCsv(at("text").value)); });
  at("file").addEventListener("click", ({ target }) => { target.value = ""; });  // the same file may have changed
  at("file").addEventListener("change", ({ target }) => target.files.length && ask(() => fromFile(target.files[0])));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file) ask(() => fromFile(file));
  });
}

async function open() {
  at("form").hidden = !MODEL.columns.length;
  at("paste").hidden = IMAGES;
  at("fields").append(...MODEL.columns.map(field));
  const names = MODEL.columns.map(({ name }) => name).join(",");
  at("example").textContent = names || `${sizeOf(MODEL.data.shape)} numbers a line`;
  listen();
  try {
    await start();
    at("state").textContent = "Ready.";
    for (const control of document.querySelectorAll("fieldset")) control.disabled = false;
  } catch (error) {
    at("state").textContent = `The model cannot be run in this browser: ${error.message}`;
  }
}

open();
