// How codes and points of the map belong together, and ways from one code to another.

const dot = (a, b) => a.reduce((sum, value, place) => sum + value * b[place], 0);

/** The point of the map at which a code lies: (z - centre) D'. */
export function pointOf(code, map) {
  const away = code.map((value, place) => value - map.centre[place]);
  return map.directions.map((direction) => dot(away, direction));
}

/** A code moved to a point of the map; what the map does not show of it stays as it was: z + (p - point of z) D. */
export function codeAt(point, code, map) {
  const here = pointOf(code, map);
  return code.map((value, place) =>
    map.directions.reduce((sum, direction, axis) => sum + (point[axis] - here[axis]) * direction[place], value));
}

const linear = (first, last, share) => first.map((value, place) => (1 - share) * value + share * last[place]);

/** An arc about the origin, as `narrows interpolate` takes it; straight where there is no arc. */
function spherical(first, last, share) {
  const lengths = Math.sqrt(dot(first, first) * dot(last, last));
  const cosine = lengths === 0 ? 0 : Math.min(1, Math.max(-1, dot(first, last) / lengths));
  const angle = Math.acos(cosine);
  if (Math.min(angle, Math.PI - angle) < 1e-6) return linear(first, last, share);
  const [a, b] = [Math.sin((1 - share) * angle), Math.sin(share * angle)].map((side) => side / Math.sin(angle));
  return first.map((value, place) => a * value + b * last[place]);
}

export const paths = { spherical, linear };
