"use strict";
// Grids of units: small pictures from sheets, loaded when they come into view, and
// arrow keys that move between them.
const units = (() => {
  const { el } = atlas;
  const COLUMNS = 32;
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

  // Show the part of the sheet that holds a unit's picture.
  const draw = (element, layer, unit) => {
    const all = placesOf(layer);
    const { perSheet } = atlas.site;
    const place = all.get(unit);
    const sheet = Math.floor(place / perSheet);
    const size = Math.min(perSheet, all.size - sheet * perSheet);
    const columns = Math.min(COLUMNS, size);
    const rows = Math.ceil(size / columns);
    const column = (place % perSheet) % columns;
    const row = Math.floor((place % perSheet) / columns);
    const share = (part, whole) => (whole > 1 ? (100 * part) / (whole - 1) : 0);
    element.style.backgroundImage = `url("sprites/${layer.slug}-${sheet}.webp")`;
    element.style.backgroundSize = `${100 * columns}% ${100 * rows}%`;
    element.style.backgroundPosition = `${share(column, columns)}% ${share(row, rows)}%`;
  };
  const waiting = new WeakMap();
  const observer = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      observer.unobserve(target);
      draw(target, ...waiting.get(target));
    }
  }, { rootMargin: "300px" });

  // A link to a unit with its small picture. The note says more than its name.
  const cell = (layer, unit, { caption = null, note = "", tabIndex = 0, plain = false } = {}) => {
    const name = atlas.unitName(layer, unit);
    const picture = el("span", { class: "small" });
    if (isPictured(layer, unit)) {
      waiting.set(picture, [layer, unit]);
      observer.observe(picture);
    } else {
      picture.classList.add("empty");
      if (!plain) picture.append(String(unit));
    }
    const link = el("a", {
      href: atlas.unitLink(layer, unit), class: "cell", tabindex: tabIndex,
      "aria-label": [name, note].filter(Boolean).join(", "), title: name,
    }, picture, caption && el("span", { class: "caption" }, caption));
    link.unit = { layer, unit };
    return el("li", {}, link);
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

  return { cell, arrows, isPictured };
})();
