/**
 * What pointlib's widgets share in the browser: coordinates, drawing of images, pan and zoom, keys,
 * the strip of thumbnails, and the connection to Python.
 *
 * Coordinates are image pixels, x to the right, y down; the centre of the top-left pixel is (0, 0),
 * so the image covers [-0.5, W - 0.5] x [-0.5, H - 0.5]. "Stage" coordinates are CSS pixels from
 * the stage's top-left corner. There are no others.
 *
 * A widget is sent to the browser as one module, this file and its own; so no name is defined in both.
 *
 * @typedef {{width: number, height: number}} Size
 * @typedef {{k: number, ox: number, oy: number}} View  stage = (image + 0.5) k + o
 */

/** Okabe and Ito's colour-blind safe colours, with white instead of black. */
export const COLOURS = ["#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#FFFFFF"];
export const INKS = COLOURS.map((colour) => {
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return (255 << 24 | blue << 16 | green << 8 | red) >>> 0;
});

const SILENCE = 2600; // ms without an answer before it is reported, within 3 s
const TICK = 250; // ms
const PING = 950; // ms, rounded up to whole ticks
const CELL = 84; // CSS pixels: width of a thumbnail with its margin
export const FINE = 2000; // points in view: above this they are squares
const FOLDS = ["tools", "stripRow"]; // what makes room for the image
const DECODED = 3; // images kept decoded
const THUMBS = 600; // thumbnails kept
const REDUCE = 1600; // pixels: a larger image gets smaller copies for zooming out
export const DRAG = 5; // CSS pixels: a shorter drag is a click

// ---------------------------------------------------------------------------- pure parts

export const clamp = (/** @type {number} */ value, /** @type {number} */ low, /** @type {number} */ high) =>
  Math.min(Math.max(value, low), high);

/** What `run` returns, or `otherwise` if it throws. @template T @param {() => T} run @param {T} otherwise */
export function attempt(run, otherwise) {
  try { return run(); } catch { return otherwise; }
}

/** Image to stage. @param {View} view @param {number} x @param {number} y */
export function toStage(view, x, y) {
  return { x: (x + 0.5) * view.k + view.ox, y: (y + 0.5) * view.k + view.oy };
}

/** Stage to image. @param {View} view @param {number} x @param {number} y */
export function toImage(view, x, y) {
  return { x: (x - view.ox) / view.k - 0.5, y: (y - view.oy) / view.k - 0.5 };
}

/**
 * The view that shows the whole image, centred, with a small margin.
 * @param {Size} image @param {Size} stage @returns {View}
 */
export function fitView(image, stage) {
  const k = clamp(Math.min((stage.width - 16) / image.width, (stage.height - 16) / image.height), 1e-4, 32);
  return { k, ox: (stage.width - image.width * k) / 2, oy: (stage.height - image.height * k) / 2 };
}

/**
 * Zoom so that what is under the stage position (x, y) stays there.
 * @param {View} view @param {number} factor @param {number} x @param {number} y
 * @param {[number, number]} limits  smallest and largest k
 * @returns {View}
 */
export function zoomAt(view, factor, x, y, limits = [1e-4, 64]) {
  const k = clamp(view.k * factor, limits[0], limits[1]);
  return { k, ox: x - ((x - view.ox) * k) / view.k, oy: y - ((y - view.oy) * k) / view.k };
}

/**
 * Keep a part of the image in the middle half of the stage.
 * @param {View} view @param {Size} image @param {Size} stage @returns {View}
 */
export function keepInSight({ k, ox, oy }, { width, height }, stage) {
  const within = (/** @type {number} */ o, /** @type {number} */ length, /** @type {number} */ room) =>
    clamp(o, room / 4 - length * k, (3 * room) / 4);
  return { k, ox: within(ox, width, stage.width), oy: within(oy, height, stage.height) };
}

/**
 * The view of the next image: the same zoom, and the same place as a fraction of the image.
 * @param {View} view @param {Size} before @param {Size} after @param {Size} stage @returns {View}
 */
export function carryView({ k, ox, oy }, before, after, stage) {
  const carry = (/** @type {number} */ o, /** @type {"width" | "height"} */ side) =>
    stage[side] / 2 - ((stage[side] / 2 - o) * after[side]) / before[side];
  return { k, ox: carry(ox, "width"), oy: carry(oy, "height") };
}

/** Radius of a drawn point, CSS pixels, at zoom k: it grows slowly with the zoom. */
export function pointRadius(/** @type {number} */ k) {
  return clamp(6 * k ** 0.35, 3, 16);
}

/**
 * The look-up table of 256 grey values, or null if nothing would change.
 * @param {{brightness: number, contrast: number, gamma: number}} settings  the first two -100..100
 */
export function makeLut({ brightness, contrast, gamma }) {
  if (brightness === 0 && contrast === 0 && gamma === 1) return null;
  const slope = Math.tan(((clamp(contrast, -100, 98) / 100 + 1) * Math.PI) / 4);
  return Uint8ClampedArray.from({ length: 256 }, (_, i) =>
    255 * (((i / 255) ** (1 / gamma) - 0.5) * slope + 0.5 + brightness / 100));
}

/** Change the colours of RGBA pixels in place. */
export function applyLut(/** @type {Uint8ClampedArray} */ pixels, /** @type {Uint8ClampedArray} */ lut) {
  for (let i = 0; i < pixels.length; i += 4) {
    pixels[i] = lut[pixels[i]];
    pixels[i + 1] = lut[pixels[i + 1]];
    pixels[i + 2] = lut[pixels[i + 2]];
  }
}

/**
 * Which of `n` thumbnails are in view: [first, after the last].
 * @param {number} left @param {number} width @param {number} n @param {number} cell
 * @returns {[number, number]}
 */
export function stripWindow(left, width, n, cell = CELL) {
  const first = clamp(Math.floor(left / cell) - 2, 0, n);
  return [first, clamp(Math.ceil((left + width) / cell) + 2, first, n)];
}

/** `1 point`, `2 points`. */
export const plural = (/** @type {number} */ n, /** @type {string} */ word) => `${n} ${word}${n === 1 ? "" : "s"}`;

/** A file name for a narrow place: without suffix and, if long, without the common prefix. */
export function shortName(/** @type {string} */ name, /** @type {string[]} */ names) {
  const part = distinctPart(name.replace(/\.\w+$/, ""), names);
  const rest = part.replace(/^\u2026/, "");
  return rest.length > 11 ? `${rest.slice(0, 2)}\u2026${rest.slice(-5)}` : part; // the number is at the end
}

/** A name; if long, without the common prefix of all (sorted) names. */
export function distinctPart(/** @type {string} */ name, /** @type {string[]} */ names) {
  const [first, last] = [names[0], names[names.length - 1]];
  let n = first === last ? 0 : [...first].findIndex((letter, i) => letter !== last[i]);
  n = first.slice(0, Math.max(n, 0)).search(/[\p{L}\p{N}]*$/u); // whole words and numbers
  return n && name.length > 11 ? `\u2026${name.slice(n)}` : name;
}

/** The key's name as in the key table, lower case: "ctrl+shift+z", "arrowleft", "?". */
export function keyName(/** @type {any} */ event, /** @type {string} */ key = event.key.toLowerCase()) {
  const plain = event.getModifierState?.("AltGraph"); // it reports Ctrl and Alt, but means neither
  const ctrl = !plain && (event.ctrlKey || event.metaKey) ? "ctrl+" : "";
  const alt = !plain && event.altKey ? "alt+" : "";
  const shift = event.shiftKey && (key.length > 1 || /[\s\p{L}]/u.test(key)) ? "shift+" : ""; // implied in "?"
  return ctrl + alt + shift + (key === " " ? "space" : key);
}

/** The digit printed on a key, or the Latin letter if the alphabet is another; or "". */
export const printed = (/** @type {any} */ event) =>
  /^Digit|^Numpad\d/.test(event.code) || /[^\x00-\x7f]/.test(event.key) ? event.code.slice(-1).toLowerCase() : "";

/** The action of each key in a key table. @param {any[]} keys @returns {Map<string, (app: any, event: any) => void>} */
export const actionsOf = (keys) =>
  new Map(keys.flatMap((row) => (row.keys ?? []).map((/** @type {string} */ key) => [key.toLowerCase(), row.run])));

/** The action of a key, or undefined. @param {Map<string, any>} actions @param {any} event */
export function actionAt(actions, event) {
  return actions.get(keyName(event)) ?? actions.get(keyName(event, printed(event)));
}

/** The binary parts of a message: its buffers, or base64 if buffers do not arrive. */
export function payload(/** @type {any} */ content, /** @type {DataView[] | undefined} */ buffers) {
  if (typeof content.data?.[0] !== "string") return (buffers ?? []).map((b) => new Uint8Array(b.buffer ?? b, b.byteOffset ?? 0, b.byteLength));
  return content.data.map((/** @type {string} */ text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)));
}

/** An LRU map of `limit` values; `drop` is called with each value removed. */
export class Recent extends Map {
  /** @param {number} limit @param {(value: any) => void} drop */
  constructor(limit, drop) {
    super();
    Object.assign(this, { limit, drop });
  }

  /** The value, marked as just used. @param {any} key */
  use(key) {
    const value = this.get(key);
    if (super.delete(key)) super.set(key, value);
    return value;
  }

  /** @param {any} key @param {any} value */
  set(key, value) {
    if (this.has(key) && this.get(key) !== value) this.delete(key);
    super.delete(key);
    super.set(key, value);
    if (this.size > this.limit) this.delete(this.keys().next().value);
    return this;
  }

  /** @param {any} key */
  delete(key) {
    if (this.has(key)) this.drop(this.get(key));
    return super.delete(key);
  }

  clear() {
    for (const key of [...this.keys()]) this.delete(key);
  }
}

/**
 * Fill the square of side 2 `half` around (x, y), clipped to the image, in 32-bit pixels.
 * @param {Uint32Array} pixels @param {number} width @param {number} height
 * @param {number} x @param {number} y @param {number} half @param {number} ink
 */
export function stamp(pixels, width, height, x, y, half, ink) {
  const [left, right] = [Math.max(0, x - half), Math.min(width, x + half)];
  for (let row = Math.max(0, y - half), last = Math.min(height, y + half); row < last; row++) {
    for (let i = row * width + left, end = row * width + right; i < end; i++) pixels[i] = ink;
  }
}

// ---------------------------------------------------------------------------- page

/** The panel for brightness and the like. */
const DISPLAY_PANEL = `  <div class="pl-panel" data-is="panel" role="group" aria-label="Display" hidden>
    <label>Brightness <input type="range" data-is="brightness" min="-100" max="100" value="0"><span class="pl-value"></span></label>
    <label>Contrast <input type="range" data-is="contrast" min="-100" max="100" value="0"><span class="pl-value"></span></label>
    <label>Gamma <input type="range" data-is="gamma" min="-1" max="1" step="0.02" value="0"><span class="pl-value"></span></label>
    <label>Channel <select data-is="channel"></select></label>
    <label class="pl-deep">Black <input type="number" step="any" data-is="black"></label>
    <label class="pl-deep">White <input type="number" step="any" data-is="white"></label>
    <span class="pl-deep pl-value" data-is="range"></span>
    <button data-is="reset" title="Show the image as it is">Reset</button>
  </div>`;

/** The list of keys. */
const HELP = `  <div class="pl-help" data-is="help" role="dialog" aria-label="Mouse and keys" tabindex="-1" hidden>
    <div class="pl-help-head"><strong>Mouse and keys</strong>
      <button class="pl-close" data-key="?" title="Close the help (Escape)">\u00d7</button></div>
    <div class="pl-help-body" data-is="keys"></div>
  </div>`;

/** Over the image: the canvas that receives pointer and keys, and the panels that open there. */
export const STAGE_TOP = `  <canvas class="pl-layer pl-top" data-is="top" tabindex="0" role="application" aria-label="Image"
    data-lm-suppress-shortcuts="true"></canvas>
  <div class="pl-centre" data-is="centre" hidden></div>
  <div class="pl-toasts" data-is="toasts" aria-live="polite"></div>
  <div class="pl-elsewhere" aria-hidden="true">Keys go elsewhere: click here to use the keys of this widget</div>
${DISPLAY_PANEL}
${HELP}`;

/** Buttons that open the display panel and the list of keys. */
export const DISPLAY_BUTTONS = `  <div class="pl-group pl-end">
    <button data-is="display" data-opens="panel" aria-expanded="false" title="Brightness, contrast, channels">Display</button>
    <button data-key="?" title="Help (?)">?</button>
  </div>`;

/** The thumbnails. */
export const STRIP = `<div class="pl-strip-row" data-is="stripRow">
  <button data-key="a" class="pl-turn" title="Previous image (a)">\u2039</button>
  <div class="pl-strip" data-is="strip" role="listbox" tabindex="0" aria-label="Images"
    aria-orientation="horizontal"><div class="pl-rail" data-is="rail"></div></div>
  <button data-key="d" class="pl-turn" title="Next image (d)">\u203a</button>
</div>`;

/** Zoom buttons, in the footer. */
export const ZOOM_BUTTONS = `    <button data-key="-" title="Zoom out (-)">\u2212</button><span class="pl-value pl-zoom" data-is="zoom"></span>
    <button data-key="+" title="Zoom in (+)">+</button>
    <button data-key="f" title="Fit the image into the view (f)">Fit</button>`;

/** A small drawing for a button. */
export const iconHtml = (path) => `<svg viewBox="0 0 14 14" width="14" height="14" aria-hidden="true"><path d="${path}"/></svg>`;

/** Buttons that make room for the image, in the footer, which always stays. */
export const ROOM_BUTTONS = `  <div class="pl-group">
    <button data-fold="tools" aria-pressed="false" title="Fold the tools (z: and the thumbnails)">${iconHtml("M1 1h12v12h-12zM1 3h12M1 5h12")}</button>
    <button data-fold="stripRow" aria-pressed="false" title="Fold the thumbnails (z: and the tools)">${iconHtml("M1 1h12v12h-12zM1 9h12M1 11h12")}</button>
    <button data-key="shift+f" data-is="full" aria-pressed="false" title="Full screen (F)">${iconHtml("M1 5v-4h4M9 1h4v4M13 9v4h-4M5 13h-4v-4")}</button>
  </div>`;

/** Rows of both key tables. */
export const ROOM_KEYS = [
  { group: "View", show: "z", keys: ["z"], text: "fold tools and thumbnails, or unfold them", run: (app) => app.foldAll() },
  { group: "View", show: "F", keys: ["Shift+F"], text: "full screen, and back", run: (app) => app.toggleFull() },
];

const signed = (value) => (value > 0 ? `+${value}` : `${value}`).replace("-", "\u2212");

/** What the fields of the display panel do, and how a slider's value is shown. */
export const TONE_FIELDS = {
  brightness: { run: (app, brightness) => app.setTone({ brightness }), words: signed },
  contrast: { run: (app, contrast) => app.setTone({ contrast }), words: signed },
  gamma: { run: (app, power) => app.setTone({ gamma: 5 ** power }), words: (power) => (5 ** power).toFixed(2) },
  channel: { run: (app, channel) => app.setSource({ channel, black: null, white: null }) },
  black: { run: (app, black) => app.setSource({ black }) },
  white: { run: (app, white) => app.setSource({ white }) },
};

/** Make an element with these properties. @returns {any} */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** The elements of one view, by name. @returns {any} */
export function buildPage(name, html, keys, fields) {
  const root = make("div", { className: `pl-widget ${name}`, innerHTML: html });
  Object.assign(root, { role: "group", ariaLabel: name.slice(3), tabIndex: -1 }); // to take the focus from a click, but not from Tab
  const page = { root };
  for (const element of root.querySelectorAll("[data-is]")) page[element.dataset.is] = element;
  for (const button of root.querySelectorAll("button")) {
    button.type = "button";
    button.ariaLabel = button.title || button.textContent;
  }
  for (const group of new Set(keys.map((row) => row.group))) {
    const rows = keys.filter((row) => row.group === group).flatMap(({ show, text }) =>
      [make("dt", {}, make("kbd", {}, show)), make("dd", {}, text)]);
    page.keys.append(make("section", {}, make("h4", {}, group), make("dl", {}, ...rows)));
  }
  for (const field of Object.keys(fields)) describe(fields, page[field]);
  return page;
}

/** Show a slider's value beside it; with `value`, set it first. */
export function describe(fields, field, value = field.value) {
  field.value = value;
  const { words } = fields[field.dataset.is];
  if (words) field.ariaValueText = field.nextElementSibling.textContent = words(Number(value), field);
}

/** Scroll a list of buttons, not the page, until one of them is visible. */
export function scrollTo(list, button) {
  const [box, at] = [list, button].map((element) => element.getBoundingClientRect());
  list.scrollTop += Math.min(at.top - box.top - 3, 0) + Math.max(at.bottom - box.bottom + 3, 0);
}

// ---------------------------------------------------------------------------- drawing

/** A layer's context in CSS pixels, empty. */
export function cleared(app, canvas) {
  const ctx = canvas.getContext("2d");
  ctx.setTransform(app.dpr, 0, 0, app.dpr, 0, 0);
  ctx.clearRect(0, 0, app.size.width, app.size.height);
  return ctx;
}

/** Draw the visible part of the image, through the look-up table if there is one. */
export function drawImageLayer(app) {
  const ctx = cleared(app, app.page.image);
  if (!app.record) return;
  const [x0, y0, x1, y1] = visiblePart(app);
  if (x1 <= x0 || y1 <= y0) return;
  const lut = makeLut(app.tone);
  if (!lut) return drawPart(ctx, app, x0, y0, x1, y1);
  const { width, height } = ctx.canvas;
  const spare = Object.assign(app.spare, { width, height }).getContext("2d", { willReadFrequently: true });
  drawPart(spare, app, x0, y0, x1, y1);
  const edge = (o, at, most) => clamp(Math.round((o + at * app.view.k) * app.dpr), 0, most);
  const [left, right] = [edge(app.view.ox, x0, width), edge(app.view.ox, x1, width)];
  const [upper, lower] = [edge(app.view.oy, y0, height), edge(app.view.oy, y1, height)];
  if (right <= left || lower <= upper) return;
  const pixels = spare.getImageData(left, upper, right - left, lower - upper);
  applyLut(pixels.data, lut);
  ctx.putImageData(pixels, left, upper);
}

/** The whole pixels in view, as edges x0 y0 x1 y1 counted from the image's corner. */
function visiblePart({ view, size, record }) {
  const [x1, y1] = [(size.width - view.ox) / view.k, (size.height - view.oy) / view.k].map(Math.ceil);
  const [x0, y0] = [-view.ox / view.k, -view.oy / view.k].map(Math.floor);
  return [Math.max(0, x0), Math.max(0, y0), Math.min(record.width, x1), Math.min(record.height, y1)];
}

/** Copy a part of the picture, from the smallest copy that is fine enough. */
function drawPart(ctx, { view, dpr, record, entry }, x0, y0, x1, y1) {
  const scale = view.k * dpr;
  const bitmap = entry.levels[clamp(Math.floor(-Math.log2(scale)), 0, entry.levels.length - 1)];
  const [fx, fy] = [bitmap.width / record.width, bitmap.height / record.height];
  const [width, height] = [x1 - x0, y1 - y0];
  ctx.setTransform(scale, 0, 0, scale, view.ox * dpr, view.oy * dpr);
  ctx.imageSmoothingEnabled = scale < 1;
  ctx.drawImage(bitmap, x0 * fx, y0 * fy, width * fx, height * fy, x0, y0, width, height);
}

/** Decode a picture of known size, with halved copies for zooming out. */
export async function decodePicture(bytes, { mime, width, height }) {
  const levels = [await createImageBitmap(new Blob([bytes], { type: mime }))];
  if (levels[0].width !== width || levels[0].height !== height) throw new Error("its size is unexpected");
  for (let n = 2; (2 * Math.max(width, height)) / n > REDUCE; n *= 2) {
    const [resizeWidth, resizeHeight] = [Math.ceil(width / n), Math.ceil(height / n)];
    levels.push(await createImageBitmap(levels.at(-1), { resizeWidth, resizeHeight, resizeQuality: "medium" }));
  }
  return levels;
}

// ---------------------------------------------------------------------------- one view

const newSession = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(3)), (n) => n.toString(16).padStart(2, "0")).join("");
export const focus = (element) => element?.focus({ preventScroll: true });
export const closeAll = (levels) => levels?.forEach((bitmap) => bitmap.close());

/**
 * One view of a widget. A subclass implements drawing (`paint`), images (`goto`, `ask`,
 * `paintThumb`), pointer input (`down`, `move`, `up`), messages (`take`) and what to do when Python
 * does not answer (`bannerText`, `resend`).
 */
export class Display {
  // pictures; `entry` is the one on the stage: {index, record, levels, error, about}
  names = []; index = -1; entry = null; shownSize = null; cache = new Recent(DECODED, (entry) => closeAll(entry.levels));
  source = { channel: null, black: null, white: null }; tone = { brightness: 0, contrast: 0, gamma: 1 };
  thumbs = new Recent(THUMBS, ({ url }) => URL.revokeObjectURL(url)); cells = new Map(); askedThumbs = new Set();
  // drawing
  view = { k: 1, ox: 0, oy: 0 }; fitted = true; size = { width: 0, height: 0 }; dpr = 1; dirty = new Set();
  frame = 0; frames = 0; sprites = new Recent(500, () => {}); spare = make("canvas"); stamps = null;
  // input
  pointers = new Map(); gesture = null; pointer = null; hasKeys = false; opened = false;
  // room: the user's habits, kept in the browser for the next time, and the height as set here, not by hand
  habits = { height: 0, folded: [] }; setHeight = ""; room = 0;
  // connection
  session = newSession(); welcomed = false; base64 = false; heard = performance.now(); ticked = this.heard;
  pinged = this.heard; silent = false; timers = new Map(); ending = new AbortController();

  /** @param {any} model  anywidget's @param {{name: string, html: string, keys: any[], fields: any}} page */
  constructor(model, { name, html, keys, fields }) {
    this.model = model;
    this.fields = fields;
    this.actions = actionsOf(keys);
    this.page = buildPage(name, html, keys, fields);
  }

  /** The current image's record, or null until it is here. */
  get record() {
    return this.entry?.index === this.index && this.entry.levels ? this.entry.record : null;
  }

  // -------------------------------------------------------------- frames and view

  /** The part of the image in view plus `margin` stage pixels: x0, y0, x1, y1. */
  reach(margin) {
    const from = toImage(this.view, -margin, -margin);
    const to = toImage(this.view, this.size.width + margin, this.size.height + margin);
    return [from.x, from.y, to.x, to.y];
  }

  /** Request layers to be drawn in the next frame. */
  request(...layers) {
    layers.forEach((layer) => this.dirty.add(layer));
    this.frame ||= requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.frame = 0;
    if (this.gesture?.moved) this.follow();
    const dirty = this.dirty;
    this.dirty = new Set();
    if (dirty.has("image")) drawImageLayer(this);
    this.paint(dirty);
    if (dirty.has("strip")) this.fillStrip();
    this.frames += 1;
  }

  setView(view, fitted = false) {
    this.fitted = fitted;
    this.view = this.record ? keepInSight(view, this.record, this.size) : view;
    this.page.zoom.textContent = `${Math.round(100 * this.view.k)} %`;
    this.request("image", "points", "top");
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.page.stage;
    const [before, dpr] = [this.size, window.devicePixelRatio || 1];
    if (!width || (width === before.width && height === before.height && dpr === this.dpr)) return;
    Object.assign(this, { size: { width, height }, dpr });
    for (const layer of this.page.stage.querySelectorAll(".pl-layer")) {
      Object.assign(layer, { width: Math.round(width * dpr), height: Math.round(height * dpr) });
    }
    const { k, ox, oy } = this.view;
    if (this.fitted) this.fit();
    else this.setView({ k, ox: ox + (width - before.width) / 2, oy: oy + (height - before.height) / 2 });
  }

  fit() {
    if (this.record) this.setView(fitView(this.record, this.size), true);
  }

  zoom(factor, { x, y } = { x: this.size.width / 2, y: this.size.height / 2 }) {
    if (!this.record) return;
    const least = Math.min(fitView(this.record, this.size).k / 2, 1);
    this.setView(zoomAt(this.view, factor, x, y, [least, 64]));
  }

  /** Pan until an image position is in view. */
  reveal({ x, y }) {
    const at = toStage(this.view, x, y);
    const by = (place, room) => clamp(place, Math.min(32, room / 2), Math.max(room - 32, room / 2)) - place;
    const [dx, dy] = [by(at.x, this.size.width), by(at.y, this.size.height)];
    if (dx || dy) this.setView({ ...this.view, ox: this.view.ox + dx, oy: this.view.oy + dy });
  }

  // -------------------------------------------------------------- room on the page

  /** Where the browser keeps the habits: one place for each kind of widget. */
  get habitsPlace() { return `pointlib-habits:${this.page.root.ariaLabel}`; }

  recallHabits() {
    const kept = attempt(() => JSON.parse(window.localStorage.getItem(this.habitsPlace)), null);
    if (Number.isFinite(kept?.height)) this.habits.height = kept.height;
    if (Array.isArray(kept?.folded)) this.habits.folded = kept.folded;
    for (const name of FOLDS) this.showFold(name);
  }

  keepHabits(change) {
    Object.assign(this.habits, change);
    attempt(() => window.localStorage.setItem(this.habitsPlace, JSON.stringify(this.habits)), null);
  }

  /** The habitual height, or the one that code asks for; but all of the widget is visible at once. */
  fitHeight() {
    const { root } = this.page;
    const inside = root.closest(".jp-WindowedPanel-outer, .jp-Notebook");
    // another page's frame may be as high as its content: it tells nothing
    const room = inside?.clientHeight || (window === window.top ? window.innerHeight : window.screen.availHeight - 200);
    if (room === this.room) return; // a height made by hand stays, even a larger one
    if (inside) this.watcher.observe(inside);
    this.room = room;
    this.setHeight = root.style.height = `${Math.min(this.habits.height || this.model.get("height"), Math.max(room - 16, 0))}px`;
  }

  /** A height other than the one set was made by hand, at the corner. */
  noteHeight() {
    const { height } = this.page.root.style;
    if (height === this.setHeight) return;
    this.setHeight = height;
    this.keepHabits({ height: Number.parseFloat(height) });
  }

  showFold(name) {
    const { root, top, [name]: part } = this.page;
    const folded = this.habits.folded.includes(name);
    if (folded && part.matches(":focus-within")) focus(top);
    part.hidden = folded;
    root.querySelector(`[data-fold=${name}]`).ariaPressed = String(folded);
    if (!folded && name === "stripRow" && this.index >= 0) this.revealThumb();
  }

  /** Fold some of the parts, unfold the others. */
  fold(folded) {
    this.keepHabits({ folded });
    for (const name of FOLDS) this.showFold(name);
  }

  foldAll() {
    this.fold(this.habits.folded.length < FOLDS.length ? FOLDS : []);
  }

  /** The whole screen, or where that is not allowed the whole window, or back. */
  async toggleFull() {
    const { root } = this.page;
    if (root.matches(":fullscreen")) return document.exitFullscreen();
    if (root.matches(".pl-full")) return this.fill(false);
    try {
      await root.requestFullscreen();
    } catch {
      this.fill(true);
    }
  }

  /** Fill the window, or not; as a popover, because a notebook's own layout would confine it. */
  fill(full) {
    const { root } = this.page;
    root.popover = full ? "manual" : null;
    if (full) attempt(() => root.showPopover(), null);
    this.showFull(full);
  }

  /** Where the browser does not do it by itself, Escape ends the full screen. */
  leaveFilled() {
    if (this.page.root.matches(".pl-full:not(:fullscreen)")) this.fill(false);
  }

  showFull(full) {
    const { root, full: button, top } = this.page;
    root.classList.toggle("pl-full", full);
    button.ariaPressed = String(full);
    if (!root.matches(":focus-within")) focus(top);
  }

  // -------------------------------------------------------------- the picture

  setTone(change) {
    Object.assign(this.tone, change);
    this.page.display.classList.toggle("pl-on", makeLut(this.tone) !== null);
    this.request("image");
  }

  /** Channel, black or white changed: Python sends a new picture. */
  setSource(change) {
    Object.assign(this.source, change);
    this.later("source", 150, () => this.ask(this.index));
  }

  resetTone() {
    for (const name of ["brightness", "contrast", "gamma"]) describe(this.fields, this.page[name], 0);
    this.setTone({ brightness: 0, contrast: 0, gamma: 1 });
    if (Object.values(this.source).some((value) => value !== null)) this.fields.channel.run(this, null);
  }

  /** The name of the open panel, or undefined. */
  get panelOpen() { return this.page.root.querySelector(".pl-panel:not([hidden])")?.dataset.is; }

  /** Open or close a panel; one at a time is open. */
  togglePanel(name = this.panelOpen) {
    const { page } = this;
    for (const button of page.root.querySelectorAll("[data-opens]")) {
      const { opens } = button.dataset;
      page[opens].hidden = opens !== name || !page[opens].hidden;
      button.ariaExpanded = String(!page[opens].hidden);
    }
    focus(page[name].hidden ? page.top : page[name].querySelector("input"));
  }

  toggleHelp() {
    const { help, top } = this.page;
    help.hidden = !help.hidden;
    focus(help.hidden ? top : help);
  }

  /** The cache key of a decoded picture. */
  place(index) {
    return `${index} ${JSON.stringify(this.source)}`;
  }

  /** Show a picture; a new image keeps the view of the previous one. */
  showPicture(entry) {
    const [before, name] = [this.shownSize, this.names[this.index]];
    this.entry = entry;
    this.takeKeys();
    this.showText(entry.error);
    if (entry.error) return;
    this.shownSize = entry.record;
    this.showSource(entry.about);
    if (this.fitted || !before) this.fit();
    else if (before.name !== name) this.setView(carryView(this.view, before, entry.record, this.size));
  }

  /** Show text instead of the image. */
  showText(text) {
    this.page.centre.textContent = text;
    this.page.centre.hidden = !text;
    this.request("image", "points", "top");
  }

  /** The fields of the display panel, as Python used them. */
  showSource({ deep, channels, range, black, white }) {
    const { page, source } = this;
    const option = (value, text) => make("option", { value }, text);
    page.channel.parentElement.hidden = channels < 2;
    page.channel.replaceChildren(option("", "all"), ...Array.from({ length: channels }, (_, i) => option(i, `${i + 1}`)));
    page.channel.value = source.channel ?? "";
    for (const element of page.panel.querySelectorAll(".pl-deep")) element.hidden = !deep;
    const short = (value) => `${Number(Number(value).toPrecision(5))}`;
    for (const [field, used, own] of [[page.black, black, source.black], [page.white, white, source.white]]) {
      field.placeholder = used === null ? "auto" : short(used);
      if (!field.matches(":focus")) field.value = own ?? "";
    }
    page.range.textContent = range ? `values ${short(range[0])} to ${short(range[1])}` : "";
  }

  /** Show a message on the stage, maybe with a button; warnings and errors stay until closed. */
  say(text, level = "info", action = null) {
    const { toasts } = this.page;
    const passes = level === "info" || level === "offer";
    const stale = (old) => (passes && old.matches(`.pl-${level}`)) || old.firstChild.textContent === text;
    [...toasts.children].filter(stale).forEach((old) => old.remove());
    const toast = make("div", { className: `pl-toast pl-${level}` }, make("span", {}, text));
    const act = () => {
      toast.remove();
      action.run();
    };
    if (action) toast.append(make("button", { className: "pl-act", type: "button", onclick: act }, action.text));
    if (passes) this.later(level, level === "info" ? 5000 : 10_000, () => toasts.querySelector(`.pl-${level}`)?.remove());
    else toast.append(make("button", { className: "pl-close", title: "Close", ariaLabel: "Close", onclick: () => toast.remove() }, "\u00d7"));
    toasts.append(toast);
    if (toasts.children.length > 3) toasts.firstChild.remove();
  }

  // -------------------------------------------------------------- thumbnails

  /** The image at a place of the strip, and the place of an image. */
  imageAt(place) { return place; }
  placeOf(index) { return index; }

  /** Only the thumbnails in view are in the page. */
  fillStrip() {
    const { strip, rail } = this.page;
    if (!strip.clientWidth) return; // not displayed, as briefly when the theme changes
    const [first, end] = stripWindow(strip.scrollLeft, strip.clientWidth, this.names.length);
    rail.style.width = `${this.names.length * CELL}px`;
    for (const [i, cell] of this.cells) {
      if (i >= first && i < end) continue;
      cell.remove();
      this.cells.delete(i);
    }
    for (let i = first; i < end; i++) if (!this.cells.has(i)) this.addThumb(i);
    this.later("thumbs", 80, () => this.askThumbs());
  }

  addThumb(i) {
    const index = this.imageAt(i);
    const cell = make("div", { className: "pl-thumb", role: "option", id: `pl-${this.session}-${index}`, onclick: () => this.goto(index) },
      make("img", { alt: "", draggable: false }), make("span", { className: "pl-sign", ariaHidden: "true" }),
      make("span", { className: "pl-name" }, shortName(this.names[index], this.names)));
    Object.assign(cell, { ariaPosInSet: `${i + 1}`, ariaSetSize: `${this.names.length}` });
    cell.style.left = `${i * CELL}px`;
    this.cells.set(i, cell);
    this.page.rail.append(cell);
    this.paintThumb(i);
  }

  askThumbs() {
    const missing = (index) => !this.thumbs.has(index) && !this.askedThumbs.has(index);
    const indices = [...this.cells.keys()].sort((a, b) => a - b).map((i) => this.imageAt(i)).filter(missing);
    indices.forEach((i) => this.askedThumbs.add(i));
    if (indices.length) this.send({ type: "thumbs", indices });
  }

  onThumb({ index, mime, error }, parts) {
    this.askedThumbs.delete(index);
    this.thumbs.set(index, { url: error ? "" : URL.createObjectURL(new Blob(parts, { type: mime })), error });
    this.paintThumb(this.placeOf(index));
  }

  /** Scroll the strip to show the current image. */
  revealThumb() {
    const { strip, rail } = this.page;
    const left = this.placeOf(this.index) * CELL;
    rail.style.width = `${this.names.length * CELL}px`;
    const seen = left >= strip.scrollLeft && left + CELL <= strip.scrollLeft + strip.clientWidth;
    if (!seen) strip.scrollLeft = left - (strip.clientWidth - CELL) / 2;
    this.fillStrip();
    for (const i of this.cells.keys()) this.paintThumb(i);
    strip.setAttribute("aria-activedescendant", `pl-${this.session}-${this.index}`);
  }

  // -------------------------------------------------------------- input

  /** Listen until the view ends. */
  on(target, type, run, capture = false) {
    target.addEventListener(type, run, { signal: this.ending.signal, passive: false, capture });
  }

  listen() {
    const { top, root, stage, strip, reset } = this.page;
    const on = (target, type, run) => this.on(target, type, run);
    on(top, "pointerdown", (event) => this.down(event));
    on(top, "pointermove", (event) => this.move(event));
    on(top, "pointerup", (event) => this.up(event));
    on(top, "pointercancel", (event) => this.cancel(event));
    on(top, "pointerleave", () => this.hover(null));
    on(top, "wheel", (event) => this.wheel(event));
    on(top, "mousedown", (event) => event.button === 1 && event.preventDefault());
    on(top, "auxclick", (event) => event.preventDefault());
    on(top, "contextmenu", (event) => event.ctrlKey && event.preventDefault());
    on(root, "focusin", ({ target }) => this.gainKeys(target));
    on(root, "focusout", ({ relatedTarget }) => (this.hasKeys &&= !relatedTarget || root.contains(relatedTarget)));
    this.on(document, "pointerdown", ({ target }) => (this.hasKeys &&= root.contains(target)), true);
    on(root, "keydown", (event) => this.key(event));
    on(root, "click", (event) => this.pressButton(event));
    on(root, "input", ({ target }) => target.type === "range" && this.enter(target));
    on(root, "change", ({ target }) => target.type !== "range" && this.enter(target));
    on(reset, "click", () => this.resetTone());
    on(root, "fullscreenchange", () => this.showFull(root.matches(":fullscreen")));
    on(window, "resize", () => this.fitHeight());
    on(strip, "keydown", (event) => this.stripKey(event));
    on(strip, "scroll", () => this.request("strip"));
    this.clock = setInterval(() => this.tick(), TICK);
    this.watcher = new ResizeObserver(() => {
      this.noteHeight();
      this.fitHeight(); // where the widget stands is known only now
      this.resize();
      this.request("strip");
    });
    [stage, strip].forEach((element) => this.watcher.observe(element));
  }

  at({ clientX, clientY }) {
    const box = this.page.top.getBoundingClientRect();
    return { x: clientX - box.left, y: clientY - box.top };
  }

  /** Zoom and pan as two fingers move from a and b to p and q. */
  pinch(view, [a, b], [p, q]) {
    if (!q) return;
    const factor = Math.hypot(q.x - p.x, q.y - p.y) / Math.max(Math.hypot(b.x - a.x, b.y - a.y), 1);
    const { k, ox, oy } = zoomAt(view, factor, (a.x + b.x) / 2, (a.y + b.y) / 2);
    this.setView({ k, ox: ox + (p.x + q.x - a.x - b.x) / 2, oy: oy + (p.y + q.y - a.y - b.y) / 2 });
  }

  wheel(event) {
    event.preventDefault();
    if (this.gesture?.moved) return;
    const unit = [1, 16, 400][event.deltaMode];
    const speed = event.ctrlKey ? 0.01 : 0.0015; // a pinch on a touchpad comes as Ctrl+wheel
    this.zoom(Math.exp(-clamp(event.deltaY * unit, -400, 400) * speed), this.at(event));
  }

  /** Something inside has the focus now. What takes no focus itself, as the status line, gives it to the image. */
  gainKeys(target) {
    this.hasKeys = true;
    // JupyterLab checks this on the focused element itself: otherwise x would cut the cell
    target.dataset.lmSuppressShortcuts = "true";
    if (target === this.page.root) focus(this.page.top);
  }

  /** With the first image the keys act here, if it is in sight and nobody types or has another widget. */
  takeKeys() {
    const [at, { top, bottom }] = [document.activeElement, this.page.root.getBoundingClientRect()];
    const busy = at?.isContentEditable || at?.closest("input, textarea, select, iframe, .pl-widget");
    const idle = !at || at === document.body || (at.closest(".jp-Notebook") && !busy);
    if (!this.opened && idle && bottom > 0 && top < window.innerHeight && document.hasFocus()) focus(this.page.top);
    this.opened = true;
  }

  /** If what had the focus is gone, hidden or disabled, the image has it: not the notebook. */
  keepKeys() {
    if (this.hasKeys && document.activeElement === document.body && document.hasFocus()) focus(this.page.top);
  }

  /**
   * No key goes on from here. Any key that reaches JupyterLab's notebook gives the focus to the
   * selected cell, maybe another than this one's, and the next key acts there. Elsewhere, as in VS
   * Code, keys with Ctrl may be the application's.
   */
  stopKey(event) {
    if (event.key === "Tab") this.hasKeys = false; // until it is seen where it went
    if (this.page.root.closest(".jp-Notebook") || !(event.ctrlKey || event.metaKey)) event.stopPropagation();
  }

  /** Sliders keep the keys that move them, other fields most keys, buttons Enter and Space. */
  key(event) {
    const name = keyName(event);
    this.stopKey(event);
    if (name === "enter" && event.target.matches("[type=number]")) { // JupyterLab keeps Enter from counting as a change
      event.target.blur();
      focus(event.target);
    }
    const field = event.target.matches("[type=range]") ? /arrow|home|end|page/.test(name)
      : event.target.matches("input, select") && !/^(escape|ctrl\+(shift\+)?[szy])$/.test(name);
    const native = event.target.matches("button") && /^(enter|space)$/.test(name);
    const run = field || native || event.isComposing ? undefined : actionAt(this.actions, event);
    if (!run) return;
    event.preventDefault();
    event.stopPropagation();
    run(this, event);
  }

  stripKey(event) {
    const last = this.names.length - 1;
    const at = this.placeOf(this.index);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    this.goto(this.imageAt(clamp(to, 0, last)));
  }

  /** Run the action of a button's key; after a mouse click the image gets the focus. */
  pressButton({ target, detail }) {
    const { root, help, top } = this.page;
    const { key, opens, fold } = target.closest("[data-key], [data-opens], [data-fold]")?.dataset ?? {};
    if (key) this.actions.get(key)(this, { key });
    if (opens) this.togglePanel(opens);
    if (fold) this.fold(FOLDS.filter((name) => (name === fold) !== this.habits.folded.includes(name)));
    const done = help.hidden && !this.panelOpen && target.closest("button, .pl-strip");
    if (detail && (done || !root.matches(":focus-within"))) focus(top); // the corner that resizes takes none
    this.keepKeys();
  }

  /** A field has a new value; an empty one means automatic. */
  enter(field) {
    const { value } = field;
    describe(this.fields, field);
    this.fields[field.dataset.is].run(this, value === "" ? null : Number.isNaN(Number(value)) ? value : Number(value));
  }

  // -------------------------------------------------------------- messages

  send(message) {
    const sent = attempt(() => [this.model.send({ session: this.session, ...message })], null);
    if (!sent) this.heard = -Infinity; // the connection is gone; the banner says so
  }

  /** Run once after `ms`; another call restarts the delay. */
  later(name, ms, run) {
    clearTimeout(this.timers.get(name));
    this.timers.set(name, setTimeout(run, ms));
  }

  /** Four times a second: send hello or ping once a second, detect silence. */
  tick() {
    const now = performance.now();
    if (now - this.ticked > 2000) this.heard = Math.max(this.heard, now - 500); // the browser slept
    this.ticked = now;
    if (now - this.pinged > PING) {
      this.pinged = now;
      this.send(this.welcomed ? { type: "ping", t: now } : { type: "hello", base64: this.base64 });
    }
    if ((window.devicePixelRatio || 1) !== this.dpr) this.resize();
    this.keepKeys();
    this.silent = now - this.heard > SILENCE;
    this.showBanner(now - this.heard);
  }

  /** Show what is wrong with the connection, after `quiet` ms of silence. */
  showBanner(quiet) {
    const { banner } = this.page;
    const text = this.bannerText(quiet < Infinity ? ` for ${Math.floor(quiet / 1000)} s` : "");
    if (banner.textContent !== text) banner.textContent = text;
    banner.hidden = !text;
    banner.classList.toggle("pl-dead", this.silent);
  }

  /** Receive a message from Python. */
  hear(content, buffers) {
    const back = this.silent;
    Object.assign(this, { heard: performance.now(), silent: false });
    if (!content.session || content.session === this.session || this.concerns(content)) this.take(content, payload(content, buffers));
    if (back) this.resend();
  }

  /** Whether a message to another view concerns this one too. */
  concerns() { return false; }

  /** Whether buffers arrive; if not, ask for base64. Once: on the welcome. */
  isBinary(parts) {
    if (this.base64 || String(parts[0] ?? "") === "1,2,3") return true;
    this.base64 = true;
    this.send({ type: "hello", base64: true });
    return false;
  }

  end() {
    this.ending.abort();
    clearInterval(this.clock);
    for (const timer of this.timers.values()) clearTimeout(timer);
    cancelAnimationFrame(this.frame);
    this.watcher.disconnect();
    this.cache.clear();
    this.thumbs.clear();
    this.page.root.remove();
  }
}

/** Show a view in an element until the returned function is called. */
export function mount(app, { model, el }) {
  const hear = (content, buffers) => app.hear(content, buffers);
  model.on("msg:custom", hear);
  el.append(app.page.root);
  app.recallHabits();
  app.fitHeight();
  app.resize();
  app.send({ type: "hello", base64: false });
  return () => {
    model.off("msg:custom", hear);
    app.end();
  };
}
