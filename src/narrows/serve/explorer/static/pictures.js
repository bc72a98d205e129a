// Images: nested lists of the server <-> pixels of a canvas, and files of a person -> nested lists.

const GREY = [0.299, 0.587, 0.114]; // ITU-R BT.601

/** A function from channel, row and column to the cell of an image in nested lists. */
const reader = {
  hw: (value) => (channel, row, column) => value[row][column],
  hwc: (value) => (channel, row, column) => value[row][column][channel],
  chw: (value) => (channel, row, column) => value[channel][row][column],
};

const range = (n) => Array.from({ length: n }, (_, place) => place);

/** Nested lists from a function of channel, row and column. */
const writer = {
  hw: ({ height, width }, cell) => range(height).map((row) => range(width).map((column) => cell(0, row, column))),
  hwc: ({ height, width, channels }, cell) =>
    range(height).map((row) => range(width).map((column) => range(channels).map((k) => cell(k, row, column)))),
  chw: ({ height, width, channels }, cell) =>
    range(channels).map((k) => range(height).map((row) => range(width).map((column) => cell(k, row, column)))),
};

/** Draw an image of nested lists on a canvas, a cell a pixel. */
export function paint(canvas, value, format) {
  const { width, height, channels, low, high } = format;
  const cell = reader[format.layout](value);
  const pixels = new ImageData(width, height);
  for (let row = 0, at = 0; row < height; row++) {
    for (let column = 0; column < width; column++, at += 4) {
      for (let k = 0; k < 4; k++) {
        const known = channels >= 3 ? k < channels : k < 3;
        const shade = ((cell(channels >= 3 ? k : 0, row, column) - low) / (high - low)) * 255;
        pixels.data[at + k] = known ? shade : 255;
      }
    }
  }
  paintPixels(canvas, pixels);
}

function paintPixels(canvas, pixels) {
  if (canvas.width !== pixels.width || canvas.height !== pixels.height) {
    canvas.width = pixels.width;
    canvas.height = pixels.height;
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

/** Draw a map of numbers (height x width), 0 and below as nothing, the largest as the strongest colour. */
export function paintHeat(canvas, numbers, { width, height }) {
  const most = Math.max(...numbers, 1e-12);
  const pixels = new ImageData(width, height);
  numbers.forEach((number, place) => {
    const share = Math.sqrt(Math.max(number, 0) / most);
    // From black over red and orange to a pale yellow, ever lighter.
    pixels.data.set([255 * Math.min(1, 1.7 * share), 255 * Math.max(0, 1.6 * share - 0.5),
      255 * Math.max(0, 2.6 * share - 1.8), 255], 4 * place);
  });
  paintPixels(canvas, pixels);
}

/** Squared distance of two images, pixel by pixel, in the unit of black to white; and its mean. */
export function errors(one, other, format) {
  const [a, b] = [one, other].map(reader[format.layout]);
  const scale = format.high - format.low;
  const found = range(format.height).flatMap((row) => range(format.width).map((column) => {
    const squares = range(format.channels).map((k) => ((a(k, row, column) - b(k, row, column)) / scale) ** 2);
    return squares.reduce((sum, square) => sum + square, 0) / format.channels;
  }));
  return { pixels: found, mean: found.reduce((sum, value) => sum + value, 0) / found.length };
}

/** Read an image file as the model has its images: its middle, in the model's size, shape and values. */
export async function imageOf(file, format, inverted) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new Error(`${file.name} is no image that this browser can read; give PNG, JPEG or WebP`);
  }
  const { width, height, channels, low, high, step } = format;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const zoom = Math.max(width / bitmap.width, height / bitmap.height);
  const size = [bitmap.width * zoom, bitmap.height * zoom];
  context.imageSmoothingQuality = "high";
  context.imageSmoothingEnabled = zoom !== 1;
  context.drawImage(bitmap, (width - size[0]) / 2, (height - size[1]) / 2, ...size);
  const { data } = context.getImageData(0, 0, width, height);
  const shade = (k, at) =>
    channels >= 3 ? data[at + k] : GREY.reduce((sum, weight, colour) => sum + weight * data[at + colour], 0);
  return writer[format.layout](format, (k, row, column) => {
    const share = shade(k, 4 * (row * width + column)) / 255;
    const value = (inverted && k < 3 ? 1 - share : share) * (high - low);
    return low + (step > 0 ? Math.round(value / step) * step : value);
  });
}
