"use strict";
// The page of a unit, and the page that compares two of them.
(() => {
  const { el, svg, byId, number, percent } = atlas;
  const { site } = atlas;
  const GROUPS = { positive: "Maximized", negative: "Minimized", diverse: "Diverse set" };
  const RANKS = [
    ["top", "Strongest responses"], ["spread", "Across the range"], ["bottom", "Weakest responses"],
  ];

  const section = (level, title, ...children) =>
    el("section", { class: "part", "aria-label": title }, el(`h${level}`, {}, title), ...children);
  const facts = (pairs) => el("dl", { class: "facts" }, ...pairs
    .filter(([, value]) => value != null && value !== "–")
    .map(([term, value]) => el("div", {}, el("dt", {}, term), el("dd", {}, value))));

  // Pictures.
  const kind = (picture, own) => {
    const method = own.methods[picture.method];
    return `${GROUPS[picture.group]}, ${method.learned ? "learned prior " : ""}${method.name}`;
  };
  const figure = (picture, title = null) => {
    const alt = `Visualization of ${picture.unit}`;
    const image = el("img", {
      src: picture.file, width: picture.width, height: picture.height, alt, loading: "lazy",
    });
    const button = el("button", { type: "button", class: "zoom" }, image);
    button.addEventListener("click", () => atlas.zoom(
      el("img", { src: picture.file, width: picture.width, height: picture.height, alt }),
      `${picture.unit}, response ${number(picture.activation)}`));
    return el("figure", {}, button,
      el("figcaption", {}, title ?? `response ${number(picture.activation)}`,
        picture.dead && [" ", el("span", { class: "badge" }, "no gradient")]));
  };
  const gallery = (record, own, level) => {
    const groups = new Map();
    for (const picture of record.pictures) {
      if (picture === record.pictures[record.main]) continue; // it is shown above
      const title = kind(picture, own);
      if (!groups.has(title)) groups.set(title, []);
      groups.get(title).push(picture);
    }
    return el("div", { class: "gallery" }, ...[...groups].map(([title, pictures]) =>
      el("div", { class: "group" }, el(`h${level + 1}`, {}, title),
        el("div", { class: "row" }, ...pictures.map((picture) => figure(picture))))));
  };

  // Images of the data set: the receptive field, or the whole image with a frame.
  const box = (own, position) => {
    const [height, width] = site.imageSize;
    const across = own.mapShape[1];
    // A map, tokens, or the whole image.
    const [i, j] = [[0, 0], [position, position], [Math.floor(position / across), position % across]][own.mapShape.length] ?? [0, 0];
    const [row, column] = [own.rows[i], own.columns[j]];
    const [top, left] = [Math.max(0, row[0]), Math.max(0, column[0])];
    return [top, left, Math.min(height, row[1]) - top, Math.min(width, column[1]) - left];
  };
  const example = ([file, value, position], own, title) => {
    const caption = el("figcaption", {}, number(value));
    if (!file) return el("figure", {}, el("div", { class: "crop missing" }, "missing"), caption);
    const [height, width] = site.imageSize;
    const [top, left, h, w] = box(own, position);
    const image = el("img", { src: `images/${file}.webp`, alt: `${title}, ${number(value)}`, loading: "lazy" });
    const crop = el("div", { class: w < 32 ? "crop coarse" : "crop" }, image);
    crop.style.setProperty("--part", `${w} / ${h}`);
    crop.style.setProperty("--whole", `${width} / ${height}`);
    if (h < height || w < width) {
      const { style } = image;
      style.setProperty("--width", `${(100 * width) / w}%`);
      style.setProperty("--height", `${(100 * height) / h}%`);
      style.setProperty("--left", `${(-100 * left) / w}%`);
      style.setProperty("--top", `${(-100 * top) / h}%`);
      const frame = el("span", { class: "frame" });
      frame.style.left = `${(100 * left) / width}%`;
      frame.style.top = `${(100 * top) / height}%`;
      frame.style.width = `${(100 * w) / width}%`;
      frame.style.height = `${(100 * h) / height}%`;
      crop.append(frame);
      crop.classList.add("partial");
    }
    return el("figure", {}, crop, caption);
  };
  const examples = (record, own, level, name, isCompact) => {
    const ranks = isCompact ? RANKS.slice(0, 1) : RANKS;
    const rows = ranks.filter(([rank]) => record[rank]?.length).map(([rank, title]) =>
      el("div", { class: "group" }, el(`h${level + 1}`, {}, title), el("div", { class: "row examples" },
        ...record[rank].map((entry) => example(entry, own, `${title} of ${name}`)))));
    if (!rows.length) return null;
    const whole = el("button", { type: "button", "aria-pressed": "false" }, "Whole images");
    const part = section(level, "Images of the data set",
      el("p", { class: "quiet" }, site.by === "mean"
        ? "Images are ranked by the mean response over the image. "
        : "Images are ranked by the strongest response anywhere in the image. ",
      "Each is cut to the part that the unit sees where it responds most. ", whole), ...rows);
    whole.addEventListener("click", () => {
      const isWhole = part.classList.toggle("whole-images");
      whole.setAttribute("aria-pressed", String(isWhole));
    });
    return part;
  };

  const histogram = ([low, width, counts], name) => {
    const highest = Math.max(...counts, 1);
    const bars = counts.map((n, place) => svg("rect", {
      x: place, y: 40 - (40 * n) / highest, width: 0.9, height: (40 * n) / highest }));
    const last = low + width * counts.length;
    const label = `Histogram of the responses of ${name}, from ${number(low)} to ${number(last)}`;
    return el("figure", { class: "histogram" },
      svg("svg", { viewBox: `0 0 ${counts.length} 40`, preserveAspectRatio: "none", role: "img",
        "aria-label": label }, ...bars),
      el("figcaption", {}, el("span", {}, number(low)), el("span", {}, "responses to images"), el("span", {}, number(last))));
  };

  // Other units and classes, with a number each.
  const cells = (layer, pairs, title, level, names = []) => {
    const list = el("ul", { class: "cells", "aria-label": title }, ...pairs.map(([unit, value], place) =>
      units.cell(layer, unit, { caption: `${names[unit] ?? unit} · ${number(value)}`,
        note: [names[unit], number(value)].filter(Boolean).join(", "), tabIndex: place ? -1 : 0 })));
    units.arrows(list);
    return el("div", { class: "group" }, el(`h${level + 1}`, {}, title), list);
  };
  const neighbours = (record, layer, level) => {
    const parts = [["similar", "By weights"], ["correlated", "By correlation of responses"]]
      .filter(([key]) => record[key]?.length)
      .map(([key, title]) => cells(layer, record[key], title, level));
    return parts.length ? section(level, "Units like this one", ...parts) : null;
  };
  const links = async (record, level) => {
    const readout = atlas.layers.get(site.readout);
    const parts = [];
    if (record.classes?.length) {
      const { path, names } = await atlas.load("classes");
      const classes = atlas.layers.get(path);
      if (classes) parts.push(cells(classes, record.classes, "Classes that it speaks for", level, names));
    }
    for (const [key, title] of [["speakFor", "Units that speak for it"], ["speakAgainst", "Units that speak against it"]]) {
      if (record[key]?.length && readout) parts.push(cells(readout, record[key], title, level));
    }
    return parts.length ? section(level, "The last layer's weights", ...parts) : null;
  };

  // How a picture is made again.
  const code = (text) => el("pre", { tabindex: 0 }, el("code", {}, text));
  const again = (record, own, level) => {
    const picture = record.pictures[record.main ?? 0];
    if (!picture) return null;
    const method = own.methods[picture.method];
    const settings = facts([["method", method.name], ...Object.entries(method.settings)]);
    if (!method.again) {
      return section(level, "Make it again", el("p", {}, "The picture was made from a start image or with a param of your own, which a file cannot hold. Make it again from Python."), settings);
    }
    const model = method.source === null;
    return section(level, "Make it again",
      el("p", {}, "The ", el("a", { href: picture.file }, "file of the picture"),
        " contains its settings. In the folder of this atlas:"),
      code(`tfviz render --from ${picture.file}${model ? " -m MODEL_FILE" : ""} -o again`),
      el("p", {}, "In Python:"),
      code(`import tfviz\n\n${model ? "model = tfviz.load_model(\"MODEL_FILE\")\n" : ""}result = tfviz.render_again("${picture.file}"${model ? ", model" : ""})`),
      settings);
  };

  const numbers = (layer, unit, own) => {
    const at = (key) => own[key]?.[unit];
    return facts([
      ["layer", el("a", { href: atlas.layerLink(layer) }, layer.classes ? "classes" : layer.path)],
      ["response to its picture", number(at("activation"))],
      ["highest response to an image", number(at("highest"))],
      ["score against the best image", at("ratio") == null ? null : `${number(at("ratio"))} times`],
      ["share of images", percent(at("fires"))],
      ["mean response", at("mean") == null ? null : `${number(at("mean"))} ± ${number(at("deviation"))}`],
      ["agreement of the strongest images", number(at("agreement"))],
      ["machine two-alternative value", number(at("judged"))],
    ]);
  };

  // Everything about a unit. Headings start at a level.
  const view = async (layer, unit, level, isCompact) => {
    const [own, record, label] = await Promise.all([
      atlas.load(layer.slug), atlas.details(layer, unit), atlas.className(layer, unit)]);
    const name = atlas.unitName(layer, unit);
    const main = record.pictures[record.main];
    const heading = el(`h${level}`, { tabindex: -1, class: "name" }, label ?? name,
      label && el("small", {}, ` ${name}`),
      own.dead.includes(unit) && [" ", el("span", { class: "badge" }, "dead unit")],
      own.mixed?.includes(unit) && [" ", el("span", { class: "badge" }, "strongest images differ")]);
    const steps = el("p", { class: "steps" });
    const [before, after] = [unit - 1, unit + 1].map((other) =>
      (other >= 0 && other < layer.units ? atlas.unitLink(layer, other) : null));
    if (!isCompact) {
      steps.append(before ? el("a", { href: before, rel: "prev" }, `← ${unit - 1}`) : "",
        el("a", { href: atlas.layerLink(layer) }, layer.classes ? "all classes" : layer.path),
        after ? el("a", { href: after, rel: "next" }, `${unit + 1} →`) : "",
        el("a", { href: "compare.html" + atlas.hash(name) }, "compare"));
      Object.assign(atlas.keys, { p: before, n: after, u: atlas.layerLink(layer) });
    }
    const top = el("div", { class: "top" },
      main ? figure(main, kind(main, own)) : el("p", { class: "note" }, "There is no picture of this unit yet."),
      el("div", {}, numbers(layer, unit, own), record.histogram ? histogram(record.histogram, name) : null));
    const next = level + 1;
    const parts = [
      isCompact ? null : steps, heading,
      isCompact ? el("p", {}, el("a", { href: atlas.unitLink(layer, unit) }, `Open ${name}`)) : null, top,
      record.pictures.length > (main ? 1 : 0)
        ? section(next, main ? "More visualizations" : "Visualizations", gallery(record, own, next)) : null,
      examples(record, own, next, name, isCompact),
      await links(record, next),
      isCompact ? null : neighbours(record, layer, next),
      isCompact ? null : again(record, own, next),
    ].filter(Boolean);
    // Two units have the same sections, which must have different names.
    for (const part of isCompact ? parts : []) {
      if (part.matches(".part")) part.setAttribute("aria-label", `${part.getAttribute("aria-label")}, ${name}`);
    }
    return { title: label ? `${label} (${name})` : name, heading, parts };
  };
  const absent = (name) => {
    const known = [...atlas.layers.values()].find((layer) => name.startsWith(`${layer.path}:`));
    const text = known ? `${known.path} has the units 0 to ${known.units - 1}.`
      : "A unit is written as layer:index.";
    return [el("p", { class: "note" }, name ? `This atlas has no unit ${name}. ` : "The address names no unit. ",
      text, " ", el("a", { href: known ? atlas.layerLink(known) : "search.html" }, known ? "All units of the layer" : "Search"))];
  };

  let turn = 0;
  const openUnit = async (isFirst) => {
    const mine = turn += 1;
    const { name } = atlas.address();
    const found = atlas.parse(name);
    if (!found) {
      byId("unit").replaceChildren(el("h1", { tabindex: -1 }, "There is no such unit"), ...absent(name));
      return;
    }
    const shown = await view(found.layer, found.unit, 1, false);
    if (mine !== turn) return;
    byId("unit").replaceChildren(...shown.parts);
    atlas.setTitle(shown.title);
    if (!isFirst) {
      shown.heading.focus({ preventScroll: true });
      scrollTo(0, 0);
    }
  };
  const openPair = async () => {
    const mine = turn += 1;
    const { name, options } = atlas.address();
    const names = [name, options.with ?? ""];
    const views = await Promise.all(names.map((text) => {
      const found = atlas.parse(text);
      return found ? view(found.layer, found.unit, 2, true) : { parts: text ? absent(text) : [] };
    }));
    if (mine !== turn) return;
    ["left", "right"].forEach((side, place) => byId(side).replaceChildren(...views[place].parts));
    byId("pair").hidden = false;
    [byId("first").value, byId("second").value] = names;
    const titles = views.map((shown) => shown.title).filter(Boolean);
    atlas.setTitle(titles.length ? titles.join(" and ") : "Compare");
    if (names[0] && !names[1]) byId("second").focus();
  };

  if (document.body.dataset.page === "compare") {
    byId("pair").addEventListener("submit", (event) => {
      event.preventDefault();
      location.hash = atlas.hash(byId("first").value.trim(), { with: byId("second").value.trim() });
    });
    addEventListener("hashchange", openPair);
    openPair();
  } else {
    addEventListener("hashchange", () => openUnit(false));
    openUnit(true);
  }
})();
