// Elements made of names, attributes and children. Texts stay texts: what data hold can never become markup.

export const byId = (id) => document.getElementById(id);

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key in made && key !== "list") made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/** A number for a person: three digits, and never more letters than it needs. */
export function short(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6)) return value.toExponential(2);
  return String(Number(value.toPrecision(Math.abs(value) >= 1000 ? 6 : 3)));
}

/** A table with a head: cells are texts, numbers or elements. */
export function table(head, rows, label) {
  const line = (kind, cells) =>
    element("tr", {}, ...cells.map((cell, place) => {
      const number = typeof cell === "number";
      const shown = cell instanceof Node ? cell : number ? short(cell) : cell ?? "–";
      return element(place === 0 ? "th" : kind, { className: number ? "number" : "" }, shown);
    }));
  const body = element("tbody", {}, ...rows.map((cells) => line("td", cells)));
  const whole = element("table", { ariaLabel: label }, element("thead", {}, line("th", head)), body);
  return element("div", { className: "wide", tabIndex: 0, role: "region", ariaLabel: label }, whole);
}

/** A bar as long as a share from 0 to 1; what is below 0 has another colour. */
export function bar(share) {
  const made = element("span", { className: share < 0 ? "bar less" : "bar", ariaHidden: "true" });
  made.style.width = `${Math.min(Math.abs(share), 1) * 100}%`;
  return element("span", { className: "bar-room" }, made);
}

/** Let a person keep some bytes as a file. */
export function keep(blob, name) {
  const address = URL.createObjectURL(blob);
  element("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}
