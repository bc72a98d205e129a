// New examples, drawn by the model; each leads to its own code.

import { byId } from "./elements.js";
import { tile } from "./examples.js";
import { latest } from "./live.js";
import { post } from "./server.js";

const IMAGES = 24;
const ROWS = 8;

/** `chosen` is told an example and its words. */
export function draws(format, discrete, chosen, failed) {
  const temperature = byId("temperature");
  byId("temperature-field").hidden = discrete;
  let seed = 0;
  const draw = latest(async () => {
    const wide = discrete ? "" : `&temperature=${temperature.value}`;
    const made = await post(`/generate?n=${format ? IMAGES : ROWS}&seed=${seed}${wide}`);
    const tiles = made.map((value, place) => {
      const words = `draw ${place + 1}`;
      return tile(format, value, words, () => chosen(value, words), false);
    });
    byId("draw-tiles").replaceChildren(...tiles);
  }, failed);
  byId("draw").addEventListener("click", () => {
    seed += 1;
    draw();
  });
  temperature.addEventListener("input", () => {
    byId("temperature-told").value = Number(temperature.value).toFixed(2);
    draw();
  });
  draw();
}
