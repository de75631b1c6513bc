"use strict";
// The page of the classes: each with the units that speak most for it.
(() => {
  const { el, byId, number } = atlas;
  const list = byId("classes");
  const open = async () => {
    const { path, names, layer, speakFor } = await atlas.load("classes");
    const classes = atlas.layers.get(path);
    if (!classes) {
      byId("about").textContent = "The atlas has no classes.";
      return;
    }
    const readout = atlas.layers.get(layer);
    byId("about").textContent = readout
      ? `Beside each class are the units of ${readout.path} with the largest weights for it in the last layer.`
      : "Each class opens with its pictures.";
    const rows = [];
    for (let unit = 0; unit < classes.units; unit += 1) {
      const name = names[unit] ?? atlas.unitName(classes, unit);
      const speakers = el("ul", { class: "cells", "aria-label": `Units that speak for ${name}` });
      units.fill(speakers, (readout ? speakFor[unit] ?? [] : []).map(([other, weight], place) =>
          units.cell(readout, other, { caption: number(weight), note: `weight ${number(weight)}`,
            tabIndex: place ? -1 : 0 })));
      units.arrows(speakers);
      const picture = units.isPictured(classes, unit) || classes.examples
        ? el("ul", { class: "cells", "aria-label": `Picture of ${name}` }) : null;
      if (picture) units.fill(picture, [units.cell(classes, unit, { note: name })]);
      const row = el("li", {}, picture, el("div", {},
        el("h2", {}, el("a", { href: atlas.unitLink(classes, unit) }, name)),
        speakers.childElementCount ? speakers : null));
      row.words = `${unit} ${name}`.toLowerCase();
      rows.push(row);
    }
    list.replaceChildren(...rows);
    const filter = byId("filter");
    const apply = () => {
      const text = byId("text").value.trim().toLowerCase();
      for (const row of rows) row.hidden = !row.words.includes(text);
      const left = rows.filter((row) => !row.hidden).length;
      byId("count").textContent = `${left.toLocaleString("en")} of ${rows.length.toLocaleString("en")} classes`;
    };
    filter.addEventListener("submit", (event) => event.preventDefault());
    filter.addEventListener("input", apply);
    filter.hidden = false;
    byId("text").value = atlas.address().name;
    apply();
  };
  atlas.keys.u = "index.html";
  open();
})();
