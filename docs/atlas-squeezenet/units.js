"use strict";
// Grids of units: small pictures from sheets, loaded when they come into view, and
// arrow keys that move between them. A unit without a picture is shown by the image of
// the data set that it responds to most.
const units = (() => {
  const { el } = atlas;
  atlas.start();

  // The place of each pictured unit among the pictures of its layer's sheets.
  const places = new Map();
  const placesOf = (layer) => {
    if (!places.has(layer.path)) {
      const found = new Map();
      for (const [first, last] of layer.pictured) {
        for (let unit = first; unit <= last; unit += 1) found.set(unit, found.size);
      }
      places.set(layer.path, found);
    }
    return places.get(layer.path);
  };
  const isPictured = (layer, unit) => placesOf(layer).has(unit);
  // Whether all units of a layer have pictures, or none.
  const areAllAlike = (layer) => [0, layer.units].includes(placesOf(layer).size);

  const percentage = (part, whole) => `${whole > 0 ? (100 * part) / whole : 0}%`;

  // Show the part of the sheet that holds a unit's picture.
  const draw = (element, layer, unit) => {
    const all = placesOf(layer);
    const { perSheet, columns: most } = atlas.site;
    const place = all.get(unit);
    const sheet = Math.floor(place / perSheet);
    const size = Math.min(perSheet, all.size - sheet * perSheet);
    const columns = Math.min(most, size);
    const rows = Math.ceil(size / columns);
    const column = (place % perSheet) % columns;
    const row = Math.floor((place % perSheet) / columns);
    const { style } = element;
    style.backgroundImage = `url("sprites/${layer.slug}-${sheet}.webp")`;
    style.backgroundSize = `${100 * columns}% ${100 * rows}%`;
    style.backgroundPosition = `${percentage(column, columns - 1)} ${percentage(row, rows - 1)}`;
  };
  // The part of an image that a unit sees from a position: top, left, height and width.
  const field = (own, position) => {
    const [height, width] = atlas.site.imageSize;
    const across = own.mapShape[1];
    // The whole image, a token, or a place in a map.
    const [i, j] = [[0, 0], [position, position], [Math.floor(position / across), position % across]][own.mapShape.length] ?? [0, 0];
    const [row, column] = [own.rows[i], own.columns[j]];
    const [top, left] = [Math.max(0, row[0]), Math.max(0, column[0])];
    return [top, left, Math.min(height, row[1]) - top, Math.min(width, column[1]) - left];
  };

  // Show the middle square of the part that the unit sees of its strongest image.
  const drawImage = async (element, layer, unit) => {
    const [own, record] = await Promise.all([atlas.load(layer.slug), atlas.details(layer, unit)]);
    const [file, , position] = record.top?.[0] ?? [];
    if (!file || own.dead.includes(unit)) return;
    const [height, width] = atlas.site.imageSize;
    const [top, left, h, w] = field(own, position);
    const side = Math.min(h, w);
    const { style } = element;
    style.backgroundImage = `url("images/${file}.webp")`;
    style.backgroundSize = `${(100 * width) / side}% ${(100 * height) / side}%`;
    style.backgroundPosition = `${percentage(left + (w - side) / 2, width - side)} ${percentage(top + (h - side) / 2, height - side)}`;
    element.classList.add("photo");
  };
  // Cells are drawn in groups, when the first of a group comes near: to watch each of
  // 5,000 cells takes longer than a frame.
  const GROUP = 32;
  const waiting = new WeakMap();
  const observer = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      observer.unobserve(target);
      for (const { picture, layer, unit } of waiting.get(target)) {
        if (isPictured(layer, unit)) draw(picture, layer, unit);
        else if (layer.examples) drawImage(picture, layer, unit);
      }
    }
  }, { rootMargin: "500px" });

  // Fill a list with cells.
  const fill = (list, cells) => {
    list.replaceChildren(...cells);
    for (let first = 0; first < cells.length; first += GROUP) {
      waiting.set(cells[first], cells.slice(first, first + GROUP).map((cell) => cell.shown));
      observer.observe(cells[first]);
    }
  };

  // A link to a unit with its small picture. The note says more than its name.
  const cell = (layer, unit, { caption = null, note = "", tabIndex = 0 } = {}) => {
    const name = atlas.unitName(layer, unit);
    const picture = el("span", { class: isPictured(layer, unit) ? "small" : "small empty" });
    const link = el("a", {
      href: atlas.unitLink(layer, unit), class: "cell", tabindex: tabIndex,
      "aria-label": [name, note].filter(Boolean).join(", "), title: name,
    }, picture, caption && el("span", { class: "caption" }, caption));
    link.unit = { layer, unit };
    const cell = el("li", {}, link);
    cell.shown = { picture, layer, unit };
    return cell;
  };

  // Arrow keys move in a list of cells, which is one stop of the Tab key.
  const arrows = (list) => {
    const links = () => [...list.querySelectorAll("a.cell")];
    list.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const all = links();
      const now = all.indexOf(event.target.closest("a.cell"));
      if (now < 0) return;
      const top = all[0].parentElement.offsetTop;
      const below = all.findIndex((link) => link.parentElement.offsetTop !== top);
      const columns = below < 0 ? all.length : below;
      const step = {
        ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns,
        Home: -now, End: all.length - 1 - now,
      }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      const next = all[now + step];
      if (next) next.focus();
    });
    list.addEventListener("focusin", (event) => {
      const link = event.target.closest("a.cell");
      for (const other of list.querySelectorAll("a.cell[tabindex='0']")) other.tabIndex = -1;
      if (link) link.tabIndex = 0;
    });
  };

  return { cell, fill, arrows, isPictured, areAllAlike, field, drawImage };
})();
