// The map of the codes: points that are the rows, a cross where the code is, moved by hand or by arrow keys.

import { element, short } from "./elements.js";

const EDGE = 18;
const NEAR = 14; // pixels within which a point is meant
const STEP = 0.02; // of the width of the map, a press of an arrow key
const WAYS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

export class MapView {
  /** `moved` is told a point of the plane, `picked` the place of a row; `sheet` holds small images of the rows. */
  constructor(canvas, tip, map, sheet, { moved, picked }) {
    Object.assign(this, { canvas, tip, map, sheet, moved, picked });
    this.cross = null;
    this.ends = [];
    this.pictures = false;
    this.below = document.createElement("canvas");
    this.#reach();
    this.#listen();
    new ResizeObserver(() => this.#resize()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#drawBelow());
  }

  set(cross, ends = this.ends) {
    Object.assign(this, { cross, ends });
    this.#draw();
  }

  showPictures(wanted) {
    this.pictures = wanted;
    this.#drawBelow();
  }

  /** The row nearest to a point of the plane, and how far it is in pixels. */
  nearest(point) {
    const [x, y] = this.#placed(point);
    let [best, least] = [0, Infinity];
    this.screen.forEach(([a, b], place) => {
      const distance = (a - x) ** 2 + (b - y) ** 2;
      if (distance < least) [best, least] = [place, distance];
    });
    return { place: best, pixels: Math.sqrt(least) };
  }

  // --- places: of the plane, and on the canvas -----------------------------------------------------------------------

  #reach() {
    const axes = [0, 1].map((axis) => this.map.points.map((point) => point[axis]));
    const ends = axes.map((values) => [Math.min(...values), Math.max(...values)]);
    this.middle = ends.map(([low, high]) => (low + high) / 2);
    this.width = Math.max(...ends.map(([low, high]) => high - low)) || 1;
  }

  get #scale() {
    return (this.side - 2 * EDGE) / this.width;
  }

  #placed([x, y]) {
    return [this.side / 2 + (x - this.middle[0]) * this.#scale, this.side / 2 - (y - this.middle[1]) * this.#scale];
  }

  #pointAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const inside = [event.clientX - box.left, event.clientY - box.top]
      .map((value) => Math.min(Math.max(value, 0), this.side));
    return [this.middle[0] + (inside[0] - this.side / 2) / this.#scale,
      this.middle[1] - (inside[1] - this.side / 2) / this.#scale];
  }

  // --- drawing -------------------------------------------------------------------------------------------------------

  #resize() {
    this.side = this.canvas.clientWidth;
    if (!this.side) return;
    this.dots = devicePixelRatio || 1;
    for (const one of [this.canvas, this.below]) one.width = one.height = Math.round(this.side * this.dots);
    this.screen = this.map.points.map((point) => this.#placed(point));
    this.#drawBelow();
  }

  #pen(canvas) {
    const pen = canvas.getContext("2d");
    pen.setTransform(this.dots, 0, 0, this.dots, 0, 0);
    pen.clearRect(0, 0, this.side, this.side);
    return pen;
  }

  /** What moves seldom: points or small images. */
  #drawBelow() {
    if (!this.side) return;
    const pen = this.#pen(this.below);
    if (this.pictures && this.sheet) this.#drawImages(pen);
    else this.#drawPoints(pen);
    this.#draw();
  }

  #drawPoints(pen) {
    const radius = Math.min(4, Math.max(1.8, 90 / Math.sqrt(this.screen.length)));
    pen.globalAlpha = 0.8;
    this.screen.forEach(([x, y], place) => {
      pen.fillStyle = this.map.colours[place];
      pen.beginPath();
      pen.arc(x, y, radius, 0, 2 * Math.PI);
      pen.fill();
    });
  }

  /** As many small images as have room beside one another. */
  #drawImages(pen) {
    const { size, across } = this.map.thumbnails;
    const side = 30;
    const zoom = side / Math.max(...size);
    const taken = new Set();
    pen.imageSmoothingEnabled = false;
    this.screen.forEach(([x, y], place) => {
      const cell = `${Math.round(x / side)} ${Math.round(y / side)}`;
      if (taken.has(cell)) return;
      taken.add(cell);
      const [w, h] = size.map((length) => length * zoom);
      pen.drawImage(this.sheet, (place % across) * size[0], Math.floor(place / across) * size[1], ...size,
        x - w / 2, y - h / 2, w, h);
    });
  }

  #draw() {
    if (!this.side) return;
    const pen = this.#pen(this.canvas);
    pen.drawImage(this.below, 0, 0, this.side, this.side);
    const style = getComputedStyle(this.canvas);
    const [ink, paper] = ["--ink", "--paper"].map((name) => style.getPropertyValue(name));
    this.ends.forEach(({ point, letter }) => mark(pen, this.#placed(point), letter, ink, paper));
    if (this.cross) cross(pen, this.#placed(this.cross), this.side, ink, paper);
  }

  // --- hand and keys -------------------------------------------------------------------------------------------------

  #listen() {
    let from = null;
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      from = [event.clientX, event.clientY];
      this.#tell(null);
    });
    canvas.addEventListener("pointermove", (event) => {
      const point = this.#pointAt(event);
      if (!from) this.#tell(point);
      else if (Math.hypot(event.clientX - from[0], event.clientY - from[1]) > 3 || from.far) {
        from.far = true;
        this.moved(point);
      }
    });
    canvas.addEventListener("pointerup", (event) => {
      if (from && !from.far) this.#click(this.#pointAt(event));
      from = null;
    });
    canvas.addEventListener("pointercancel", () => (from = null));
    canvas.addEventListener("pointerleave", () => this.#tell(null));
    canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  /** A row that is meant, or the point itself. */
  #click(point) {
    const found = this.nearest(point);
    if (found.pixels <= NEAR) this.picked(found.place);
    else this.moved(point);
  }

  #key(event) {
    const way = WAYS[event.key];
    const here = this.cross ?? this.middle;
    if (way) {
      const far = this.width * STEP * (event.shiftKey ? 0.2 : 1);
      this.moved(here.map((value, axis) => value + way[axis] * far));
    } else if (event.key === "Enter" || event.key === " ") this.picked(this.nearest(here).place);
    else if (event.key === "Home") this.moved(this.middle);
    else return;
    event.preventDefault();
  }

  /** Say which row is under the pointer. */
  #tell(point) {
    const found = point && this.nearest(point);
    this.tip.hidden = !found || found.pixels > NEAR;
    if (this.tip.hidden) return;
    this.tip.replaceChildren(...this.#small(found.place), element("span", {}, this.map.words[found.place]));
    const [x, y] = this.screen[found.place];
    this.tip.style.left = `${Math.min(x + 12, Math.max(this.side - this.tip.offsetWidth - 4, 0))}px`;
    this.tip.style.top = `${y + this.tip.offsetHeight + 20 > this.side ? y - this.tip.offsetHeight - 10 : y + 12}px`;
  }

  #small(place) {
    if (!this.sheet) return [];
    const { size, across } = this.map.thumbnails;
    const canvas = element("canvas", { width: size[0], height: size[1], className: "picture" });
    canvas.getContext("2d").drawImage(this.sheet, (place % across) * size[0], Math.floor(place / across) * size[1],
      ...size, 0, 0, ...size);
    return [canvas];
  }
}

function cross(pen, [x, y], side, ink, paper) {
  pen.globalAlpha = 0.35;
  pen.strokeStyle = ink;
  pen.lineWidth = 1;
  pen.beginPath();
  pen.moveTo(x, 0);
  pen.lineTo(x, side);
  pen.moveTo(0, y);
  pen.lineTo(side, y);
  pen.stroke();
  pen.globalAlpha = 1;
  for (const [colour, width] of [[paper, 5], [ink, 2.5]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pen.beginPath();
    pen.arc(x, y, 8, 0, 2 * Math.PI);
    pen.stroke();
  }
}

function mark(pen, [x, y], letter, ink, paper) {
  pen.globalAlpha = 1;
  pen.fillStyle = ink;
  pen.beginPath();
  pen.arc(x, y, 9, 0, 2 * Math.PI);
  pen.fill();
  pen.fillStyle = paper;
  pen.font = "600 11px system-ui, sans-serif";
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.fillText(letter, x, y + 0.5);
}

/** What the colours of the points mean. */
export function legend({ name, keys, ends, scale }) {
  if (ends) {
    const ramp = element("span", { className: "ramp", ariaHidden: "true" });
    ramp.style.background = `linear-gradient(to right, ${scale.map((colour) => `rgb(${colour})`)})`;
    return element("p", { className: "keys" }, element("b", {}, name), " ", short(ends[0]), " ", ramp, " ", short(ends[1]));
  }
  const items = keys.map(([word, colour]) => {
    const dot = element("span", { className: "dot", ariaHidden: "true" });
    dot.style.background = colour;
    return element("li", {}, dot, word);
  });
  return keys.length ? element("div", { className: "keys" }, element("b", {}, name), element("ul", {}, ...items)) : "";
}
