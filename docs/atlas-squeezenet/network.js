"use strict";
// The first page, whose strips are loaded when they come into view, and the page of
// all units.
(() => {
  const { el, byId } = atlas;
  if (atlas.site === null) atlas.start();

  // A click on a strip leads to the unit there. The layer's link does it for keyboards.
  const follow = (strip, layer) => {
    const at = (event) => {
      const place = Math.floor(event.offsetX / strip.clientHeight); // units are square
      return layer.strip[Math.min(layer.strip.length - 1, Math.max(0, place))];
    };
    strip.addEventListener("mousemove", (event) => {
      strip.title = atlas.unitName(layer, at(event));
    });
    strip.addEventListener("click", (event) => {
      location.href = atlas.unitLink(layer, at(event));
    });
  };
  const observer = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      observer.unobserve(target);
      target.src = target.dataset.src;
    }
  }, { rootMargin: "100px" });
  for (const strip of document.querySelectorAll("img.strip[data-src]")) {
    observer.observe(strip);
    follow(strip, atlas.layers.get(strip.dataset.layer));
  }

  const whole = byId("whole");
  if (whole) {
    for (const layer of atlas.site.layers) {
      if (!layer.pictured.length) continue;
      const name = layer.classes ? "Classes" : layer.path;
      const list = el("ul", { class: "cells tiny", "aria-label": `Units of ${layer.path}` });
      const cells = [];
      for (const [first, last] of layer.pictured) {
        for (let unit = first; unit <= last; unit += 1) {
          cells.push(units.cell(layer, unit, { tabIndex: cells.length ? -1 : 0 }));
        }
      }
      units.fill(list, cells);
      units.arrows(list);
      const [shown, all] = [cells.length, layer.units].map((n) => n.toLocaleString("en"));
      whole.append(el("section", { "aria-label": name },
        el("h2", {}, el("a", { href: atlas.layerLink(layer) }, name),
          el("small", {}, shown === all ? ` ${all}` : ` ${shown} of ${all}`)), list));
    }
    if (!whole.childElementCount) whole.append(el("p", { class: "note" }, "There are no pictures yet."));
  }
})();
