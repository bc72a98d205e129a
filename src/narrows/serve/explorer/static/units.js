// A slider for each unit of the code that moves the examples, those first that tell most.

import { element, short } from "./elements.js";

const STEPS = 100;

export class Units {
  /** `changed` is told a unit and its new value. */
  constructor(units, discrete, changed) {
    this.sliders = units.map(({ unit, low, high, nats }) => {
      const id = `unit-${unit}`;
      const slider = element("input", { type: "range", id, min: low, max: high });
      slider.step = discrete ? high - low : (high - low) / STEPS;
      const output = element("output", { htmlFor: id });
      slider.addEventListener("input", () => {
        output.value = short(slider.valueAsNumber);
        changed(unit, slider.valueAsNumber);
      });
      const told = nats === null ? "" : `${nats.toFixed(2)} nats`;
      const label = element("label", { htmlFor: id }, `z${unit}`, element("small", {}, told));
      return { unit, slider, output, element: element("div", { className: "unit" }, label, slider, output) };
    });
    this.elements = this.sliders.map((one) => one.element);
  }

  set(code) {
    for (const { unit, slider, output } of this.sliders) {
      output.value = short(code[unit]);
      if (slider.valueAsNumber !== code[unit]) slider.value = code[unit];
    }
  }
}
