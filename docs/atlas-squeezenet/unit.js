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
    const response = `response ${number(picture.activation)}`;
    const alt = `Visualization of ${picture.unit}`;
    const image = el("img", {
      src: picture.file, width: picture.width, height: picture.height, alt, loading: "lazy",
    });
    const button = el("button", { type: "button", class: "zoom" }, image);
    button.addEventListener("click", () => atlas.zoom(
      atlas.limit(el("img", { src: picture.file, width: picture.width, height: picture.height, alt }), picture.width, 3, 20),
      `${picture.unit}, ${response}`));
    return el("figure", {}, button,
      el("figcaption", {}, title && [el("strong", {}, title), el("br")], response,
        picture.dead && [" ", el("span", { class: "badge" }, "no gradient")]));
  };
  // The picture that stands for a unit, beside the opposite by the same method.
  const leading = (record) => {
    const main = record.pictures[record.main];
    const opposites = record.pictures.filter((picture) => picture.group === "negative");
    const opposite = opposites.find((picture) => picture.method === main?.method) ?? opposites[0];
    return [main, opposite].filter(Boolean);
  };
  const gallery = (pictures, own, level) => {
    const groups = new Map();
    for (const picture of pictures) {
      const title = kind(picture, own);
      if (!groups.has(title)) groups.set(title, []);
      groups.get(title).push(picture);
    }
    return el("div", { class: "gallery" }, ...[...groups].map(([title, pictures]) =>
      el("div", { class: "group" }, el(`h${level + 1}`, {}, title),
        el("div", { class: "row" }, ...pictures.map((picture) => figure(picture))))));
  };

  // Images of the data set: the receptive field, or the whole image with a frame.
  const cut = (file, alt, own, position) => {
    const [height, width] = site.imageSize;
    const [top, left, h, w] = units.field(own, position);
    const image = el("img", { src: `images/${file}.webp`, alt, loading: "lazy" });
    const crop = el("div", { class: w < 32 ? "crop coarse" : "crop" }, image);
    crop.style.setProperty("--part", `${w} / ${h}`);
    crop.style.setProperty("--part-width", `${100 * Math.min(1, w / h)}%`);
    crop.style.setProperty("--whole", `${width} / ${height}`);
    crop.style.setProperty("--whole-width", `${100 * Math.min(1, width / height)}%`);
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
    }
    return crop;
  };
  const example = ([file, value, position], own, title, note = null) => {
    const caption = el("figcaption", {}, number(value), note);
    if (!file) return el("figure", {}, el("div", { class: "tile missing" }, "missing"), caption);
    const alt = `${title}, ${number(value)}`;
    const button = el("button", { type: "button", class: "tile" }, cut(file, alt, own, position));
    button.addEventListener("click", () => atlas.zoom(
      atlas.limit(el("div", { class: "whole-images" }, cut(file, alt, own, position)), site.imageSize[1], 2, 20), alt));
    return el("figure", {}, button, caption);
  };
  const examples = (record, own, level, name, isCompact) => {
    const ranks = isCompact ? RANKS.slice(0, 1) : RANKS;
    const rows = ranks.filter(([rank]) => record[rank]?.length).map(([rank, title]) =>
      el("div", { class: "group" }, el(`h${level + 1}`, {}, title), el("div", { class: "row examples" },
        ...record[rank].map((entry, place) => example(entry, own, `${title} of ${name}`,
          rank === "spread" ? el("small", {}, ` above ${percent(own.quantiles[place])}`) : null)))));
    if (!rows.length) return null;
    const whole = el("button", { type: "button", "aria-pressed": "false" }, "Whole images");
    const part = section(level, "Images of the data set", el("div", { class: "choice" },
      el("p", { class: "quiet" }, site.by === "mean"
        ? "The numbers are mean responses over an image. "
        : "The numbers are the strongest responses anywhere in an image. ",
      "Each image is cut to what the unit sees where it responds most."), whole), ...rows);
    whole.addEventListener("click", () => {
      const isWhole = part.classList.toggle("whole-images");
      whole.setAttribute("aria-pressed", String(isWhole));
    });
    return part;
  };

  const histogram = ([start, width, all], name) => {
    // Bins double in width as the values grow, so those at the ends may be empty.
    const first = Math.max(0, all.findIndex((n) => n > 0));
    const counts = all.slice(first, all.findLastIndex((n) => n > 0) + 1);
    if (!counts.length) return null;
    const low = start + first * width;
    const highest = Math.max(...counts, 1);
    const bars = counts.map((n, place) => svg("rect", {
      x: place, y: 40 - (40 * n) / highest, width: 0.9, height: (40 * n) / highest }));
    const last = low + width * counts.length;
    const label = `Histogram of the responses of ${name}, from ${number(low)} to ${number(last)}`;
    return el("figure", { class: "histogram" },
      svg("svg", { viewBox: `0 0 ${counts.length} 40`, preserveAspectRatio: "none", role: "img",
        "aria-label": label }, ...bars),
      el("figcaption", {}, el("span", {}, number(low)), el("span", {}, site.by === "mean" ? "mean responses to images" : "strongest responses in images"), el("span", {}, number(last))));
  };

  // Other units and classes, with a number each.
  const cells = (layer, pairs, title, level, names = []) => {
    const list = el("ul", { class: "cells", "aria-label": title });
    units.fill(list, pairs.map(([unit, value], place) =>
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
  const code = (text) => {
    const pre = el("pre", { tabindex: 0 }, el("code", {}, text));
    if (!navigator.clipboard) return pre; // pages of insecure hosts may not copy
    const copy = el("button", { type: "button", class: "copy" }, "Copy");
    copy.addEventListener("click", async () => {
      await navigator.clipboard.writeText(text);
      copy.textContent = "Copied";
      setTimeout(() => { copy.textContent = "Copy"; }, 2000);
    });
    return el("div", { class: "code" }, pre, copy);
  };
  const again = (record, own, level) => {
    const picture = record.pictures[record.main ?? 0];
    if (!picture) return null;
    const method = own.methods[picture.method];
    const settings = facts([["method", method.name], ...Object.entries(method.settings)]);
    if (!method.again) {
      return section(level, "Make it again", el("p", {}, "The picture was made from a start image or with a param of your own, which a file cannot hold. Make it again from Python."), settings);
    }
    const model = method.source === null;
    return section(level, "Make it again", el("div", { class: "again" }, el("div", {},
      el("p", {}, "The ", el("a", { href: picture.file }, "file of the picture"),
        " contains its settings. In the folder of this atlas:"),
      code(`tfviz render --from ${picture.file}${model ? " -m MODEL_FILE" : ""} -o again`),
      el("p", {}, "In Python:"),
      code(`import tfviz\n\n${model ? "model = tfviz.load_model(\"MODEL_FILE\")\n" : ""}result = tfviz.render_again("${picture.file}"${model ? ", model" : ""})`)),
    settings));
  };

  // The numbers of a unit: the label, the text, and what it means.
  const NUMBERS = [
    ["response to its picture", (at) => number(at("activation")),
      "The mean activation of the unit over its picture."],
    ["highest response to an image", (at) => number(at("highest")),
      "The highest mean activation over an image of the data set."],
    ["score against the best image", (at) => (at("ratio") == null ? null : `${number(at("ratio"))} times`),
      "The first divided by the second. Above 1, the picture excites the unit more than any image does."],
    ["share of images", (at) => percent(at("fires")),
      "The images in which the unit is above 0 somewhere."],
    ["mean response", (at) => (at("mean") == null ? null : `${number(at("mean"))} ± ${number(at("deviation"))}`),
      "The mean activation over all images, with its standard deviation between images."],
    ["agreement of the strongest images", (at) => number(at("agreement")),
      "How alike these images are to the last layer of features: 1 if they are the same, 0 if they are as different as any images. A unit with a low value may respond to several things."],
    ["machine two-alternative value", (at) => number(at("judged")),
      "How often a judge that sees the pictures tells which of two images the unit responds to more: 1 is always, 0.5 is chance."],
  ];
  const numbers = (layer, unit, own, isCompact) => {
    const at = (key) => own[key]?.[unit];
    const rows = NUMBERS.map(([term, write, meaning]) => [term, write(at), meaning])
      .filter(([, text]) => text != null && text !== "–");
    if (isCompact || !rows.length) return [facts(rows)];
    return [facts(rows), el("details", { class: "meanings quiet" }, el("summary", {}, "What the numbers mean"),
      el("dl", {}, ...rows.map(([term, , meaning]) => el("div", {}, el("dt", {}, term), el("dd", {}, meaning)))))];
  };

  // Everything about a unit. Headings start at a level.
  const view = async (layer, unit, level, isCompact) => {
    const [own, record, label] = await Promise.all([
      atlas.load(layer.slug), atlas.details(layer, unit), atlas.className(layer, unit)]);
    const name = atlas.unitName(layer, unit);
    const first = leading(record);
    const others = record.pictures.filter((picture) => !first.includes(picture));
    const heading = el(`h${level}`, { tabindex: -1, class: "name" }, label ?? name,
      label && el("small", {}, ` ${name}`),
      own.dead.includes(unit) && [" ", el("span", { class: "badge" }, "dead unit")],
      own.mixed?.includes(unit) && [" ", el("span", { class: "badge" }, "strongest images differ")]);
    const [before, after] = [unit - 1, unit + 1].map((other) =>
      (other >= 0 && other < layer.units ? atlas.unitLink(layer, other) : null));
    const steps = isCompact ? null : el("div", { class: "steps" }, atlas.steps(
      [[layer.classes ? "Classes" : layer.path, atlas.layerLink(layer)]], [
        before ? el("a", { href: before, rel: "prev" }, `← ${unit - 1}`) : "",
        after ? el("a", { href: after, rel: "next" }, `${unit + 1} →`) : "",
        el("a", { href: "compare.html" + atlas.hash(name) }, "Compare")]));
    if (!isCompact) {
      Object.assign(atlas.keys, { p: before, n: after, u: atlas.layerLink(layer) });
    }
    const shown = first.length
      ? el("div", { class: "leading" }, ...first.map((picture) =>
        atlas.limit(figure(picture, kind(picture, own)), picture.width, 2, 16)))
      : el("p", { class: "note" }, "There is no picture of this unit yet.");
    const top = el("div", { class: first.length ? "top" : "top bare" }, shown,
      el("div", {}, ...numbers(layer, unit, own, isCompact), record.histogram ? histogram(record.histogram, name) : null));
    const next = level + 1;
    const more = others.length ? section(next, "More visualizations", gallery(others, own, next)) : null;
    const parts = [
      steps, heading,
      isCompact ? el("p", {}, el("a", { href: atlas.unitLink(layer, unit) }, `Open ${name}`)) : null, top,
      isCompact ? null : more,
      examples(record, own, next, name, isCompact),
      await links(record, next),
      isCompact ? null : neighbours(record, layer, next),
      isCompact ? more : again(record, own, next), // what two units share comes first
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
