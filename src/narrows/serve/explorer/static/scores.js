// What a detector says of an example: score, p-value, verdict, reason, and what the score is made of.

import { bar, byId, element, short, table } from "./elements.js";
import { paintHeat } from "./pictures.js";

const SHARE = "share of ";
const MOST = 12; // bars

export function showScore(found, rate, format) {
  byId("score").textContent = short(found.score);
  byId("p-value").textContent = short(found.p_value);
  byId("verdict").textContent = found.anomaly ? "anomaly" : "as usual";
  byId("verdict").className = found.anomaly ? "verdict strange" : "verdict";
  byId("rate").textContent = `An alarm is what so few as ${short(100 * rate)} % of normal rows reach.`;
  byId("reason").textContent = found.reason || "No column stands out far enough for an alarm.";
  const shares = Object.entries(found).filter(([name]) => name.startsWith(SHARE))
    .map(([name, value]) => [name.slice(SHARE.length), value]);
  byId("shares").replaceChildren(format ? pixels(shares, format) : bars(shares));
  byId("score-panel").hidden = false;
}

/** The columns that the score comes from, the largest first. */
function bars(shares) {
  const most = Math.max(...shares.map(([, value]) => Math.abs(value)), 1e-12);
  const first = [...shares].sort((a, b) => b[1] - a[1]).slice(0, MOST);
  return table(["column", "nats", ""], first.map(([name, value]) => [name, value, bar(value / most)]), "Shares of the score");
}

/** The pixels that the score comes from, all channels together. */
function pixels(shares, format) {
  const size = format.width * format.height;
  const numbers = Array.from({ length: size }, (_, place) => {
    let sum = 0;
    for (let at = place; at < shares.length; at += size) sum += shares[at][1];
    return sum;
  });
  const canvas = element("canvas", { role: "img", ariaLabel: "Pixels that the score comes from", className: "picture" });
  paintHeat(canvas, numbers, format);
  return element("figure", {}, element("div", { className: "example" }, canvas),
    element("figcaption", {}, "share of each pixel"));
}
