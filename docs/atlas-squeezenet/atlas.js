"use strict";
// Shared by all pages: data, addresses, elements, numbers, and the keyboard.
//
// Data are scripts that call `atlas.put`, because pages that are opened from disk may
// load scripts, but may not fetch files.
const atlas = (() => {
  const values = new Map();
  const promises = new Map();
  const put = (name, value) => { values.set(name, value); };

  // Load data once, when they are first needed.
  const load = (name) => {
    if (values.has(name)) return Promise.resolve(values.get(name));
    if (!promises.has(name)) {
      promises.set(name, new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = `data/${name}.js`;
        script.onload = () => resolve(values.get(name));
        // No event tells of errors in the scripts of a page that was opened from disk.
        script.onerror = () => {
          warn(`This page cannot be shown: data/${name}.js is missing. Build the atlas again.`);
          reject(new Error(`data/${name}.js is missing`));
        };
        document.head.append(script);
      }));
    }
    return promises.get(name);
  };

  // Elements. Strings among the children become text, never markup.
  const fill = (element, attributes, children) => {
    for (const [name, value] of Object.entries(attributes)) {
      if (value === true) element.setAttribute(name, "");
      else if (value !== false && value != null) element.setAttribute(name, value);
    }
    element.append(...children.flat(2).filter((child) => child != null && child !== false));
    return element;
  };
  const el = (tag, attributes = {}, ...children) =>
    fill(document.createElement(tag), attributes, children);
  const svg = (tag, attributes = {}, ...children) =>
    fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
  const byId = (id) => document.getElementById(id);

  // A note about what went wrong, above the contents.
  const warn = (text) => byId("main").prepend(el("p", { class: "note", role: "alert" }, text));

  // Numbers with three significant digits.
  const UNKNOWN = "–";
  const number = (value) => {
    if (value == null) return UNKNOWN;
    const text = Math.abs(value) >= 1000
      ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));
    return text.replace("-", "−");
  };
  const percent = (value) => {
    if (value == null) return UNKNOWN;
    if (value > 0 && value < 0.001) return "< 0.1 %";
    return `${Number((100 * value).toPrecision(value < 0.1 ? 2 : 3))} %`;
  };
  const count = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;

  // The part of an address behind the #: `name&key=value&key=value`.
  const encode = (text) =>
    encodeURIComponent(text).replaceAll("%2F", "/").replaceAll("%3A", ":");
  const decode = (text) => {
    try { return decodeURIComponent(text); } catch { return text; }
  };
  const address = () => {
    const [name, ...pairs] = location.hash.slice(1).split("&");
    const options = {};
    for (const pair of pairs) {
      const [key, ...value] = pair.split("=");
      options[decode(key)] = decode(value.join("="));
    }
    return { name: decode(name), options };
  };
  const hash = (name, options = {}) => {
    const pairs = Object.entries(options).filter(([, value]) => value !== "" && value != null);
    return ["#" + encode(name), ...pairs.map(([k, v]) => `${encode(k)}=${encode(String(v))}`)].join("&");
  };

  // Layers and units.
  let site = null;
  let layers = new Map();
  const start = () => {
    site = values.get("site");
    if (!site) {
      warn("data/site.js is missing. Build the atlas again.");
      throw new Error("data/site.js is missing");
    }
    layers = new Map(site.layers.map((layer) => [layer.path, layer]));
  };
  const unitName = (layer, unit) => `${layer.path}:${unit}`;
  const parse = (name) => {
    const place = name.lastIndexOf(":");
    const layer = layers.get(name.slice(0, place));
    const digits = name.slice(place + 1);
    if (place < 0 || !layer || !/^[0-9]+$/.test(digits)) return null;
    return Number(digits) < layer.units ? { layer, unit: Number(digits) } : null;
  };
  const unitLink = (layer, unit) => "unit.html" + hash(unitName(layer, unit));
  const layerLink = (layer) =>
    layer.classes ? "classes.html" : "layer.html" + hash(layer.path);
  const details = async (layer, unit) => {
    const chunk = await load(`${layer.slug}-${Math.floor(unit / site.chunk)}`);
    return chunk[unit % site.chunk];
  };
  const className = async (layer, unit) => {
    if (!layer.classes) return null;
    return (await load("classes")).names[unit] ?? null;
  };

  // Keys: a page says where `n`, `p` and `u` lead. They can be turned off, because
  // software for speech types letters by mistake.
  const keys = { n: null, p: null, u: null };
  const useKeys = byId("use-keys");
  const KEPT = "tfviz-atlas-keys";
  try { // pages may not keep anything where the browser forbids it
    useKeys.checked = localStorage.getItem(KEPT) !== "off";
    useKeys.addEventListener("change", () => localStorage.setItem(KEPT, useKeys.checked ? "on" : "off"));
  } catch { useKeys.checked = true; }
  const isTyping = (target) => target.closest("input, select, textarea") !== null;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (isTyping(event.target)) {
      if (event.key === "Escape" && event.target.type === "search") event.target.blur();
      return;
    }
    if (!useKeys.checked || document.querySelector("dialog[open]")) return;
    if (event.key === "/") {
      event.preventDefault();
      (byId("text") ?? byId("find")).focus();
    } else if (keys[event.key]) {
      location.href = keys[event.key];
    }
  });

  // The search field of the header leads to a unit or layer, or to the search.
  const find = byId("find");
  find.form.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = find.value.trim();
    const unit = parse(text);
    if (unit) location.href = unitLink(unit.layer, unit.unit);
    else if (layers.has(text)) location.href = layerLink(layers.get(text));
    else location.href = "search.html" + hash("", { q: text });
  });

  // The way up from a unit or a layer, and to those beside it.
  const steps = (up, beside) => [
    el("span", { class: "crumbs" }, el("a", { href: "index.html" }, site.title),
      ...up.map(([text, link]) => [el("span", { "aria-hidden": "true" }, " › "), el("a", { href: link }, text)])),
    ...beside,
  ];

  // Limit how many times a picture is enlarged, so that it is not blurred beyond that.
  const limit = (element, width, times, least) => {
    element.style.maxWidth = `max(${least}rem, ${times * width}px)`;
    return element;
  };

  // A picture in its full size.
  const zoom = (picture, caption) => {
    const close = el("button", {}, "Close");
    const dialog = el("dialog", { "aria-label": caption },
      el("form", { method: "dialog" }, el("p", {}, caption), close), picture);
    dialog.addEventListener("close", () => dialog.remove());
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
    close.addEventListener("click", (event) => { event.preventDefault(); dialog.close(); });
    document.body.append(dialog);
    dialog.showModal();
  };

  return {
    put, load, el, svg, byId, number, percent, count, address, hash, start, unitName,
    parse, unitLink, layerLink, details, className, keys, steps, limit, zoom,
    get site() { return site; },
    get layers() { return layers; },
    setTitle: (text) => { document.title = `${text} · ${site.title}`; },
  };
})();
