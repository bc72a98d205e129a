// What is seen at a code: the decoded example, drawn live; beside it the one that was given, and where they differ.

import { byId, element, keep, short } from "./elements.js";
import { Example, figure } from "./examples.js";
import { latest } from "./live.js";
import { errors, paintHeat } from "./pictures.js";
import { post } from "./server.js";

const KEPT = 500; // measured frames
const MEASURE = "decode";

export class Seen {
  constructor(place, format, failed) {
    this.place = place;
    this.format = format;
    this.decoded = new Example(format, "Decoded example", "example large");
    this.given = new Example(format, "Given example");
    this.heat = format ? element("canvas", { role: "img", ariaLabel: "Squared error of each pixel", className: "picture" }) : null;
    this.beside = element("div", { className: "beside", hidden: true }, figure(this.given, "given"));
    if (format) {
      const box = element("div", { className: "example" }, this.heat);
      this.beside.append(element("figure", {}, box, element("figcaption", {}, "error")));
    }
    byId("seen-example").replaceChildren(this.decoded.element, this.beside);
    this.failed = failed;
    this.want = latest(() => this.#decode(), failed);
    place.watch(() => this.want());
    byId("save-picture").hidden = !format;
    byId("save-picture").addEventListener("click", () => this.#savePicture());
    byId("save-code").addEventListener("click", () => this.#saveCode());
  }

  async #decode() {
    const { code, given } = this.place;
    const began = performance.now();
    this.decoded.set(await post("/decode", code));
    performance.measure(MEASURE, { start: began });
    this.failed(null);
    this.#compare(given);
    this.#tellPace();
  }

  #compare(given) {
    this.beside.hidden = !given;
    byId("seen-told").textContent = given ? given.words : "a code between those of the data";
    if (!given) return;
    this.given.set(given.value);
    if (!this.format) return;
    const found = errors(given.value, this.decoded.value, this.format);
    paintHeat(this.heat, found.pixels, this.format);
    byId("seen-told").textContent = `${given.words}; mean squared error ${short(found.mean)} of the range`;
  }

  #tellPace() {
    const frames = performance.getEntriesByName(MEASURE);
    if (frames.length > KEPT) performance.clearMeasures(MEASURE);
    const last = frames.slice(-15).map((one) => one.duration).sort((a, b) => a - b);
    byId("pace").textContent = `${last[Math.floor(last.length / 2)].toFixed(0)} ms a frame`;
  }

  #savePicture() {
    this.decoded.canvas.toBlob((blob) => keep(blob, "decoded.png"), "image/png");
  }

  #saveCode() {
    const named = Object.fromEntries(this.place.code.map((value, unit) => [`z${unit}`, value]));
    keep(new Blob([JSON.stringify(named) + "\n"], { type: "application/json" }), "code.json");
  }
}
