// The page is put together: what the server says there is to see decides which panels stand on it.

import { Between } from "./between.js";
import { draws } from "./draws.js";
import { byId } from "./elements.js";
import { settled } from "./live.js";
import { MapView, legend } from "./map.js";
import { near } from "./near.js";
import { Own } from "./own.js";
import { Place } from "./place.js";
import { codeAt, pointOf } from "./plane.js";
import { Seen } from "./seen.js";
import { get, picture, token } from "./server.js";
import { Units } from "./units.js";

const STAY = 400; // milliseconds until words say where one is

/** Say what went wrong, or that all is well again. */
function failed(error) {
  byId("trouble").hidden = !error;
  byId("trouble").textContent = error ? error.message : "";
}

function askForToken(said) {
  byId("token").hidden = false;
  byId("token-told").textContent = said;
  byId("token-word").focus();
}

byId("token").addEventListener("submit", (event) => {
  event.preventDefault();
  token.set(byId("token-word").value.trim());
  byId("token").hidden = true;
  start();
});

async function start() {
  if (!token.known) return askForToken("This server wants a token.");
  try {
    build(await get("/explorer"));
  } catch (error) {
    if (error.status !== 401) return failed(error);
    token.forget();
    askForToken(error.message);
  }
}

function build(scene) {
  const { model, code, map, picture: format } = scene;
  tell(scene);
  const place = new Place();
  const own = new Own(scene, place, failed);
  byId("own-panel").hidden = false;
  if (!code) {
    byId("stage").classList.add("without-map");
    if (scene.shown) own.pick(0);
    return ready();
  }
  byId("seen-panel").hidden = false;
  new Seen(place, format, failed);
  const moves = code.still === null;
  const view = map ? buildMap(scene, place, own) : null;
  if (!map) byId("stage").classList.add("without-map");
  if (moves && code.units.length) buildUnits(code, place);
  if (moves) buildBetween(scene, place, view);
  if (scene.shown) {
    byId("near-panel").hidden = false;
    near(place, format, (one) => own.pick(one), failed);
  }
  if (model.verbs.generate === null) {
    byId("draw-panel").hidden = false;
    draws(format, code.discrete, (value, words) => own.use(value, words), failed);
  }
  if (scene.shown) own.pick(0);
  else place.go(Array(code.size).fill(0));
  ready();
}

/** What the model is, and what is not on the page, and why. */
function tell({ model, map, code, shown, without_map: why }) {
  document.title = `${model.file} · narrows explorer`;
  byId("name").textContent = model.file;
  const facts = [model.preset, model.data];
  if (code) facts.push(`code of ${code.size}`);
  if (shown) facts.push(shown.what);
  byId("about").textContent = facts.join(" · ");
  byId("version").textContent = `narrows ${model.version}`;
  const said = [!map && model.what === "model" && why, code?.still].filter(Boolean);
  byId("left-out").textContent = said.join("; ");
  byId("left-out").hidden = !said.length;
}

function buildMap(scene, place, own) {
  const { map, code } = scene;
  byId("map-panel").hidden = false;
  byId("map-shown").textContent = map.shown;
  byId("map-axes").textContent = `across: ${map.axes[0]}; up: ${map.axes[1]}`;
  byId("legend").replaceChildren(legend(map.legend));
  const still = code.still !== null;
  byId("map-how").textContent = still
    ? "Click a point to see its row; there is nothing between two of these codes."
    : code.size === 2
      ? "A point of the map is a code. Click one of the data to see its row."
      : "Dragging moves the code within the plane of the map; its other directions stay as they are.";
  const moved = (point) => {
    if (still) own.pick(view.nearest(point).place);
    else place.go(codeAt(point, place.code, map));
  };
  const view = new MapView(byId("map"), byId("map-tip"), map, null, { moved, picked: (one) => own.pick(one) });
  const where = settled((point) => {
    byId("map-told").textContent = `nearest: ${map.words[view.nearest(point).place]}`;
  }, STAY);
  place.watch(({ code: now }) => {
    const point = pointOf(now, map);
    view.set(point);
    where(point);
  });
  if (map.thumbnails) showThumbnails(view);
  return view;
}

async function showThumbnails(view) {
  try {
    view.sheet = await picture("/explorer/thumbnails");
  } catch (error) {
    return failed(error);
  }
  byId("as-pictures-field").hidden = false;
  byId("as-pictures").addEventListener("change", (event) => view.showPictures(event.target.checked));
}

function buildUnits(code, place) {
  byId("units-panel").hidden = false;
  const units = new Units(code.units, code.discrete, (unit, value) => {
    const changed = [...place.code];
    changed[unit] = value;
    place.go(changed);
  });
  byId("units").replaceChildren(...units.elements);
  const rest = code.size - code.units.length;
  byId("units-told").textContent = rest ? `${rest} more units move nothing, or little.` : "";
  place.watch(({ code: now }) => units.set(now));
}

function buildBetween({ map, code, picture: format }, place, view) {
  byId("between-panel").hidden = false;
  const marked = (ends) =>
    view?.set(view.cross, ends.map(({ code: end, letter }) => ({ letter, point: pointOf(end, map) })));
  new Between(place, format, code.path, marked, failed);
}

function ready() {
  byId("stage").setAttribute("aria-busy", "false");
}

start();
