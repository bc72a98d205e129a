// The graphs, run on the processor in one thread; nothing is fetched, all that they need lies in the page.
const sessions = {};
const AT_ONCE = 250;

// Bytes of a block of the page: base64 of gzip.
async function unpacked(name) {
  const packed = Uint8Array.from(atob(document.getElementById(name).textContent.trim()), (sign) => sign.charCodeAt(0));
  return new Uint8Array(await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer());
}

async function start() {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = await unpacked("wasm");
  for (const block of document.querySelectorAll("script[data-graph]"))
    sessions[block.dataset.graph] = await ort.InferenceSession.create(await unpacked(block.id), { executionProviders: ["wasm"] });
}

// What a graph gives for rows: all numbers one after the other.
async function run(name, rows) {
  const { input, output } = MODEL.graphs[name];
  const size = sizeOf(rows.shape), Kind = input.dtype === "float64" ? Float64Array : Float32Array;
  const parts = [];
  for (let from = 0; from < rows.count; from += AT_ONCE) {
    const to = Math.min(from + AT_ONCE, rows.count);
    const cells = Kind.from(rows.cells.subarray(from * size, to * size));
    const given = { [input.name]: new ort.Tensor(input.dtype, cells, [to - from, ...rows.shape]) };
    parts.push(...Array.from((await sessions[name].run(given))[output.name].data));
  }
  return parts;
}

// The share of normal rows with such a score: (1 + calibration scores that are not lower) / (1 + their number).
function pValue(score) {
  const scores = MODEL.alarm.calibration;
  return (1 + scores.filter((one) => one >= score).length) / (1 + scores.length);
}

const rootMeanSquare = (a, b) => Math.sqrt(a.reduce((sum, cell, at) => sum + (cell - b[at]) ** 2, 0) / a.length);

// The example at a place among rows.
const cellsAt = (cells, shape, at) => Array.from(cells.slice(at * sizeOf(shape), (at + 1) * sizeOf(shape)));

// Images filled up to the sides that the graph takes, by repeating the last row and column; and cut back.
function resized(rows, height, width) {
  const [high, wide, channels] = LAYOUT.sides(rows.shape), shape = shapeOf(height, width, channels);
  const cells = new Float64Array(rows.count * sizeOf(shape));
  for (let at = 0; at < rows.count; at++)
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++)
        for (let c = 0; c < channels; c++) {
          const from = LAYOUT.place(Math.min(y, high - 1), Math.min(x, wide - 1), c, [high, wide, channels]);
          cells[at * sizeOf(shape) + LAYOUT.place(y, x, c, [height, width, channels])] = rows.cells[at * sizeOf(rows.shape) + from];
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

// All that the model says of rows: columns of figures, each a name, a unit and a value a row; and what it makes of them.
async function answer(rows) {
  const made = MODEL.graphs.denoise ? await denoised(rows) : MODEL.graphs.reconstruction ? await run("reconstruction", rows) : null;
  const columns = [];
  if (MODEL.graphs.score) columns.push({ name: "score", unit: "nats", values: await run("score", rows) });
  if (MODEL.alarm) {
    const scores = columns[0].values, known = (score, told) => (Number.isNaN(score) ? null : told(score));
    columns.push({ name: "p-value", unit: "share of normal rows", values: scores.map((one) => known(one, pValue)) });
    columns.push({ name: "verdict", unit: "", values: scores.map((one) => known(one, (s) => (s > MODEL.alarm.threshold ? "anomaly" : "no alarm"))) });
  }
  if (made && !mixed()) {
    const error = (at) => rootMeanSquare(cellsAt(rows.cells, rows.shape, at), cellsAt(made, rows.shape, at));
    const name = MODEL.graphs.denoise ? "change" : "error";
    columns.push({ name, unit: "root mean square, unit of the data", values: Array.from({ length: rows.count }, (_, at) => error(at)) });
  }
  return { rows, columns, made };
}

// Whether columns are of several kinds, so that an error over all of them has no unit.
const mixed = () => MODEL.columns.some((column) => column.kind !== "numeric");
