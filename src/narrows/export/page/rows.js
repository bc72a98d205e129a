// Rows as the graphs take them: what example.py does, arrays and images. Every fault is an Error in one sentence.
const MODEL = JSON.parse(document.getElementById("model").textContent);
const GRAPH = MODEL.graphs.denoise ?? MODEL.graphs.score;
const SHAPE = GRAPH.input.shape.slice(1);
const IMAGES = MODEL.data.shape.length === 3;
const NUMBER = /^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i;
const ARRAYS = {
  "|b1": Uint8Array, "|u1": Uint8Array, "|i1": Int8Array, "<u2": Uint16Array, "<i2": Int16Array, "<u4": Uint32Array,
  "<i4": Int32Array, "<u8": BigUint64Array, "<i8": BigInt64Array, "<f4": Float32Array, "<f8": Float64Array,
};

// Rows: their number, the shape of each, and all cells one after the other.
const rowsOf = (count, shape, cells) => ({ count, shape, cells });
const sizeOf = (shape) => shape.reduce((product, side) => product * side, 1);

// The number that stands for a cell: NaN for a missing one, its place for a category.
function encoded(cell, column, line) {
  const names = column.categories;
  if (MODEL.missing.includes(cell)) return NaN;
  if (names.length) return names.includes(cell) ? names.indexOf(cell) : names.length;
  if (!NUMBER.test(cell)) throw Error(`Row ${line}, column ${column.name}: “${cell.slice(0, 40)}” is no number.`);
  return Number(cell);
}

// Lines of cells from CSV, as Python's csv module has them: quoted cells may hold commas, quotes and ends of lines.
function linesOf(text) {
  const lines = [];
  let line = [], cell = "", quoted = false, begun = false;
  const endCell = () => { line.push(cell); cell = ""; begun = false; };
  const endLine = () => { if (line.length || cell || begun) { endCell(); lines.push(line); line = []; } };
  for (let at = 0; at < text.length; at++) {
    const sign = text[at];
    if (quoted) {
      if (sign !== '"') cell += sign;
      else if (text[at + 1] === '"') { cell += sign; at++; }
      else quoted = false;
    } else if (sign === '"' && !cell) quoted = begun = true;
    else if (sign === ",") endCell();
    else if (sign === "\n" || sign === "\r") endLine();
    else cell += sign;
  }
  if (quoted) throw Error("A quoted cell does not end; give the file whole.");
  endLine();
  return lines;
}

// Rows of a table with a line of names; or, where columns have no names, of lines of numbers.
function fromCsv(text) {
  const lines = linesOf(text);
  if (!MODEL.columns.length) return fromNumbers(lines);
  const [names, ...rest] = lines;
  if (!rest.length) throw Error("There is no row; the first line names the columns, and rows follow.");
  const places = MODEL.columns.map((column) => {
    const place = names.lastIndexOf(column.name);
    if (place < 0) throw Error(`There is no column ${column.name}; the first line must name the columns of the model.`);
    return place;
  });
  const cells = rest.flatMap((line, row) => {
    if (line.length !== names.length)
      throw Error(`Row ${row + 1} has ${line.length} cells, and the first line ${names.length} names.`);
    return MODEL.columns.map((column, at) => encoded(line[places[at]], column, row + 1));
  });
  return rowsOf(rest.length, SHAPE, Float64Array.from(cells));
}

function fromNumbers(lines) {
  const size = sizeOf(MODEL.data.shape);
  const cells = lines.flatMap((line, row) => {
    if (line.length !== size) throw Error(`Row ${row + 1} has ${line.length} cells; the model takes ${size}.`);
    return line.map((cell, at) => encoded(cell, { name: `${at + 1}`, categories: [] }, row + 1));
  });
  if (!lines.length) throw Error("There is no row.");
  return rowsOf(lines.length, MODEL.data.shape, Float64Array.from(cells));
}

// Rows of a NumPy file: one, or some.
function fromNpy(bytes) {
  const view = new DataView(bytes);
  const broken = Error("The array cannot be read; it is damaged, or no .npy file.");
  if (bytes.byteLength < 12 || view.getUint32(0) !== 0x934e554d) throw broken;
  const wide = view.getUint8(6) > 1;
  const begin = (wide ? 12 : 10) + (wide ? view.getUint32(8, true) : view.getUint16(8, true));
  const header = new TextDecoder("latin1").decode(bytes.slice(wide ? 12 : 10, begin));
  const kind = /'descr': *'([^']+)'/.exec(header)?.[1];
  const sides = /'shape': *\(([\d, ]*)\)/.exec(header)?.[1];
  if (kind === undefined || sides === undefined) throw broken;
  const shape = sides.split(",").filter((side) => side.trim()).map(Number);
  if (!(kind in ARRAYS)) throw Error(`The array holds ${kind}; give plain numbers (np.float32, np.uint8 …).`);
  if (header.includes("'fortran_order': True"))
    throw Error("The array is stored column by column; save a C-ordered copy.");
  const held = bytes.slice(begin);
  if (held.byteLength !== sizeOf(shape) * ARRAYS[kind].BYTES_PER_ELEMENT) throw broken;
  const rows = shape.length === SHAPE.length ? [1, ...shape] : shape;
  if (!fits(rows.slice(1)))
    throw Error(`The array is ${shape.join(" × ")}; the model takes rows of ${SHAPE.join(" × ")}.`);
  if (!rows[0]) throw Error("The array holds no row.");
  return rowsOf(rows[0], rows.slice(1), Float64Array.from(new ARRAYS[kind](held), Number));
}

// Whether an example is of the model's shape; a side with a name is free.
const fits = (shape) =>
  shape.length === SHAPE.length &&
  SHAPE.every((side, at) => (typeof side === "string" ? shape[at] > 0 : side === shape[at]));

// Where an image keeps its height, its width and its channels.
const LAYOUT = {
  hw: { sides: ([height, width]) => [height, width, 1], place: (y, x, c, [, width]) => y * width + x },
  hwc: { sides: (shape) => shape, place: (y, x, c, [, width, channels]) => (y * width + x) * channels + c },
  chw: { sides: ([c, h, w]) => [h, w, c], place: (y, x, c, [height, width]) => (c * height + y) * width + x },
}[MODEL.data.layout];

const shapeOf = (height, width, channels) =>
  ({ hw: [height, width], hwc: [height, width, channels], chw: [channels, height, width] })[MODEL.data.layout];

// One image as it is: never resized, never made grey.
async function fromPicture(file) {
  if (!IMAGES) throw Error("The model takes rows of a table; give a CSV.");
  await refuseDeep(file);
  const plain = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
  const picture = await createImageBitmap(file, plain).catch(() => {
    throw Error(`${file.name} cannot be read as an image.`);
  });
  const { width, height } = picture, channels = MODEL.data.shape[0], shape = shapeOf(height, width, channels);
  if (!fits(shape)) {
    const [high, wide] = LAYOUT.sides(SHAPE);
    throw Error(`The image is ${width} × ${height} pixels; the model takes ${wide} × ${high}. It was not resized.`);
  }
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").drawImage(picture, 0, 0);
  const seen = canvas.getContext("2d").getImageData(0, 0, width, height).data;
  refuseLoss(seen, channels);
  const cells = new Float64Array(sizeOf(shape)), sides = [height, width, channels];
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let c = 0; c < channels; c++) cells[LAYOUT.place(y, x, c, sides)] = seen[(y * width + x) * 4 + c];
  return rowsOf(1, shape, cells);
}

// A browser reads 8 bits a channel: other values come as arrays.
async function refuseDeep(file) {
  const { high, step } = MODEL.data;
  if (step && high !== 255)
    throw Error(`The model's values go up to ${high}, those of an image file to 255; give an .npy array.`);
  const head = new Uint8Array(await file.slice(0, 25).arrayBuffer());
  if (head[1] === 0x50 && head[2] === 0x4e && head[3] === 0x47 && head[24] === 16)
    throw Error("The image has 16 bits a channel, of which a browser keeps 8; give an .npy array.");
}

function refuseLoss(seen, channels) {
  if (channels !== 1 && channels !== 3) throw Error(`The model takes ${channels} channels; give an .npy array.`);
  for (let at = 0; at < seen.length; at += 4) {
    if (seen[at + 3] !== 255) throw Error("The image is transparent in places; save it without transparency.");
    if (channels === 1 && (seen[at] !== seen[at + 1] || seen[at] !== seen[at + 2]))
      throw Error("The image has colours, and the model takes grey ones; save it in grey.");
  }
}

// Rows of a file, by its name.
async function fromFile(file) {
  const name = file.name.toLowerCase();
  if (name.endsWith(".npy")) return fromNpy(await file.arrayBuffer());
  if (name.endsWith(".csv") || name.endsWith(".txt")) {
    if (IMAGES) throw Error("The model takes images; give an image file or an .npy array.");
    return fromCsv(await file.text());
  }
  return fromPicture(file);
}
