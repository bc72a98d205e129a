// A map tells the row of a point, and shows its picture: under the pointer, or chosen by the arrow keys.
for (const map of document.querySelectorAll("svg.map")) {
  const points = [...map.querySelectorAll("circle")];
  const told = map.parentElement.querySelector(".told");
  const sheet = map.dataset.thumbnails ? JSON.parse(map.dataset.thumbnails) : null;
  const zoom = 4;
  const thumbnail = document.createElement("div");
  thumbnail.id = "thumbnail";
  document.body.append(thumbnail);
  if (sheet) {
    thumbnail.style.width = sheet.size[0] * zoom + "px";
    thumbnail.style.height = sheet.size[1] * zoom + "px";
    thumbnail.style.backgroundImage = `url(${sheet.source})`;
    thumbnail.style.backgroundSize = sheet.size[0] * sheet.across * zoom + "px auto";
  }
  let chosen = null;
  const leave = () => {
    if (chosen) chosen.classList.remove("chosen");
    chosen = null;
    thumbnail.style.display = "none";
  };
  const choose = (point) => {
    leave();
    chosen = point;
    point.classList.add("chosen");
    told.textContent = point.querySelector("title").textContent;
    if (!sheet) return;
    const place = points.indexOf(point);
    const x = (place % sheet.across) * sheet.size[0] * zoom;
    const y = Math.floor(place / sheet.across) * sheet.size[1] * zoom;
    thumbnail.style.backgroundPosition = `-${x}px -${y}px`;
    const box = point.getBoundingClientRect();
    const left = Math.min(box.right + 8, innerWidth - sheet.size[0] * zoom - 12);
    thumbnail.style.left = left + scrollX + "px";
    thumbnail.style.top = box.bottom + 8 + scrollY + "px";
    thumbnail.style.display = "block";
  };
  map.addEventListener("pointerover", (event) => {
    if (event.target.tagName === "circle") choose(event.target);
  });
  map.addEventListener("pointerleave", leave);
  map.addEventListener("blur", leave);
  map.addEventListener("keydown", (event) => {
    const way = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
    if (!way) return;
    event.preventDefault();
    const from = chosen ?? points[0];
    const at = (point) => [+point.getAttribute("cx"), +point.getAttribute("cy")];
    const [x, y] = at(from);
    let best = null;
    let least = Infinity;
    for (const point of points) {
      const [dx, dy] = [at(point)[0] - x, at(point)[1] - y];
      const ahead = dx * way[0] + dy * way[1];
      const aside = Math.abs(dx * way[1]) + Math.abs(dy * way[0]);
      // The nearest one ahead, within a right angle about the way.
      if (ahead > 0 && aside <= ahead && ahead + 2 * aside < least) {
        [best, least] = [point, ahead + 2 * aside];
      }
    }
    choose(best ?? from);
  });
}
