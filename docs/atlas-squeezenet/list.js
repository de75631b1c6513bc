"use strict";
// The pages of a layer and of the search: a grid of units that is sorted and filtered,
// beside a preview of one of them. The address holds what was chosen.
(() => {
  const { el, byId, number, percent } = atlas;
  const isSearch = document.body.dataset.page === "search";
  // The number of units that the search adds at a time.
  const PORTION = 300;
  const filter = byId("filter");
  const list = byId("units");
  const about = byId("about");
  const preview = byId("preview");
  const more = byId("more");
  // What units can be sorted by: the name of a column, its label, and how it is written.
  const ORDERS = [
    ["highest", "highest response to an image", number],
    ["fires", "share of images", percent],
    ["agreement", "agreement of the strongest images", number],
    ["ratio", "score against the best image", number],
    ["judged", "machine two-alternative value", number],
    ["activation", "response to its picture", number],
  ];
  let limit = PORTION;
  let current = null;
  let turn = 0;

  const options = () => {
    const chosen = new FormData(filter);
    return {
      q: (chosen.get("q") ?? "").trim(), layer: chosen.get("layer") ?? "",
      sort: chosen.get("sort") ?? "", dead: chosen.get("dead") ? "1" : "",
      mixed: chosen.get("mixed") ? "1" : "", pictured: chosen.get("pictured") ? "1" : "",
    };
  };
  const setOptions = (given) => {
    for (const field of filter.elements) {
      if (!field.name) continue;
      if (field.type === "checkbox") field.checked = given[field.name] === "1";
      else field.value = given[field.name] ?? "";
    }
    if (filter.elements.sort.selectedIndex < 0) filter.elements.sort.selectedIndex = 0;
  };

  // Words of the search: numbers are indices, others parts of names.
  const matcher = (text, names) => {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    return (layer, unit) => {
      const name = atlas.unitName(layer, unit).toLowerCase();
      const label = layer.classes ? (names[unit] ?? "").toLowerCase() : "";
      return words.every((word) => (/^[0-9]+$/.test(word)
        ? Number(word) === unit : name.includes(word) || label.includes(word)));
    };
  };

  const found = async (layers, chosen) => {
    const needsNumbers = !isSearch || chosen.sort || chosen.dead || chosen.mixed;
    const needsNames = layers.some((layer) => layer.classes);
    const numbers = new Map();
    if (needsNumbers) {
      const loaded = await Promise.all(layers.map((layer) => atlas.load(layer.slug)));
      layers.forEach((layer, place) => numbers.set(layer, loaded[place]));
    }
    const names = needsNames ? (await atlas.load("classes")).names : [];
    const matches = matcher(chosen.q, names);
    const rows = [];
    for (const layer of layers) {
      const own = numbers.get(layer);
      const dead = chosen.dead && new Set(own.dead);
      const mixed = chosen.mixed && new Set(own.mixed ?? []);
      for (let unit = 0; unit < layer.units; unit += 1) {
        if (dead && !dead.has(unit)) continue;
        if (mixed && !mixed.has(unit)) continue;
        if (chosen.pictured && !units.isPictured(layer, unit)) continue;
        if (!matches(layer, unit)) continue;
        const value = chosen.sort ? own[chosen.sort]?.[unit] ?? null : null;
        rows.push({ layer, unit, value, label: layer.classes ? names[unit] : null });
      }
    }
    if (chosen.sort) {
      rows.sort((a, b) => (a.value === null) - (b.value === null) || b.value - a.value);
    } else if (isSearch) {
      const isBare = ({ layer, unit }) => !units.isPictured(layer, unit);
      rows.sort((a, b) => isBare(a) - isBare(b));
    }
    return rows;
  };

  const show = (rows, chosen) => {
    const order = ORDERS.find(([key]) => key === chosen.sort);
    const shown = isSearch ? rows.slice(0, limit) : rows;
    const cells = shown.map(({ layer, unit, value, label }, place) => {
      const text = order ? order[2](value) : null;
      const name = label ?? (isSearch ? atlas.unitName(layer, unit) : String(unit));
      return units.cell(layer, unit, {
        caption: [name, text].filter(Boolean).join(" · "),
        note: [label, text].filter(Boolean).join(", "), tabIndex: place ? -1 : 0,
      });
    });
    units.fill(list, cells);
    const sum = current.reduce((total, layer) => total + layer.units, 0);
    byId("count").textContent = `${rows.length.toLocaleString("en")} of ${atlas.count(sum, "unit")}`;
    if (more) more.hidden = rows.length <= limit;
  };

  // A layer whose other units have neither pictures nor images shows those with pictures.
  const isPartly = (layer) => !isSearch && !layer.examples && !units.areAllAlike(layer);

  const update = async () => {
    const mine = turn += 1;
    const chosen = options();
    const layers = chosen.layer ? current.filter((layer) => layer.path === chosen.layer) : current;
    const rows = await found(layers, chosen);
    if (mine === turn) show(rows, chosen); // nothing was typed in the meantime
  };

  // The preview of the unit under the mouse, or with the focus.
  let timer = null;
  const showPreview = async ({ layer, unit }) => {
    const [record, label] = await Promise.all([
      atlas.details(layer, unit), atlas.className(layer, unit)]);
    const own = await atlas.load(layer.slug);
    const name = atlas.unitName(layer, unit);
    const picture = record.pictures[record.main];
    const facts = ORDERS.filter(([key]) => own[key]?.[unit] != null).map(([key, text, write]) =>
      el("div", {}, el("dt", {}, text), el("dd", {}, write(own[key][unit]))));
    const image = el("span", { class: "small empty" });
    if (!picture && layer.examples) units.drawImage(image, layer, unit);
    preview.replaceChildren(
      picture ? el("img", { src: picture.file, width: picture.width, height: picture.height,
        alt: `Visualization of ${name}` }) : image,
      el("p", { class: "quiet" }, picture ? null : layer.examples ? "The image that it responds to most" : "No picture yet"),
      el("p", {}, el("strong", {}, name), label && ` ${label}`), el("dl", { class: "facts" }, ...facts));
    preview.hidden = false;
  };
  const schedule = (event) => {
    const link = event.target.closest("a.cell");
    clearTimeout(timer);
    if (link) timer = setTimeout(() => showPreview(link.unit), 90);
  };
  list.addEventListener("focusin", schedule);
  list.addEventListener("mouseover", schedule);
  units.arrows(list);

  const setOrders = async (layers) => {
    // All layers have the same columns, except for those without examples.
    const own = layers.length === 1 ? await atlas.load(layers[0].slug) : null;
    const known = ORDERS.filter(([key]) => (own ? own[key]?.some((value) => value !== null) : true));
    byId("sort").replaceChildren(el("option", { value: "" }, "index"),
      ...known.map(([key, text]) => el("option", { value: key }, text)));
    if (own) {
      filter.elements.mixed.disabled = !own.mixed?.length;
      filter.elements.dead.disabled = !own.dead.length;
      filter.elements.pictured.disabled = units.areAllAlike(layers[0]);
    }
  };

  const openLayer = async (name) => {
    const layer = atlas.layers.get(name);
    if (!layer) {
      byId("title").textContent = "There is no such layer";
      about.textContent = name ? `This atlas has no layer ${name}.` : "The address names no layer.";
      about.append(" ", el("a", { href: "index.html" }, "All layers"));
      filter.hidden = true;
      list.replaceChildren();
      return false;
    }
    current = [layer];
    byId("title").textContent = layer.path;
    atlas.setTitle(layer.path);
    list.setAttribute("aria-label", `Units of ${layer.path}`);
    about.textContent = [atlas.count(layer.units, "unit"), layer.kind].filter(Boolean).join(" · ")
      + (layer.examples && layer.pictured.length && !units.areAllAlike(layer)
        ? ". A circle is the image that a unit without a picture responds to most." : "");
    const all = atlas.site.layers;
    const place = all.indexOf(layer);
    const [before, after] = [all[place - 1], all[place + 1]];
    const nameOf = (other) => (other.classes ? "Classes" : other.path);
    byId("beside").replaceChildren(...atlas.steps([], [
      before ? el("a", { href: atlas.layerLink(before), rel: "prev" }, `← ${nameOf(before)}`) : "",
      after ? el("a", { href: atlas.layerLink(after), rel: "next" }, `${nameOf(after)} →`) : ""]));
    atlas.keys.p = before ? atlas.layerLink(before) : null;
    atlas.keys.n = after ? atlas.layerLink(after) : null;
    atlas.keys.u = "index.html";
    await setOrders(current);
    return true;
  };

  let written = null;
  const remember = () => {
    const { layer, ...chosen } = options();
    const name = isSearch ? "" : current[0].path;
    if (isPartly(current[0])) chosen.pictured = chosen.pictured ? "" : "0";
    written = atlas.hash(name, isSearch ? { layer, ...chosen } : chosen);
    if (location.hash !== written) location.replace(written);
  };
  const open = async (isFirst) => {
    const { name, options: given } = atlas.address();
    preview.hidden = true;
    limit = PORTION;
    if (isSearch) current = atlas.site.layers;
    else if (!await openLayer(name)) return;
    filter.hidden = false;
    setOptions(isPartly(current[0]) ? { pictured: "1", ...given } : given);
    if (!isFirst) byId("title").focus({ preventScroll: true });
    await update();
  };

  filter.addEventListener("submit", (event) => {
    event.preventDefault();
    const first = list.querySelector("a.cell");
    if (first) location.href = first.href;
  });
  filter.addEventListener("input", () => { limit = PORTION; remember(); update(); });
  addEventListener("hashchange", () => { if (location.hash !== written) open(false); });
  if (more) more.addEventListener("click", () => { limit += PORTION; update(); });
  const begin = async () => {
    if (isSearch) {
      byId("in-layer").append(...atlas.site.layers.map((layer) =>
        el("option", { value: layer.path }, layer.classes ? "classes" : layer.path)));
      await setOrders(atlas.site.layers);
    }
    await open(true);
    if (isSearch) byId("text").focus();
  };
  begin();
})();
