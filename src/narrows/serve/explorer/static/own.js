// An example of one's own: an image that is dropped or chosen, a row that is filled in, a row of the data.

import { byId, element } from "./elements.js";
import { Example, figure } from "./examples.js";
import { Form } from "./form.js";
import { latest, settled } from "./live.js";
import { row } from "./near.js";
import { imageOf } from "./pictures.js";
import { post } from "./server.js";
import { showScore } from "./scores.js";

const STAY = 200; // milliseconds

export class Own {
  constructor(scene, place, failed) {
    Object.assign(this, { scene, place, failed });
    this.format = scene.picture;
    this.can = (verb) => scene.model.verbs[verb] === null;
    this.use = latest((value, words, code) => this.#use(value, words, code), failed);
    this.#takeFiles();
    if (this.format) this.#takeImages();
    else this.#takeRows();
    this.#takeRowsOfTheData();
  }

  /** Show one of the rows of the data. */
  async pick(number) {
    try {
      const found = await row(number);
      if (this.form) this.form.set(found.value);
      byId("row").value = number;
      await this.use(found.value, found.words, found.code);
    } catch (error) {
      this.failed(error);
    }
  }

  /** Go to the code of an example, which is asked for unless it is known, and see what else is known of it. */
  async #use(value, words, code) {
    this.failed(null);
    if (this.can("embed") && this.scene.code) {
      this.place.go(code ?? Object.values(await post("/embed", value)), { value, words });
    }
    const rate = this.scene.false_alarm_rate;
    if (rate !== null) {
      const asked = `/detect?contributions=true&false_alarm_rate=${rate}`;
      showScore(await post(asked, value), rate, this.format);
    }
    if (!this.format) return;
    const figures = [["given", value]];
    if (this.can("denoise")) figures.push(["without noise", await post("/denoise", value)]);
    if (figures.length > 1 || !this.scene.code) this.#show(figures);
  }

  #show(figures) {
    byId("own-figures").replaceChildren(...figures.map(([caption, value]) => {
      const example = new Example(this.format, caption);
      example.set(value);
      return figure(example, caption);
    }));
  }

  // --- files ---------------------------------------------------------------------------------------------------------

  #takeFiles() {
    const over = (event, inside) => {
      event.preventDefault(); // else the browser would leave the page for the file
      byId("own-panel").classList.toggle("over", inside);
    };
    document.addEventListener("dragover", (event) => over(event, true));
    document.addEventListener("dragleave", (event) => over(event, false));
    document.addEventListener("drop", (event) => {
      over(event, false);
      this.#open(event.dataTransfer?.files[0]);
    });
    byId("file").addEventListener("change", (event) => this.#open(event.target.files[0]));
  }

  async #open(file) {
    if (!file) return;
    this.file = file;
    byId("file-name").textContent = file.name;
    try {
      if (this.format) await this.use(await imageOf(file, this.format, byId("inverted").checked), file.name);
      else await this.#openRow(file);
    } catch (error) {
      this.failed(error);
    }
  }

  /** Fill the form with the row of a JSON file, or the first of several. */
  async #openRow(file) {
    let found;
    try {
      found = JSON.parse(await file.text());
    } catch {
      throw new Error(`${file.name} is no JSON; give a row as an object by the names of the columns`);
    }
    this.form.set(Array.isArray(found) ? found[0] : found);
    await this.use(this.form.value, file.name);
  }

  // --- images --------------------------------------------------------------------------------------------------------

  #takeImages() {
    const { height, width, channels } = this.format;
    const colours = channels >= 3 ? "in colour" : "in grey";
    byId("own-size").textContent = `Its middle is brought to ${width} × ${height} pixels ${colours}.`;
    byId("drop").hidden = false;
    byId("inverted").addEventListener("change", () => this.#open(this.file));
  }

  // --- rows ----------------------------------------------------------------------------------------------------------

  #takeRows() {
    const changed = settled(() => {
      try {
        this.use(this.form.value, "the row in the form");
      } catch (error) {
        this.failed(error);
      }
    }, STAY);
    this.form = new Form(this.scene.model.columns, changed);
    this.form.set(this.scene.start);
    byId("form").replaceChildren(...this.form.elements);
    byId("form").hidden = false;
    byId("form").addEventListener("submit", (event) => event.preventDefault());
    if (this.scene.start && !this.scene.map) this.use(this.form.value, "the row in the form");
  }

  #takeRowsOfTheData() {
    const { shown, unusual } = this.scene;
    if (!shown) return;
    byId("row-field").hidden = false;
    byId("row").max = shown.rows - 1;
    byId("row-told").textContent = `of ${shown.what}, 0 to ${shown.rows - 1}`;
    byId("row").addEventListener("change", (event) => this.pick(event.target.valueAsNumber || 0));
    if (!unusual.length) return;
    byId("unusual").replaceChildren(element("span", {}, "most unusual:"), ...unusual.map((one) =>
      element("button", { type: "button", className: "chip", title: one.words, onclick: () => this.pick(one.place) },
        one.words.split(",")[0])));
    byId("unusual").hidden = false;
  }
}
