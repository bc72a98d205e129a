// The graphs, run on the processor in one thread; nothing is fetched, all that they need lies in the page.
const sessions = {};
const AT_ONCE = 250;

// Bytes of a block of the page: base64 of gzip.
async function unpacked(name) {
  const packed = Uint8Array.from(atob(document.getElementById(name).textContent), (sign) => sign.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function start() {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = await unpacked("wasm");
  const options = { executionProviders: ["wasm"] };
  for (const { id, dataset } of document.querySelectorAll("script[data-graph]"))
    sessions[dataset.graph] = await ort.InferenceSession.create(await unpacked(id), options);
}

// What a graph gives for rows: all numbers one after the other.
async function run(name, rows) {
  const { input, output } = MODEL.graphs[name];
  const size = sizeOf(rows.shape), Kind = input.dtype === "float64" ? Float64Array : Float32Array;
  const parts = [];
  let filled = 0;
  for (let from = 0; from < rows.count; from += AT_ONCE) {
    const to = Math.min(from + AT_ONCE, rows.count);
    const cells = Kind.from(rows.cells.subarray(from * size, to * size));
    const given = { [input.name]: new ort.Tensor(input.dtype, cells, [to - from, ...rows.shape]) };
    parts.push((await sessions[name].run(given))[output.name].data);
  }
  const whole = new Float64Array(parts.reduce((sum, part) => sum + part.length, 0));
  for (const part of parts) { whole.set(part, filled); filled += part.length; }
  return whole;
}

// The share of normal rows with such a score: (1 + calibration scores that are not lower) / (1 + their number).
function pValue(score) {
  const scores = MODEL.alarm.calibration;
  return (1 + scores.filter((one) => one >= score).length) / (1 + scores.length);
}

const rootMeanSquare = (a, b) => Math.sqrt(a.reduce((sum, cell, at) => sum + (cell - b[at]) ** 2, 0) / a.length);

// The example at a place among rows.
const cellsAt = (cells, shape, at) => cells.subarray(at * sizeOf(shape), (at + 1) * sizeOf(shape));

// Images filled up to the sides that the graph takes, by repeating the last row and column; and cut back.
function resized(rows, height, width) {
  const given = LAYOUT.sides(rows.shape), [high, wide, channels] = given;
  const shape = shapeOf(height, width, channels), cells = new Float64Array(rows.count * sizeOf(shape));
  for (let at = 0; at < rows.count; at++) {
    const one = cellsAt(rows.cells, rows.shape, at), made = cellsAt(cells, shape, at);
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++)
        for (let c = 0; c < channels; c++)
          made[LAYOUT.place(y, x, c, [height, width, channels])] =
            one[LAYOUT.place(Math.min(y, high - 1), Math.min(x, wide - 1), c, given)];
  }
  return rowsOf(rows.count, shape, cells);
}

async function denoised(rows) {
  const grain = MODEL.graphs.denoise.sides_are_multiples_of;
  const [height, width] = LAYOUT.sides(rows.shape);
  const filled = resized(rows, Math.ceil(height / grain) * grain, Math.ceil(width / grain) * grain);
  const whole = rowsOf(rows.count, filled.shape, await run("denoise", filled));
  return resized(whole, height, width).cells;
}

// What the model makes of rows: reconstructions, or images without their noise; nothing where it has no such graph.
async function madeOf(rows) {
  if (MODEL.graphs.denoise) return denoised(rows);
  return MODEL.graphs.reconstruction ? run("reconstruction", rows) : null;
}

// What a detector says of scores: nothing of a score that is none.
function judged(scores) {
  const verdict = (score) => (score > MODEL.alarm.threshold ? "anomaly" : "no alarm");
  const of = (say) => scores.map((score) => (Number.isNaN(score) ? null : say(score)));
  return [
    { name: "p-value", unit: "share of normal rows", values: of(pValue) },
    { name: "verdict", unit: "", values: of(verdict) },
  ];
}

// How far what is made of each row is from it.
function errors(rows, made) {
  const error = (_, at) => rootMeanSquare(cellsAt(rows.cells, rows.shape, at), cellsAt(made, rows.shape, at));
  const name = MODEL.graphs.denoise ? "change" : "error", unit = "root mean square, unit of the data";
  return { name, unit, values: Array.from({ length: rows.count }, error) };
}

// All that the model says of rows: columns of figures, a value a row; and what it makes of them.
async function answer(rows) {
  const made = await madeOf(rows), columns = [];
  if (MODEL.graphs.score) columns.push({ name: "score", unit: "nats", values: Array.from(await run("score", rows)) });
  if (MODEL.alarm) columns.push(...judged(columns[0].values));
  if (made && !mixed()) columns.push(errors(rows, made));
  return { rows, columns, made };
}

// Whether columns are of several kinds, so that an error over all of them has no unit.
const mixed = () => MODEL.columns.some((column) => column.kind !== "numeric");
