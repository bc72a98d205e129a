// On the way from one code to another: two ends, and a slider between them.

import { byId } from "./elements.js";
import { Example, figure } from "./examples.js";
import { paths } from "./plane.js";
import { post } from "./server.js";

const ENDS = ["A", "B"];

export class Between {
  /** `marked` is told the ends, each { code, letter }, whenever one changes. */
  constructor(place, format, path, marked, failed) {
    this.place = place;
    this.codes = {};
    this.marked = marked;
    this.slider = byId("share");
    this.path = byId("path");
    this.path.value = path;
    if (path === "linear") this.path.querySelector("[value=spherical]").disabled = true;
    this.examples = ENDS.map((letter) => new Example(format, `End ${letter}`, "example small"));
    byId("ends").replaceChildren(...this.examples.map((one, end) => figure(one, ENDS[end])));
    ENDS.forEach((letter, end) => byId(`end-${letter}`).addEventListener("click", () => this.#take(end).catch(failed)));
    this.slider.addEventListener("input", () => this.#go());
    this.path.addEventListener("change", () => this.#go());
  }

  async #take(end) {
    const letter = ENDS[end];
    this.codes[letter] = [...this.place.code];
    this.marked(Object.entries(this.codes).map(([one, code]) => ({ letter: one, code })));
    this.slider.disabled = Object.keys(this.codes).length < 2;
    byId("between-told").textContent = this.slider.disabled
      ? `End ${letter} is set; go elsewhere, and set the other.` : "Move the slider from A to B.";
    this.examples[end].set(await post("/decode", this.codes[letter]));
  }

  #go() {
    if (this.slider.disabled) return;
    const share = this.slider.valueAsNumber / 100;
    byId("share-told").value = `${this.slider.value} %`;
    this.place.go(paths[this.path.value](this.codes.A, this.codes.B, share));
  }
}
