// The rows whose codes are nearest to where one is, found once one stays there.

import { byId } from "./elements.js";
import { tile } from "./examples.js";
import { latest, settled } from "./live.js";
import { get, post } from "./server.js";

const STAY = 250; // milliseconds
const rows = new Map();

/** One of the rows shown, asked for once. */
export async function row(place) {
  if (!rows.has(place)) rows.set(place, await get(`/explorer/row?place=${place}`));
  return rows.get(place);
}

export function near(place, format, picked, failed) {
  const show = latest(async () => {
    const found = await post("/explorer/neighbours", place.code);
    const known = await Promise.all(found.map((one) => row(one.place)));
    const tiles = found.map((one, rank) =>
      tile(format, known[rank].value, `${one.words} · ${one.distance.toFixed(2)}`, () => picked(one.place)));
    byId("near-tiles").replaceChildren(...tiles);
  }, failed);
  place.watch(settled(show, STAY));
}
