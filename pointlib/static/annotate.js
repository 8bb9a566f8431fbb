/**
 * The browser side of pointlib's annotator: one plain ES module, no build step, no network.
 *
 * Points live here while one annotates; every edit goes to Python as a numbered message and is
 * drawn pale until Python says that it is written down. Edits without an answer are kept in
 * localStorage and sent again, by this view or by the next one.
 *
 * Coordinates are image pixels, x to the right, y down; the centre of the top-left pixel is (0, 0),
 * so the image covers [-0.5, W - 0.5] x [-0.5, H - 0.5]. "Stage" coordinates are CSS pixels from
 * the stage's top-left corner. Nothing but these two occurs.
 *
 * Order of the file: constants, pure parts (the named exports), page, drawing, input, messages.
 *
 * @typedef {{id: string, x: number, y: number, label: string, source?: string,
 *            score?: number | null}} Point
 * @typedef {{width: number, height: number}} Size
 * @typedef {{k: number, ox: number, oy: number}} View  stage = (image + 0.5) k + o
 * @typedef {{type: "edit", session: string, edit: number, op: string, image?: string,
 *            points?: any[], mark?: string, magnet?: boolean, sigma?: number, dark?: boolean | null}} Edit
 * @typedef {{image?: string, changes?: {id: string, point: any}[], mark?: any,
 *            rejections?: {id: string, point: any}[]}} Outcome
 */

// ---------------------------------------------------------------------------- constants

/** Okabe and Ito's colours, told apart by colour-blind eyes; white stands in for their black. */
export const COLOURS = ["#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#FFFFFF"];
const INKS = COLOURS.map((colour) => {
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return (255 << 24 | blue << 16 | green << 8 | red) >>> 0;
});
/** Nine shapes beside eight colours: 72 classes differ in at least one of the two. */
export const SHAPES = ["circle", "square", "triangle", "diamond", "cross", "hexagon", "wedge", "star", "bar"];
/** States of an image: sign and word; the colours stand in annotate.css. */
export const SIGNS = { unlabelled: "?", labelled: "\u2713", empty: "\u2205", skipped: "\u00bb" };

const SILENCE = 2600; // ms without an answer until it is said, so that 3 s are kept
const TICK = 250; // ms
const PING = 950; // ms, rounded up to whole ticks
const IDLE = 60_000; // ms: longer gaps are breaks and do not count as work
const DRAG = 5; // CSS pixels: less is a click
const CELL = 84; // CSS pixels: width of a thumbnail with its margin
const FINE = 2000; // points in view: above this, squares
const DECODED = 3; // images kept decoded
const THUMBS = 600; // thumbnails kept
const REDUCE = 1600; // pixels: a larger image gets smaller copies for the view from afar
const RING = Math.SQRT2; // a LoG of sigma answers best to a disc of this many sigmas

/**
 * The one key table: the handler looks keys up here, `?` shows it. Rows without `run` are gestures.
 * "Ctrl" is Ctrl or Cmd.
 * @type {{group: string, show: string, text: string, keys?: string[],
 *         run?: (app: any, event: any) => void}[]}
 */
export const KEYS = [
  { group: "Points", show: "Click", text: "add a point; on a point: select it" },
  { group: "Points", show: "Ctrl+Click", text: "add, even on top of a point" },
  { group: "Points", show: "Drag", text: "on a point: move it, or the whole selection" },
  { group: "Points", show: "Shift+Click", text: "select one more, or one less" },
  { group: "Points", show: "Shift+Drag", text: "select all in a rectangle" },
  { group: "Points", show: "Ctrl+A", keys: ["Ctrl+A"], text: "select all", run: (app) => app.select(app.record?.points.keys() ?? []) },
  { group: "Points", show: "Delete", keys: ["Delete", "Backspace"], text: "delete the selection", run: (app) => app.editSelection("delete") },
  { group: "Points", show: ", .", keys: [",", "."], text: "select the previous, the next point", run: (app, event) => app.stepPoint(event.key === "," ? -1 : 1) },
  { group: "Points", show: "Ctrl+Z", keys: ["Ctrl+Z"], text: "undo, across images, without end", run: (app) => app.edit({ op: "undo" }) },
  { group: "Points", show: "Ctrl+Shift+Z", keys: ["Ctrl+Shift+Z", "Ctrl+Y"], text: "redo (also Ctrl+Y)", run: (app) => app.edit({ op: "redo" }) },
  { group: "Classes", show: "1 \u2013 9", keys: [..."123456789"], text: "choose the class", run: (app, event) => app.chooseClass(Number(printed(event) || event.key) - 1) },
  { group: "Classes", show: "[ ]", keys: ["[", "]"], text: "the previous, the next class", run: (app, event) => app.chooseClass((app.label + (event.key === "[" ? -1 : 1) + app.classes.length) % app.classes.length) },
  { group: "Classes", show: "r", keys: ["r"], text: "give the selection this class", run: (app) => app.editSelection("label", { label: app.classes[app.label] }) },
  { group: "Images", show: "a d", keys: ["a", "d"], text: "previous, next image", run: (app, event) => app.goto(app.index + (event.key.toLowerCase() === "a" ? -1 : 1)) },
  { group: "Images", show: "n", keys: ["n"], text: "next unlabelled image", run: (app) => app.gotoUnlabelled() },
  { group: "Images", show: "e", keys: ["e"], text: "mark empty: looked, nothing here", run: (app) => app.mark("empty") },
  { group: "Images", show: "s", keys: ["s"], text: "skip, and go to the next unlabelled", run: (app) => app.mark("skipped") },
  { group: "View", show: "Wheel", text: "zoom at the pointer" },
  { group: "View", show: "Middle drag", text: "pan (also Alt+drag, or drag on free ground)" },
  { group: "View", show: "f", keys: ["f"], text: "fit the image into the view", run: (app) => app.fit() },
  { group: "View", show: "+ \u2212", keys: ["+", "=", "-"], text: "zoom", run: (app, event) => app.zoom(event.key === "-" ? 1 / 1.4 : 1.4) },
  { group: "View", show: "h", keys: ["h"], text: "hide or show the points", run: (app) => app.toggleHidden() },
  { group: "Keyboard only", show: "Arrows", keys: ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"].flatMap((key) => [key, `Shift+${key}`, `Ctrl+${key}`]), text: "move the selection, or a crosshair, by 1 px (Shift 10, Ctrl 100)", run: (app, event) => app.arrow(event) },
  { group: "Keyboard only", show: "Space", keys: ["Space", "Shift+Space", "Ctrl+Space"], text: "click at the crosshair", run: (app, event) => app.clickCrosshair(event) },
  { group: "Keyboard only", show: "Escape", keys: ["Escape"], text: "clear the selection, then leave the image", run: (app) => app.escape() },
  { group: "Help from the machine", show: "m", keys: ["m"], text: "magnet: clicks snap to the blob beneath", run: (app) => app.toggleMagnet() },
  { group: "Help from the machine", show: "g", keys: ["g"], text: "ghosts: none, blobs, the model's points", run: (app) => app.stepGhosts() },
  { group: "Help from the machine", show: "Enter", keys: ["Enter"], text: "accept all ghosts in view (click: one)", run: (app) => app.acceptInView() },
  { group: "Help from the machine", show: "x", keys: ["x"], text: "reject the ghost under the pointer or crosshair", run: (app) => app.rejectGhost() },
  { group: "Other", show: "?", keys: ["?"], text: "this help", run: (app) => app.toggleHelp() },
  { group: "Other", show: "Ctrl+S", keys: ["Ctrl+S"], text: "not needed: everything is saved as you go", run: (app) => app.say("Everything is saved as you go.") },
];

const ACTIONS = new Map(
  KEYS.flatMap((row) => (row.keys ?? []).map((key) => [key.toLowerCase(), row.run])));

// ---------------------------------------------------------------------------- pure parts

const clamp = (/** @type {number} */ value, /** @type {number} */ low, /** @type {number} */ high) =>
  Math.min(Math.max(value, low), high);

/** What `run` returns, or `otherwise` where it fails. @template T @param {() => T} run @param {T} otherwise */
function attempt(run, otherwise) {
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
 * The view that shows the whole image in the middle, with a little air.
 * @param {Size} image @param {Size} stage @returns {View}
 */
export function fitView(image, stage) {
  const k = clamp(Math.min((stage.width - 16) / image.width, (stage.height - 16) / image.height), 1e-4, 32);
  return { k, ox: (stage.width - image.width * k) / 2, oy: (stage.height - image.height * k) / 2 };
}

/**
 * Zoom so that what lies under the stage position (x, y) stays there.
 * @param {View} view @param {number} factor @param {number} x @param {number} y
 * @param {[number, number]} limits  smallest and largest k
 * @returns {View}
 */
export function zoomAt(view, factor, x, y, limits = [1e-4, 64]) {
  const k = clamp(view.k * factor, limits[0], limits[1]);
  return { k, ox: x - ((x - view.ox) * k) / view.k, oy: y - ((y - view.oy) * k) / view.k };
}

/**
 * Keep a part of the image in the middle half of the stage, so that nobody gets lost.
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

/** Radius of a drawn point, CSS pixels, at zoom k: it follows the zoom, but slowly. */
export function pointRadius(/** @type {number} */ k) {
  return clamp(6 * k ** 0.35, 3, 16);
}

/**
 * How near a click must come to a point to mean it, CSS pixels. At most a quarter of the mean
 * distance between points: with 10,000 points seen from afar every click would hit one otherwise.
 * @param {number} radius  the drawn one @param {number} spacing  CSS pixels @param {boolean} coarse
 */
export function hitRadius(radius, spacing, coarse = false) {
  return clamp(spacing / 4, 2, radius + (coarse ? 12 : 3));
}

/**
 * Points by id, in order of arrival, with a grid for "what is near" and counts per class.
 * @extends {Map<string, Point>}
 */
export class PointStore extends Map {
  /** @param {number} width @param {number} height @param {Iterable<Point>} points */
  constructor(width, height, points = []) {
    super();
    this.cell = Math.max(8, Math.sqrt((width * height) / 4096));
    this.columns = Math.max(1, Math.ceil(width / this.cell));
    this.rows = Math.max(1, Math.ceil(height / this.cell));
    /** @type {(Set<Point> | undefined)[]} */
    this.grid = new Array(this.columns * this.rows);
    /** @type {{[label: string]: number}} */
    this.counts = {};
    for (const point of points) this.put(point);
  }

  /** Column or row of the grid. */
  slot(/** @type {number} */ place, /** @type {number} */ n) {
    return clamp(Math.floor((place + 0.5) / this.cell), 0, n - 1);
  }

  /** Add a point, or replace the one of the same id. @param {Point} point */
  put(point) {
    this.unlist(this.get(point.id));
    this.set(point.id, point);
    const index = this.slot(point.y, this.rows) * this.columns + this.slot(point.x, this.columns);
    (this.grid[index] ??= new Set()).add(point);
    this.counts[point.label] = (this.counts[point.label] ?? 0) + 1;
  }

  /** @param {string} id */
  delete(id) {
    this.unlist(this.get(id));
    return super.delete(id);
  }

  /** Take a point out of grid and counts, not out of the order. @param {Point | undefined} point */
  unlist(point) {
    if (!point) return;
    this.grid[this.slot(point.y, this.rows) * this.columns + this.slot(point.x, this.columns)]?.delete(point);
    this.counts[point.label] -= 1;
  }

  /**
   * The points with x0 <= x <= x1 and y0 <= y <= y1.
   * @param {number} x0 @param {number} y0 @param {number} x1 @param {number} y1 @returns {Point[]}
   */
  inside(x0, y0, x1, y1) {
    const found = [];
    const [left, right] = [this.slot(x0, this.columns), this.slot(x1, this.columns)];
    for (let row = this.slot(y0, this.rows), last = this.slot(y1, this.rows); row <= last; row++) {
      for (let column = left; column <= right; column++) {
        for (const p of this.grid[row * this.columns + column] ?? []) {
          if (p.x >= x0 && p.x <= x1 && p.y >= y0 && p.y <= y1) found.push(p);
        }
      }
    }
    return found;
  }

  /**
   * The nearest point within `radius` image pixels, or null; `accept` may leave some out.
   * @param {number} x @param {number} y @param {number} radius
   * @param {(point: Point) => boolean} accept @returns {Point | null}
   */
  nearest(x, y, radius, accept = () => true) {
    let [best, least] = [null, radius];
    for (const p of this.inside(x - radius, y - radius, x + radius, y + radius)) {
      const distance = Math.hypot(p.x - x, p.y - y);
      if (distance <= least && accept(p)) [best, least] = [p, distance];
    }
    return best;
  }
}

/** What is known of one image: its size, points, rejected ghosts and mark. */
export class Record {
  /** @param {{name: string, width: number, height: number, points?: Point[], rejected?: Point[],
   *          mark?: string | null}} message */
  constructor({ name, width, height, points = [], rejected = [], mark = null }) {
    this.name = name;
    this.width = width;
    this.height = height;
    this.points = new PointStore(width, height, points);
    this.rejected = new PointStore(width, height, rejected);
    this.mark = mark;
  }

  get state() {
    if (this.points.size) return "labelled";
    return this.mark === "empty" || this.mark === "skipped" ? this.mark : "unlabelled";
  }
}

/**
 * Do to a record what an edit asks; doing it twice is the same as once.
 * @param {Record} record @param {Edit} edit
 */
export function applyEdit(record, edit) {
  const { points, rejected } = record;
  for (const change of edit.points ?? []) {
    const old = points.get(change.id);
    if (edit.op === "add") points.put({ source: "hand", score: null, ...change });
    else if (edit.op === "reject") rejected.put({ ...change });
    else if (edit.op === "delete") points.delete(change.id);
    else if (old) points.put({ ...old, ...change }); // move, label
  }
  if (edit.op === "add") record.mark = null;
  if (edit.op === "mark") record.mark = edit.mark ?? null;
}

/**
 * Do to a record what Python says has happened, but for points that edits still under way touch:
 * their own answer comes later.
 * @param {Record} record @param {Outcome} outcome @param {(id: string) => boolean} isWaiting
 */
export function applyOutcome(record, outcome, isWaiting = () => false) {
  const put = (/** @type {PointStore} */ store, /** @type {Outcome["changes"]} */ changes) => {
    for (const { id, point } of changes ?? []) {
      if (isWaiting(id)) continue;
      if (point) store.put({ id, ...point });
      else store.delete(id);
    }
  };
  put(record.points, outcome.changes);
  put(record.rejected, outcome.rejections);
  if (outcome.mark !== undefined) record.mark = outcome.mark;
}

/**
 * Edits on their way: numbered, in order, kept in memory and in `storage` until answered. What an
 * earlier view left behind is adopted and keeps its session and numbers, so that Python knows it
 * when it comes twice.
 */
export class Outbox {
  /** @param {string} session @param {Storage | null} storage */
  constructor(session, storage) {
    Object.assign(this, { session, storage });
    this.key = ""; // of the journal
    this.count = 0;
    this.safe = true; // false where the browser keeps nothing
    /** @type {Edit[]} */
    this.waiting = [];
    /** @type {Map<string, number>} */
    this.touched = new Map(); // by how many of them each point
  }

  get size() { return this.waiting.length; }

  place(/** @type {string} */ session) { return `pointlib:${this.key}:${session}`; }

  /** Number an edit and keep it. @param {any} edit @returns {Edit} */
  add(edit) {
    const whole = { type: "edit", session: this.session, edit: ++this.count, ...edit };
    this.take(whole, 1);
    this.keep();
    return whole;
  }

  /** Take over the edits that dead views of the same journal left. @returns {Edit[]} */
  adopt() {
    const mine = (/** @type {Edit} */ a) => this.waiting.some((b) => a.session === b.session && a.edit === b.edit);
    const places = attempt(() => Object.keys(this.storage ?? {}), []).filter((place) => place.startsWith(this.place("")));
    const left = places.flatMap((place) => this.read(place));
    const fresh = left.filter((edit) => edit?.session && edit.edit && !mine(edit));
    fresh.forEach((edit) => this.take(edit, 1));
    return fresh;
  }

  /** Forget an edit that was answered; returns it, or undefined. */
  settle(/** @type {string} */ session, /** @type {number} */ number) {
    const edit = this.waiting.find((other) => other.session === session && other.edit === number);
    if (!edit) return undefined;
    this.take(edit, -1);
    if (session === this.session) this.keep();
    else this.keep(session, this.read(this.place(session)).filter((other) => other.edit !== number)); // it may live yet
    return edit;
  }

  /** Whether an edit on its way touches this point. */
  touches(/** @type {string} */ id) { return this.touched.has(id); }

  /** The edits on their way that concern one image. */
  of(/** @type {string} */ image) { return this.waiting.filter((edit) => edit.image === image); }

  /** Put an edit on the list (by 1) or off it (by -1). */
  take(/** @type {Edit} */ edit, /** @type {number} */ by) {
    if (by > 0) this.waiting.push(edit);
    else this.waiting.splice(this.waiting.indexOf(edit), 1);
    for (const { id } of edit.points ?? []) {
      this.touched.set(id, (this.touched.get(id) ?? 0) + by);
      if (!this.touched.get(id)) this.touched.delete(id);
    }
  }

  /** @returns {Edit[]} */
  read(/** @type {string} */ place) {
    const edits = attempt(() => JSON.parse(this.storage.getItem(place)), []);
    return Array.isArray(edits) ? edits : [];
  }

  keep(session = this.session, edits = this.waiting.filter((edit) => edit.session === session)) {
    this.safe = this.storage !== null && attempt(() => {
      if (edits.length) this.storage.setItem(this.place(session), JSON.stringify(edits));
      else this.storage.removeItem(this.place(session));
      return true;
    }, false);
  }
}

/**
 * The ghosts to show: scored at least `score`, not near a point, not near a rejected ghost.
 * @param {Iterable<Point>} ghosts @param {Record} record
 * @param {{score: number, radius: number, sameLabel: boolean}} options  radius in image pixels;
 *   sameLabel: a rejected ghost hides ghosts of its own class only
 */
export function visibleGhosts(ghosts, record, { score, radius, sameLabel }) {
  const kept = [];
  for (const ghost of ghosts) {
    if ((ghost.score ?? 0) < score) continue;
    if (record.points.nearest(ghost.x, ghost.y, radius)) continue;
    const same = (/** @type {Point} */ other) => !sameLabel || other.label === ghost.label;
    if (!record.rejected.nearest(ghost.x, ghost.y, radius, same)) kept.push(ghost);
  }
  return kept;
}

/**
 * Ghosts from the rows x, y, class, score that Python sends.
 * @param {Float32Array} rows @param {string[]} classes @returns {Point[]}
 */
export function readGhosts(rows, classes) {
  return Array.from({ length: Math.floor(rows.length / 4) }, (_, i) => {
    const [x, y, label, score] = rows.subarray(4 * i, 4 * i + 4);
    return { id: `ghost-${i}`, x, y, label: classes[label], score };
  });
}

/**
 * The look-up table of 256 grey values, or null where nothing would change.
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

/** Images per hour of work: gaps of more than a minute do not count. */
export class Rate {
  constructor() {
    this.active = 0; // ms
    this.last = -Infinity;
    /** @type {Set<string>} */
    this.done = new Set();
  }

  /** Something was done at `now`, ms. */
  touch(/** @type {number} */ now) {
    if (now - this.last <= IDLE) this.active += now - this.last;
    this.last = now;
  }

  /** The state of an image changed. */
  change(/** @type {string} */ name, /** @type {string} */ before, /** @type {string} */ after) {
    if (before === "unlabelled" && after !== "unlabelled") this.done.add(name);
    if (after === "unlabelled") this.done.delete(name);
  }

  /** Images per hour, or null in the first 20 s of work. */
  perHour() {
    return this.active < 20_000 ? null : Math.round((this.done.size * 3_600_000) / this.active);
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

/** The next unlabelled image after `index`, going round, or -1. */
export function nextUnlabelled(/** @type {string[]} */ states, /** @type {number} */ index) {
  for (let step = 1; step <= states.length; step++) {
    const other = (index + step) % states.length;
    if (states[other] === "unlabelled") return other;
  }
  return -1;
}

/** "7 weed" and so on, of the classes that occur; "" where there is but one class. */
function countsInWords(/** @type {string[]} */ classes, /** @type {number[]} */ counts) {
  const parts = classes.map((name, i) => (counts[i] ? `${counts[i]} ${name}` : ""));
  return classes.length > 1 ? parts.filter(Boolean).join(", ") : "";
}

const plural = (/** @type {number} */ n, /** @type {string} */ word) => `${n} ${word}${n === 1 ? "" : "s"}`;

/**
 * `a.png (3 of 40), 37 points: 30 seedling, 7 weed, saved`
 * @param {{name: string, index: number, total: number, classes: string[], counts: number[],
 *          state: string, waiting: number, selected?: number}} now
 */
export function statusSentence({ name, index, total, classes, counts, state, waiting, selected = 0 }) {
  const n = counts.reduce((sum, count) => sum + count, 0);
  const words = countsInWords(classes, counts);
  return [
    `${name} (${index + 1} of ${total})`,
    plural(n, "point") + (words && `: ${words}`),
    n ? "" : state,
    selected ? `${selected} selected` : "",
    waiting ? `${plural(waiting, "edit")} waiting` : "saved",
  ].filter(Boolean).join(", ");
}

/** A file's name for a small place: no suffix, and where it is long not what all names begin with. */
export function shortName(/** @type {string} */ name, /** @type {string[]} */ names) {
  const [first, last, stem] = [names[0], names[names.length - 1], name.replace(/\.\w+$/, "")];
  let n = first === last ? 0 : [...first].findIndex((letter, i) => letter !== last[i]);
  n = first.slice(0, Math.max(n, 0)).search(/[\p{L}\p{N}]*$/u); // whole words and numbers
  return n && stem.length > 11 ? `\u2026${stem.slice(n)}` : stem;
}

/** What a thumbnail says when pointed at. */
export function thumbTitle(
  /** @type {string} */ name, /** @type {string} */ state,
  /** @type {string[]} */ classes, /** @type {number[]} */ counts) {
  const n = counts.reduce((sum, count) => sum + count, 0);
  const words = countsInWords(classes, counts);
  return `${name}: ${n ? plural(n, "point") + (words && ` (${words})`) : state}`;
}

/** The key's name as in the key table, lower case: "ctrl+shift+z", "arrowleft", "?". */
export function keyName(/** @type {any} */ event, /** @type {string} */ key = event.key.toLowerCase()) {
  const plain = event.getModifierState?.("AltGraph"); // it comes with Ctrl and Alt, and means neither
  const ctrl = !plain && (event.ctrlKey || event.metaKey) ? "ctrl+" : "";
  const alt = !plain && event.altKey ? "alt+" : "";
  const shift = event.shiftKey && (key.length > 1 || /[\s\p{L}]/u.test(key)) ? "shift+" : ""; // in "?" it is contained
  return ctrl + alt + shift + (key === " " ? "space" : key);
}

/** The digit, or the letter where the alphabet is not Latin, that stands on a key; or "". */
const printed = (/** @type {any} */ event) =>
  /^Digit|^Numpad\d/.test(event.code) || /[^\x00-\x7f]/.test(event.key) ? event.code.slice(-1).toLowerCase() : "";

/** What to do at a key, or undefined. */
export function actionOf(/** @type {any} */ event) {
  return ACTIONS.get(keyName(event)) ?? ACTIONS.get(keyName(event, printed(event)));
}

/** The binary parts of a message: its buffers, or base64 where buffers do not arrive. */
export function payload(/** @type {any} */ content, /** @type {DataView[] | undefined} */ buffers) {
  if (!content.data) return (buffers ?? []).map((b) => new Uint8Array(b.buffer ?? b, b.byteOffset ?? 0, b.byteLength));
  return content.data.map((/** @type {string} */ text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)));
}

/** A map of the `limit` values used last; `drop` is told what is let go. */
export class Recent extends Map {
  /** @param {number} limit @param {(value: any) => void} drop */
  constructor(limit, drop) {
    super();
    Object.assign(this, { limit, drop });
  }

  /** The value, which counts as used now. @param {any} key */
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

/** Trace a shape of about radius r round (x, y) into the path of a canvas. */
export function traceShape(
  /** @type {any} */ ctx, /** @type {string} */ shape,
  /** @type {number} */ x, /** @type {number} */ y, /** @type {number} */ r) {
  if (shape === "circle") {
    ctx.moveTo(x + r, y);
    ctx.arc(x, y, r, 0, 2 * Math.PI);
    return;
  }
  OUTLINES[shape].forEach(([dx, dy], i) => ctx[i ? "lineTo" : "moveTo"](x + dx * r, y + dy * r));
  ctx.closePath();
}

/** Corners on a circle: n of them, the first one at `turn` (in twelfths), of radius `r` and `s`. */
const corners = (/** @type {number} */ n, /** @type {number} */ turn, r = 1.1, s = r) =>
  Array.from({ length: n }, (_, i) => {
    const angle = (2 * Math.PI * i) / n + (turn * Math.PI) / 6;
    return [(i % 2 ? s : r) * Math.cos(angle), (i % 2 ? s : r) * Math.sin(angle)];
  });
const CROSS = [[-1, -3], [1, -3], [1, -1], [3, -1], [3, 1], [1, 1], [1, 3], [-1, 3], [-1, 1], [-3, 1], [-3, -1], [-1, -1]];
/** @type {{[shape: string]: number[][]}} */
const OUTLINES = {
  square: corners(4, 1.5, 1.25),
  triangle: corners(3, -3, 1.3),
  diamond: corners(4, 0, 1.3),
  cross: CROSS.map(([x, y]) => [0.4 * x, 0.4 * y]),
  hexagon: corners(6, 0, 1.15),
  wedge: corners(3, 3, 1.3),
  star: corners(10, -3, 1.4, 0.65),
  bar: [[-1.3, -0.6], [1.3, -0.6], [1.3, 0.6], [-1.3, 0.6]],
};

// ---------------------------------------------------------------------------- page

/** Elements with `data-is` are found by that name, buttons with `data-key` do what the key does. */
const PAGE = `
<div class="pl-bar" role="group" aria-label="Tools">
  <div class="pl-chips" data-is="chips" role="group" aria-label="Class of new points"></div>
  <div class="pl-group">
    <button data-key="ctrl+z" title="Undo (Ctrl+Z)">Undo</button>
    <button data-key="ctrl+y" title="Redo (Ctrl+Shift+Z)">Redo</button>
    <button data-key="delete" title="Delete the selection (Delete)">Delete</button>
  </div>
  <div class="pl-group">
    <button data-key="e" title="Looked, nothing here (e)">Empty</button>
    <button data-key="s" title="Skip, go to the next unlabelled (s)">Skip</button>
  </div>
  <div class="pl-group">
    <button data-key="m" data-is="magnet" aria-pressed="false" title="Magnet: clicks snap to the blob beneath (m)">Magnet</button>
    <label title="How large the things are that magnet and blobs look for: see the ring on the image">Size <input
      type="range" data-is="sigma" min="1" max="60" step="0.5" value="3"
      aria-label="Size of the things, across"><span class="pl-value"></span></label>
    <select data-is="dark" aria-label="Blobs brighter or darker than around" title="Blobs brighter or darker than around"><option
      value="">bright/dark</option><option>bright</option><option>dark</option></select>
  </div>
  <div class="pl-group">
    <label>Ghosts <select data-is="ghosts" aria-label="Ghosts: suggested points (g)"><option>none</option>
      <option>blobs</option><option>model</option></select></label>
    <label>Score <input type="range" data-is="score" min="0" max="1" step="0.01" value="0.3" disabled
      aria-label="Lowest score of a ghost"><span class="pl-value"></span></label>
  </div>
  <div class="pl-group pl-end">
    <button data-is="display" aria-expanded="false" title="Brightness, contrast, channels">Display</button>
    <button data-key="?" title="Help (?)">?</button>
  </div>
</div>
<div class="pl-stage" data-is="stage">
  <canvas class="pl-layer" data-is="image" aria-hidden="true"></canvas>
  <canvas class="pl-layer" data-is="points" aria-hidden="true"></canvas>
  <canvas class="pl-layer pl-top" data-is="top" tabindex="0" role="application" aria-label="Image"
    data-lm-suppress-shortcuts="true"></canvas>
  <div class="pl-centre" data-is="centre" hidden></div>
  <div class="pl-toasts" data-is="toasts" aria-live="polite"></div>
  <div class="pl-panel" data-is="panel" role="group" aria-label="Display" hidden>
    <label>Brightness <input type="range" data-is="brightness" min="-100" max="100" value="0"><span class="pl-value"></span></label>
    <label>Contrast <input type="range" data-is="contrast" min="-100" max="100" value="0"><span class="pl-value"></span></label>
    <label>Gamma <input type="range" data-is="gamma" min="-1" max="1" step="0.02" value="0"><span class="pl-value"></span></label>
    <label>Channel <select data-is="channel"></select></label>
    <label class="pl-deep">Black <input type="number" step="any" data-is="black"></label>
    <label class="pl-deep">White <input type="number" step="any" data-is="white"></label>
    <span class="pl-deep pl-value" data-is="range"></span>
    <button data-is="reset" title="Show the image as it is">Reset</button>
  </div>
  <div class="pl-help" data-is="help" role="dialog" aria-label="Mouse and keys" tabindex="-1" hidden>
    <div class="pl-help-head"><strong>Mouse and keys</strong>
      <button class="pl-close" data-key="?" title="Close the help (Escape)">\u00d7</button></div>
    <div class="pl-help-body" data-is="keys"></div>
  </div>
  <div class="pl-banner" data-is="banner" role="alert" hidden></div>
</div>
<div class="pl-strip-row">
  <button data-key="a" class="pl-turn" title="Previous image (a)">\u2039</button>
  <div class="pl-strip" data-is="strip" role="listbox" tabindex="0" aria-label="Images"
    aria-orientation="horizontal"><div class="pl-rail" data-is="rail"></div></div>
  <button data-key="d" class="pl-turn" title="Next image (d)">\u203a</button>
</div>
<div class="pl-foot">
  <div class="pl-sentence" data-is="status" role="status" aria-live="polite">Connecting \u2026</div>
  <div class="pl-group">
    <button data-key="-" title="Zoom out (-)">\u2212</button><span class="pl-value pl-zoom" data-is="zoom"></span>
    <button data-key="+" title="Zoom in (+)">+</button>
    <button data-key="f" title="Fit the image into the view (f)">Fit</button>
  </div>
  <progress data-is="meter" aria-label="Images done" max="1" value="0"></progress>
  <span class="pl-progress" data-is="progress"></span>
</div>`;

const signed = (value) => (value > 0 ? `+${value}` : `${value}`).replace("-", "\u2212");

/** What a field does, and how a slider's value reads. */
const FIELDS = {
  sigma: { run: (app, sigma) => app.setSigma(sigma), words: (value) => `${Math.round(2 * RING * value)} px` }, // across
  dark: { run: (app, side) => app.setSigma(app.sigma, side && side === "dark") },
  ghosts: { run: (app, from) => app.setGhosts(from) },
  score: { run: (app, score) => app.setScore(score), words: (value) => value.toFixed(2) },
  brightness: { run: (app, brightness) => app.setTone({ brightness }), words: signed },
  contrast: { run: (app, contrast) => app.setTone({ contrast }), words: signed },
  gamma: { run: (app, power) => app.setTone({ gamma: 5 ** power }), words: (power) => (5 ** power).toFixed(2) },
  channel: { run: (app, channel) => app.setSource({ channel, black: null, white: null }) },
  black: { run: (app, black) => app.setSource({ black }) },
  white: { run: (app, white) => app.setSource({ white }) },
};

/** Make an element with these properties. @returns {any} */
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** The elements of one view, by name. @returns {any} */
function buildPage() {
  const root = make("div", { className: "pl-annotator", innerHTML: PAGE });
  root.dataset.lmSuppressShortcuts = "true";
  const page = { root };
  for (const element of root.querySelectorAll("[data-is]")) page[element.dataset.is] = element;
  for (const button of root.querySelectorAll("button")) {
    button.type = "button";
    button.ariaLabel = button.title;
  }
  for (const group of new Set(KEYS.map((row) => row.group))) {
    const rows = KEYS.filter((row) => row.group === group).flatMap(({ show, text }) =>
      [make("dt", {}, make("kbd", {}, show)), make("dd", {}, text)]);
    page.keys.append(make("section", {}, make("h4", {}, group), make("dl", {}, ...rows)));
  }
  for (const name of Object.keys(FIELDS)) describe(page[name]);
  return page;
}

/** Write a slider's value beside it; with `value`, set it first. */
function describe(field, value = field.value) {
  field.value = value;
  const { words } = FIELDS[field.dataset.is];
  if (words) field.ariaValueText = field.nextElementSibling.textContent = words(Number(value));
}

// ---------------------------------------------------------------------------- drawing

/** Colour and shape of class number i. */
export function styleOf(/** @type {number} */ i) {
  return { colour: COLOURS[Math.max(i, 0) % COLOURS.length], shape: SHAPES[Math.max(i, 0) % SHAPES.length] };
}

/** One marker: dark rim, light rim, colour; so it is seen on any ground. */
function drawMarker(ctx, { colour, shape }, x, y, r, look) {
  const [ghost, chosen] = [look === "ghost", look === "selected"];
  ctx.lineJoin = "round";
  ctx.globalAlpha = look === "waiting" ? 0.5 : 1;
  ctx.beginPath();
  traceShape(ctx, shape, x, y, chosen ? r + 1 : r);
  const rims = [["#000C", ghost ? 4 : 4.6, []], ["#FFF", chosen ? 3.6 : 2.6, []], [colour, ghost ? 2.6 : 1.7, ghost ? [4.5, 3] : []]];
  for (const [strokeStyle, lineWidth, dash] of ghost ? [rims[0], rims[2]] : rims) {
    Object.assign(ctx, { strokeStyle, lineWidth });
    ctx.setLineDash(dash);
    ctx.stroke();
  }
  if (ghost) return;
  ctx.fillStyle = colour;
  ctx.globalAlpha = chosen ? 0.9 : look === "waiting" ? 0.1 : 0.3;
  ctx.fill();
  ctx.globalAlpha = 1;
  if (chosen) ctx.fillStyle = "#000";
  if (r >= 7) ctx.fillRect(x - 1, y - 1, 2, 2);
}

/** Room round a marker of radius r in its sprite. */
const margin = (r) => Math.ceil(1.5 * r + 5);

/** A marker drawn once, copied from then on: hundreds of paths a frame would be too slow. */
function spriteOf(app, label, r, look) {
  const i = app.classes.indexOf(label);
  const key = `${i} ${r} ${look} ${app.dpr}`;
  if (!app.sprites.has(key)) {
    const side = 2 * margin(r) * app.dpr;
    const canvas = make("canvas", { width: side, height: side });
    const ctx = canvas.getContext("2d");
    ctx.scale(app.dpr, app.dpr);
    drawMarker(ctx, styleOf(i), margin(r), margin(r), r, look);
    app.sprites.set(key, canvas);
  }
  return app.sprites.use(key);
}

function drawSprite(ctx, app, point, label, r, look) {
  const [at, half] = [toStage(app.view, point.x, point.y), margin(r)];
  ctx.drawImage(spriteOf(app, label, r, look), at.x - half, at.y - half, 2 * half, 2 * half);
}

/** A layer's context in CSS pixels, empty. */
function cleared(app, canvas) {
  const ctx = canvas.getContext("2d");
  ctx.setTransform(app.dpr, 0, 0, app.dpr, 0, 0);
  ctx.clearRect(0, 0, app.size.width, app.size.height);
  return ctx;
}

/** Draw the visible part of the image, through the look-up table where there is one. */
function drawImageLayer(app) {
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

/** Draw the points and ghosts in view. */
function drawPointLayer(app) {
  const ctx = cleared(app, app.page.points);
  if (!app.record || app.hidden) return;
  const shown = app.record.points.inside(...app.reach(20));
  if (shown.length > FINE) drawSquares(ctx, app, shown);
  drawGhosts(ctx, app, app.shownGhosts().inside(...app.reach(20)));
  if (shown.length > FINE) return;
  const r = Math.round(2 * pointRadius(app.view.k)) / 2;
  const waiting = ({ id }) => (app.outbox.touches(id) ? "waiting" : "normal");
  const [chosen, others] = [[], []];
  for (const point of shown) (app.selection.has(point.id) ? chosen : others).push(point);
  for (const point of others) drawSprite(ctx, app, point, point.label, r, waiting(point));
  for (const point of chosen) drawSprite(ctx, app, point, point.label, r, "selected");
}

/** Many points: dark squares, and in each a smaller one of the class colour; white if selected. */
function drawSquares(ctx, app, shown) {
  const { view, dpr, selection, outbox } = app;
  const { width, height } = ctx.canvas;
  if (app.stamps?.width !== width || app.stamps.height !== height) app.stamps = ctx.createImageData(width, height);
  const pixels = new Uint32Array(app.stamps.data.buffer).fill(0);
  const half = Math.round(clamp(Math.min(pointRadius(view.k) / 2, app.spacing() / 5), 1, 4) * dpr);
  const places = shown.map(({ x, y }) =>
    [Math.round(((x + 0.5) * view.k + view.ox) * dpr), Math.round(((y + 0.5) * view.k + view.oy) * dpr)]);
  const inkOf = ({ id, label }) => (selection.has(id) ? 0xffffffff : outbox.touches(id) ? 0xff999999
    : INKS[Math.max(app.classes.indexOf(label), 0) % INKS.length]);
  for (const [x, y] of places) stamp(pixels, width, height, x, y, half + Math.ceil(dpr), 0xc8000000);
  shown.forEach((point, i) => stamp(pixels, width, height, places[i][0], places[i][1], half, inkOf(point)));
  ctx.putImageData(app.stamps, 0, 0);
}

/**
 * Fill the square of side 2 `half` round (x, y), as far as it lies inside, in 32-bit pixels.
 * @param {Uint32Array} pixels @param {number} width @param {number} height
 * @param {number} x @param {number} y @param {number} half @param {number} ink
 */
export function stamp(pixels, width, height, x, y, half, ink) {
  const [left, right] = [Math.max(0, x - half), Math.min(width, x + half)];
  for (let row = Math.max(0, y - half), last = Math.min(height, y + half); row < last; row++) {
    for (let i = row * width + left, end = row * width + right; i < end; i++) pixels[i] = ink;
  }
}

function drawGhosts(ctx, app, shown) {
  const r = Math.round(2 * pointRadius(app.view.k)) / 2 + 1;
  for (const ghost of shown) drawSprite(ctx, app, ghost, app.ghostLabel(ghost), r, "ghost");
  if (app.spacing(app.shownGhosts()) < 50) return; // no room for scores
  Object.assign(ctx, { font: "10px sans-serif", textBaseline: "middle", lineWidth: 3, strokeStyle: "#000B", fillStyle: "#FFF" });
  for (const ghost of shown) {
    const at = toStage(app.view, ghost.x, ghost.y);
    ctx.strokeText(ghost.score.toFixed(2), at.x + r + 5, at.y);
    ctx.fillText(ghost.score.toFixed(2), at.x + r + 5, at.y);
  }
}

/** Draw what follows the pointer: ring, rectangle, crosshair. */
function drawTopLayer(app) {
  const ctx = cleared(app, app.page.top);
  const twice = (trace, dash = []) => {
    ctx.beginPath();
    trace();
    for (const [strokeStyle, lineWidth, line] of [["#000A", 3, []], ["#FFF", 1.2, dash]]) {
      Object.assign(ctx, { strokeStyle, lineWidth });
      ctx.setLineDash(line);
      ctx.stroke();
    }
  };
  const { band, crosshair, view, sigma } = app;
  const ring = app.sizing ? { x: app.size.width / 2, y: app.size.height / 2 } : app.magnet && !app.gesture && app.pointer;
  if (band) twice(() => ctx.rect(band.x, band.y, band.width, band.height), [4, 3]);
  if (ring) twice(() => ctx.arc(ring.x, ring.y, Math.max(1, sigma * RING * view.k), 0, 2 * Math.PI));
  if (!crosshair) return;
  const { x, y } = toStage(view, crosshair.x, crosshair.y);
  twice(() => [[1, 0], [-1, 0], [0, 1], [0, -1]].forEach(([dx, dy]) => {
    ctx.moveTo(x + 4 * dx, y + 4 * dy);
    ctx.lineTo(x + 18 * dx, y + 18 * dy);
  }));
}

// ---------------------------------------------------------------------------- one view

const newSession = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(3)), (n) => n.toString(16).padStart(2, "0")).join("");
const focus = (element) => element?.focus({ preventScroll: true });
const closeAll = (levels) => levels?.forEach((bitmap) => bitmap.close());

/** One display of the widget: what it shows, what the hand does, what Python says. */
class Annotator {
  // the folder
  names = []; states = []; counts = []; classes = ["point"]; readOnly = ""; hasModel = false; done = 0;
  index = -1; heading = 1; // the image that is looked at, and the way through the images
  // pictures; `entry` is what is on the stage: {index, record, levels, error, about}
  entry = null; shownSize = null; cache = new Recent(DECODED, (entry) => closeAll(entry.levels));
  source = { channel: null, black: null, white: null }; tone = { brightness: 0, contrast: 0, gamma: 1 };
  thumbs = new Recent(THUMBS, ({ url }) => URL.revokeObjectURL(url)); cells = new Map(); askedThumbs = new Set();
  plain = new Set(); // images asked for as PNG
  // drawing
  view = { k: 1, ox: 0, oy: 0 }; fitted = true; size = { width: 0, height: 0 }; dpr = 1; dirty = new Set();
  frame = 0; frames = 0; sprites = new Recent(500, () => {}); spare = make("canvas"); stamps = null;
  // the hand; `lifted` are the points being moved
  label = 0; selection = new Set(); pointers = new Map(); gesture = null; lifted = null; band = null;
  pointer = null; crosshair = null; hidden = false; magnet = false; sigma = 3; dark = null; sizing = false; rate = new Rate();
  // ghosts; `ghostStore` are those to show, null: to be found anew
  ghostFrom = "none"; explains = false; ghostScore = 0.3; ghosts = { list: [], image: "", from: "none", radius: 3 }; ghostStore = null;
  // the talk; `since` is what happened to images on their way here
  session = newSession(); outbox = new Outbox(this.session, attempt(() => window.localStorage, null)); ids = 0;
  welcomed = false; base64 = false; heard = performance.now(); ticked = this.heard; pinged = this.heard; silent = false;
  since = new Map(); timers = new Map(); ending = new AbortController();

  constructor(model) {
    this.model = model;
    this.page = buildPage();
    this.listen();
  }

  /** The current image's record, or null until it is here. */
  get record() {
    return this.entry?.index === this.index && this.entry.levels ? this.entry.record : null;
  }

  /** The part of the image in view and `margin` stage pixels more: x0, y0, x1, y1. */
  reach(margin) {
    const from = toImage(this.view, -margin, -margin);
    const to = toImage(this.view, this.size.width + margin, this.size.height + margin);
    return [from.x, from.y, to.x, to.y];
  }

  /** The point, or with another store the ghost, that a click at an image position means. */
  hit({ x, y }, coarse = false, store = this.record.points) {
    return store.nearest(x, y, hitRadius(pointRadius(this.view.k), this.spacing(store), coarse) / this.view.k);
  }

  /** The mean distance between points, stage pixels. */
  spacing({ size } = this.record.points) {
    return Math.sqrt((this.record.width * this.record.height) / Math.max(size, 1)) * this.view.k;
  }

  /** Blobs take the class that is chosen, the model's ghosts have their own. */
  ghostLabel(ghost) {
    return this.ghosts.from === "model" ? ghost.label : this.classes[this.label];
  }

  shownGhosts() {
    const { record, ghosts, ghostScore: score } = this;
    const list = ghosts.image === record.name && ghosts.from === this.ghostFrom ? ghosts.list : [];
    const options = { score, radius: ghosts.radius, sameLabel: ghosts.from === "model" };
    this.ghostStore ??= new PointStore(record.width, record.height, visibleGhosts(list, record, options));
    return this.ghostStore;
  }

  // -------------------------------------------------------------- frames and view

  /** Ask for layers to be drawn in the next frame. */
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
    if (dirty.has("points")) drawPointLayer(this);
    if (dirty.has("top")) drawTopLayer(this);
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
    for (const layer of [this.page.image, this.page.points, this.page.top]) {
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

  /** Pan so far that an image position is in view. */
  reveal({ x, y }) {
    const at = toStage(this.view, x, y);
    const by = (place, room) => clamp(place, Math.min(32, room / 2), Math.max(room - 32, room / 2)) - place;
    const [dx, dy] = [by(at.x, this.size.width), by(at.y, this.size.height)];
    if (dx || dy) this.setView({ ...this.view, ox: this.view.ox + dx, oy: this.view.oy + dy });
  }

  toggleHidden() {
    this.hidden = !this.hidden;
    this.say(this.hidden ? "Points are hidden (h)." : "Points are shown.");
    this.request("points");
  }

  // -------------------------------------------------------------- edits

  /** Whether an edit can be made now; undo and redo need no image on the stage. */
  canEdit(needsImage = true) {
    if (this.readOnly) this.say(this.readOnly, "warning");
    return this.welcomed && !this.readOnly && (this.record !== null || !needsImage);
  }

  /** Do an edit at once and send it; undo and redo are Python's to do. */
  edit(part) {
    const across = part.op === "undo" || part.op === "redo";
    if (!this.canEdit(!across)) return;
    this.drop();
    const edit = this.outbox.add(across ? part : { image: this.record.name, ...part });
    if (!across) applyEdit(this.record, edit);
    this.send(edit);
    this.rate.touch(performance.now());
    this.changed();
  }

  newId() { return `${this.session}-${++this.ids}`; }

  /** What one click does, by pointer or at the crosshair. */
  click(at, { add = false, toggle = false, coarse = false } = {}) {
    if (!this.record) return;
    if (this.hidden) this.toggleHidden();
    const point = add ? null : this.hit(at, coarse);
    const ghost = add || point || toggle ? null : this.hit(at, coarse, this.shownGhosts());
    if (point && toggle && !this.selection.delete(point.id)) this.selection.add(point.id);
    if (point) this.select(toggle ? this.selection : [point.id]);
    else if (ghost) this.accept([ghost]);
    else if (!toggle) this.add(at);
  }

  add({ x, y }) {
    const { width, height } = this.record;
    if (x < -0.5 || y < -0.5 || x > width - 0.5 || y > height - 0.5) return;
    this.selection.clear();
    const points = [{ id: this.newId(), x, y, label: this.classes[this.label], source: "hand", score: null }];
    this.edit({ op: "add", points, ...(this.magnet ? { magnet: true, sigma: this.sigma, dark: this.dark } : {}) });
  }

  /** A point in place of a ghost. */
  fromGhost(ghost) {
    const { width, height } = this.record;
    const [x, y] = [clamp(ghost.x, -0.5, width - 0.5), clamp(ghost.y, -0.5, height - 0.5)];
    return { id: this.newId(), x, y, label: this.ghostLabel(ghost), source: "ghost", score: ghost.score };
  }

  accept(ghosts) {
    if (ghosts.length) this.edit({ op: "add", points: ghosts.map((ghost) => this.fromGhost(ghost)) });
  }

  acceptInView() {
    if (!this.record) return;
    const ghosts = this.shownGhosts().inside(...this.reach(0));
    this.say(ghosts.length ? `Accepted ${plural(ghosts.length, "ghost")}.` : "No ghosts in view (g shows some).");
    this.accept(ghosts);
  }

  rejectGhost() {
    const at = this.crosshair ?? (this.pointer && toImage(this.view, this.pointer.x, this.pointer.y));
    const ghost = this.record && at && this.hit(at, true, this.shownGhosts());
    if (!ghost) return this.say("No ghost there to reject.");
    this.edit({ op: "reject", points: [this.fromGhost(ghost)] });
  }

  /** Do something to each selected point. */
  editSelection(op, change = {}) {
    if (!this.selection.size) return this.say("Nothing is selected.");
    this.drop();
    this.edit({ op, points: [...this.selection].map((id) => ({ id, ...change })) });
  }

  mark(mark) {
    const n = this.record?.points.size ?? 0;
    if (n) return this.say(`${plural(n, "point")} here: delete them first (Ctrl+A, Delete).`, "warning");
    if (!this.canEdit()) return;
    if (this.record.mark !== mark) this.edit({ op: "mark", mark });
    if (mark === "skipped") this.gotoUnlabelled();
  }

  // -------------------------------------------------------------- selecting and moving

  select(ids) {
    this.selection = new Set(ids);
    this.showStatus();
    this.request("points");
  }

  /** Select the point before or after the selected one, in the order they were made. */
  stepPoint(step) {
    const ids = [...(this.record?.points.keys() ?? [])];
    if (!ids.length) return;
    const at = this.selection.size ? ids.indexOf([...this.selection][0]) : Math.min(-step, 0);
    const point = this.record.points.get(ids[(at + step + ids.length) % ids.length]);
    this.select([point.id]);
    this.reveal(point);
    this.say(`${point.label} at ${point.x.toFixed(1)}, ${point.y.toFixed(1)}`);
  }

  /** Take the selection up; `carry` shows it elsewhere, `drop` sends where it ended. */
  lift() {
    const { record } = this;
    const points = [...this.selection].map((id) => record.points.get(id));
    const room = (axis, length) => points.reduce(([low, high], point) =>
      [Math.max(low, -0.5 - point[axis]), Math.min(high, length - 0.5 - point[axis])], [-Infinity, Infinity]);
    this.lifted = { points, record, dx: 0, dy: 0, x: room("x", record.width), y: room("y", record.height) };
  }

  carry(dx, dy) {
    const { lifted } = this;
    Object.assign(lifted, { dx: clamp(dx, ...lifted.x), dy: clamp(dy, ...lifted.y) });
    for (const p of lifted.points) {
      const { points } = lifted.record;
      if (points.has(p.id)) points.put({ ...p, x: p.x + lifted.dx, y: p.y + lifted.dy });
    }
    this.ghostStore = null;
    this.request("points");
  }

  drop(keep = true) {
    const { lifted } = this;
    this.lifted = null;
    if (!lifted?.dx && !lifted?.dy) return;
    const points = lifted.points.filter((p) => lifted.record.points.has(p.id));
    if (!keep) points.forEach((p) => lifted.record.points.put(p));
    else if (points.length) {
      this.edit({ op: "move", points: points.map(({ id, x, y }) => ({ id, x: x + lifted.dx, y: y + lifted.dy })) });
    }
    this.request("points");
  }

  /** Arrow keys move the selection, which is sent when the key is released, or the crosshair. */
  arrow(event) {
    if (!this.record) return;
    const step = event.ctrlKey || event.metaKey ? 100 : event.shiftKey ? 10 : 1;
    const [dx, dy] = { Left: [-step, 0], Right: [step, 0], Up: [0, -step], Down: [0, step] }[event.key.slice(5)];
    if (!this.selection.size) this.moveCrosshair(dx, dy);
    else if (this.canEdit()) {
      if (!this.lifted) this.lift();
      this.carry(this.lifted.dx + dx, this.lifted.dy + dy);
      const { x, y } = this.record.points.get(this.lifted.points[0].id);
      if (this.crosshair) this.crosshair = { x, y };
      this.reveal({ x, y });
    }
    this.request("top");
  }

  moveCrosshair(dx, dy) {
    const { width, height } = this.record;
    const middle = toImage(this.view, this.size.width / 2, this.size.height / 2);
    const { x, y } = this.crosshair ?? { x: Math.round(middle.x), y: Math.round(middle.y) };
    this.crosshair = { x: clamp(x + dx, 0, width - 1), y: clamp(y + dy, 0, height - 1) };
    this.reveal(this.crosshair);
  }

  clickCrosshair(event) {
    if (!this.crosshair) return this.say("Arrow keys bring up a crosshair; Space clicks there.");
    this.click(this.crosshair, { add: event.ctrlKey || event.metaKey, toggle: event.shiftKey });
  }

  escape() {
    const { help, panel, top, root } = this.page;
    if (!help.hidden) return this.toggleHelp();
    if (!top.matches(":focus")) return focus(top);
    if (!panel.hidden) return this.togglePanel();
    if (this.gesture || this.selection.size || this.crosshair) return this.letGo();
    top.blur();
    focus(root.parentElement?.closest("[tabindex]"));
  }

  letGo(keep = false) {
    this.drop(keep);
    Object.assign(this, { gesture: null, band: null, crosshair: null });
    this.select([]);
    this.request("top");
  }

  // -------------------------------------------------------------- classes, magnet, ghosts, display

  chooseClass(i) {
    if (i < 0 || i >= this.classes.length) return;
    this.label = i;
    this.showChips();
    this.request("points");
  }

  toggleMagnet() {
    this.magnet = !this.magnet;
    this.page.magnet.ariaPressed = String(this.magnet);
    this.say(this.magnet ? "Magnet on: a click snaps to the blob that fills the ring (Size)." : "Magnet off.");
    this.request("top");
  }

  /** What blobs are like: how large; darker than around, brighter (false) or either (null). */
  setSigma(sigma, dark = this.dark) {
    Object.assign(this, { sigma, dark, sizing: true });
    this.request("top");
    this.later("sizing", 1200, () => {
      this.sizing = false;
      this.request("top");
    });
    if (this.ghostFrom === "blobs") this.later("ghosts", 250, () => this.askGhosts());
  }

  stepGhosts() {
    const ways = ["none", "blobs", ...(this.hasModel ? ["model"] : [])];
    this.setGhosts(ways[(ways.indexOf(this.ghostFrom) + 1) % ways.length]);
  }

  setGhosts(from) {
    this.ghostFrom = this.page.ghosts.value = from;
    this.page.score.disabled = from === "none";
    this.say(from === "none" ? "No ghosts." : `Looking for ghosts: ${from} \u2026`);
    this.explains = true;
    this.askGhosts();
    this.setScore(this.ghostScore);
  }

  setScore(score) {
    Object.assign(this, { ghostScore: score, ghostStore: null });
    this.request("points");
  }

  askGhosts() {
    if (this.ghostFrom === "none" || !this.record) return;
    this.send({ type: "ghosts", image: this.record.name, from: this.ghostFrom, sigma: this.sigma, dark: this.dark });
  }

  setTone(change) {
    Object.assign(this.tone, change);
    this.page.display.classList.toggle("pl-on", makeLut(this.tone) !== null);
    this.request("image");
  }

  /** Channel, black or white: Python makes the picture anew. */
  setSource(change) {
    Object.assign(this.source, change);
    this.later("source", 150, () => this.ask(this.index));
  }

  resetTone() {
    for (const name of ["brightness", "contrast", "gamma"]) describe(this.page[name], 0);
    this.setTone({ brightness: 0, contrast: 0, gamma: 1 });
    if (Object.values(this.source).some((value) => value !== null)) FIELDS.channel.run(this, null);
  }

  togglePanel() {
    const { panel, display, top, brightness } = this.page;
    panel.hidden = !panel.hidden;
    display.ariaExpanded = String(!panel.hidden);
    focus(panel.hidden ? top : brightness);
  }

  toggleHelp() {
    const { help, top } = this.page;
    help.hidden = !help.hidden;
    focus(help.hidden ? top : help);
  }

  // -------------------------------------------------------------- images

  goto(index) {
    if (!this.welcomed || index === this.index) return;
    if (index < 0 || index >= this.names.length) return this.say(`This is the ${index < 0 ? "first" : "last"} image.`);
    this.letGo(true);
    this.heading = index < this.index ? -1 : 1;
    this.index = index;
    this.rate.touch(performance.now());
    const known = this.cache.use(this.place(index));
    if (known) this.show(known);
    else this.showText(`Opening ${this.names[index]} \u2026`);
    this.showStatus();
    this.ask(index);
    this.revealThumb();
  }

  gotoUnlabelled() {
    const next = nextUnlabelled(this.states, this.index);
    if (next < 0 || next === this.index) this.say("No other image is unlabelled.");
    else this.goto(next);
  }

  /** What a decoded picture is kept under. */
  place(index) {
    return `${index} ${JSON.stringify(this.source)}`;
  }

  /** Ask for an image. What happens to it on its way is noted, and done to it again on arrival. */
  ask(index, { prefetch = false, plain = false } = {}) {
    const noted = this.since.get(this.names[index]) ?? { asked: 0, outcomes: [] };
    noted.asked += 1;
    this.since.set(this.names[index], noted);
    const have = this.cache.get(this.place(index))?.about.stamp || null;
    this.send({ type: "image", index, ...this.source, prefetch, plain, have });
  }

  async onImage(news, parts) {
    const { index, width, height, error, prefetch } = news;
    const key = this.place(index);
    const cached = this.cache.use(key);
    const content = { ...cached?.about, ...news }; // without a picture where we have it
    const fits = !parts.length && cached?.record.width === width && cached.record.height === height;
    const levels = error ? null : fits ? cached.levels : await this.decode(content, parts[0]);
    if (this.ending.signal.aborted) return closeAll(levels);
    const record = this.newRecord(content);
    if (!levels && !content.error) return; // asked for again as PNG
    const entry = Object.assign(fits ? cached : {}, { index, record, levels, error: content.error, about: content });
    if (levels) this.cache.set(key, entry);
    this.noteState(index, record.state, content.counts);
    if (index === this.index) this.arrive(entry, prefetch);
  }

  /** The record of a message, brought up to date. */
  newRecord(content) {
    const record = new Record(content);
    const noted = this.since.get(record.name) ?? { asked: 1, outcomes: [] };
    noted.outcomes.forEach((outcome) => applyOutcome(record, outcome));
    noted.asked -= 1;
    if (!noted.asked) this.since.delete(record.name);
    this.outbox.of(record.name).forEach((edit) => applyEdit(record, edit));
    return record;
  }

  /** Decode a picture, with halved copies for the view from afar; null: it comes again as PNG. */
  async decode(content, bytes) {
    const { index, mime, width, height, prefetch } = content;
    try {
      const levels = [await createImageBitmap(new Blob([bytes], { type: mime }))];
      if (levels[0].width !== width || levels[0].height !== height) throw new Error("it has another size");
      for (let n = 2; (2 * Math.max(width, height)) / n > REDUCE; n *= 2) {
        const [resizeWidth, resizeHeight] = [Math.ceil(width / n), Math.ceil(height / n)];
        levels.push(await createImageBitmap(levels.at(-1), { resizeWidth, resizeHeight, resizeQuality: "medium" }));
      }
      return levels;
    } catch (problem) {
      if (!bytes) return this.ask(index, { prefetch }) ?? null; // what we had is gone
      if (this.plain.has(index)) content.error = `This browser cannot show ${content.name}: ${problem}`;
      else this.ask(index, { plain: true, prefetch });
      this.plain.add(index);
      return null;
    }
  }

  /** An image is here: show it, ask for its ghosts, look ahead. */
  arrive(entry, prefetch) {
    this.show(entry);
    if (this.ghosts.image !== entry.record.name || this.ghosts.from !== this.ghostFrom) this.askGhosts();
    const ahead = this.index + this.heading;
    if (!prefetch && this.names[ahead] && !this.cache.has(this.place(ahead))) this.ask(ahead, { prefetch: true });
  }

  show(entry) {
    const [before, name] = [this.shownSize, this.names[this.index]];
    this.entry = entry;
    this.showText(entry.error);
    this.page.top.ariaLabel = `Image ${name}. Arrow keys move a crosshair, Space adds a point, question mark shows all keys.`;
    if (!entry.error) {
      this.shownSize = entry.record;
      this.showSource(entry.about);
      if (this.fitted || !before) this.fit();
      else if (before.name !== name) this.setView(carryView(this.view, before, entry.record, this.size));
    }
    this.changed();
  }

  /** Say something in place of the image. */
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

  // -------------------------------------------------------------- what changed

  /** The points of the current image changed: bring the page up to date. */
  changed() {
    const { record } = this;
    this.ghostStore = null;
    if (record) {
      for (const id of this.selection) if (!record.points.has(id)) this.selection.delete(id);
      this.noteState(this.index, record.state, record.points.counts);
    }
    this.showChips();
    this.showStatus();
    this.request("points");
  }

  /** Note the state and the counts {class: n} of an image. */
  noteState(index, state, counts) {
    const before = this.states[index];
    this.classes.push(...Object.keys(counts).filter((name) => counts[name] && !this.classes.includes(name)));
    this.counts[index] = this.classes.map((name) => counts[name] ?? 0);
    this.states[index] = state;
    this.done += Number(state !== "unlabelled") - Number(before !== "unlabelled");
    this.rate.change(this.names[index], before, state);
    this.paintThumb(index);
  }

  showStatus() {
    if (this.index < 0) return;
    const { page, index, names, classes, outbox, selection, done } = this;
    const sentence = statusSentence({ name: names[index], index, total: names.length, classes,
      counts: this.counts[index], state: this.states[index], waiting: outbox.size, selected: selection.size });
    const [end, last] = [names[index].length, sentence.lastIndexOf(", ")];
    const parts = [sentence.slice(0, end), sentence.slice(end, last), sentence.slice(last)];
    if (page.status.textContent !== sentence) page.status.replaceChildren(...parts.map((text) => make("span", {}, text)));
    page.status.title = sentence;
    page.status.classList.toggle("pl-waiting", outbox.size > 0);
    page.meter.value = done / names.length;
    const hourly = this.rate.perHour();
    page.progress.textContent = `${done} of ${names.length} done${hourly === null ? "" : ` \u00b7 ${hourly} images/h`}`;
  }

  showChips() {
    const { chips } = this.page;
    while (chips.children.length > this.classes.length) chips.lastChild.remove();
    this.classes.forEach((name, i) => {
      const chip = chips.children[i] ?? chips.appendChild(this.newChip(i));
      const n = this.counts[this.index]?.[i] ?? 0;
      const title = `${name}: ${plural(n, "point")}${i < 9 ? ` (key ${i + 1})` : ""}`;
      chip.ariaPressed = String(i === this.label);
      if (chip.title === title) return;
      chip.title = chip.ariaLabel = title;
      chip.children[1].textContent = name;
      chip.children[2].textContent = n;
    });
  }

  newChip(i) {
    const icon = make("canvas", { width: 44, height: 44 });
    const ctx = icon.getContext("2d");
    ctx.scale(2, 2);
    drawMarker(ctx, styleOf(i), 11, 11, 6, "normal");
    const parts = [icon, make("span"), make("span", { className: "pl-count" }), ...(i < 9 ? [make("kbd", {}, i + 1)] : [])];
    return make("button", { type: "button", className: "pl-chip", onclick: () => this.chooseClass(i) }, ...parts);
  }

  /** Say something on the stage; what is more than information stays until it is closed. */
  say(text, level = "info") {
    const { toasts } = this.page;
    const stale = (old) => (level === "info" && old.matches(".pl-info")) || old.firstChild.textContent === text;
    [...toasts.children].filter(stale).forEach((old) => old.remove());
    const toast = make("div", { className: `pl-toast pl-${level}` }, make("span", {}, text));
    if (level === "info") this.later("say", 5000, () => toasts.querySelector(".pl-info")?.remove());
    else toast.append(make("button", { className: "pl-close", title: "Close", ariaLabel: "Close", onclick: () => toast.remove() }, "\u00d7"));
    toasts.append(toast);
    if (toasts.children.length > 3) toasts.firstChild.remove();
  }

  // -------------------------------------------------------------- thumbnails

  /** Only the thumbnails in view are in the page. */
  fillStrip() {
    const { strip, rail } = this.page;
    if (!strip.clientWidth) return; // not displayed, as for a moment when the theme changes
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
    const cell = make("div", { className: "pl-thumb", role: "option", id: `pl-${this.session}-${i}`, onclick: () => this.goto(i) },
      make("img", { alt: "", draggable: false }), make("span", { className: "pl-sign", ariaHidden: "true" }),
      make("span", { className: "pl-name" }, shortName(this.names[i], this.names)));
    Object.assign(cell, { ariaPosInSet: `${i + 1}`, ariaSetSize: `${this.names.length}` });
    cell.style.left = `${i * CELL}px`;
    this.cells.set(i, cell);
    this.page.rail.append(cell);
    this.paintThumb(i);
  }

  paintThumb(i) {
    const cell = this.cells.get(i);
    if (!cell) return;
    const [image, sign] = cell.children;
    const { url, error } = this.thumbs.use(i) ?? {};
    const title = thumbTitle(this.names[i], this.states[i], this.classes, this.counts[i]);
    cell.dataset.state = this.states[i];
    Object.assign(cell, { ariaLabel: title, title: error || title, ariaSelected: String(i === this.index) });
    sign.textContent = SIGNS[this.states[i]];
    image.hidden = !url;
    if (url && image.src !== url) image.src = url;
  }

  askThumbs() {
    const missing = (i) => !this.thumbs.has(i) && !this.askedThumbs.has(i);
    const indices = [...this.cells.keys()].filter(missing).sort((a, b) => a - b);
    indices.forEach((i) => this.askedThumbs.add(i));
    if (indices.length) this.send({ type: "thumbs", indices });
  }

  onThumb({ index, mime, error }, parts) {
    this.askedThumbs.delete(index);
    this.thumbs.set(index, { url: error ? "" : URL.createObjectURL(new Blob(parts, { type: mime })), error });
    this.paintThumb(index);
  }

  /** Scroll the strip so that the current image is seen. */
  revealThumb() {
    const { strip, rail } = this.page;
    const left = this.index * CELL;
    rail.style.width = `${this.names.length * CELL}px`;
    const seen = left >= strip.scrollLeft && left + CELL <= strip.scrollLeft + strip.clientWidth;
    if (!seen) strip.scrollLeft = left - (strip.clientWidth - CELL) / 2;
    this.fillStrip();
    for (const i of this.cells.keys()) this.paintThumb(i);
    strip.setAttribute("aria-activedescendant", `pl-${this.session}-${this.index}`);
  }

  // -------------------------------------------------------------- input

  listen() {
    const { top, root, stage, strip, display, reset } = this.page;
    const on = (target, type, run) => target.addEventListener(type, run, { signal: this.ending.signal, passive: false });
    on(top, "pointerdown", (event) => this.down(event));
    on(top, "pointermove", (event) => this.move(event));
    on(top, "pointerup", (event) => this.up(event));
    on(top, "pointercancel", (event) => this.cancel(event));
    on(top, "pointerleave", () => this.hover(null));
    on(top, "wheel", (event) => this.wheel(event));
    on(top, "mousedown", (event) => event.button === 1 && event.preventDefault());
    on(top, "auxclick", (event) => event.preventDefault());
    on(top, "contextmenu", (event) => event.ctrlKey && event.preventDefault());
    on(top, "blur", () => this.drop());
    on(root, "keydown", (event) => this.key(event));
    on(root, "keyup", (event) => event.key.startsWith("Arrow") && !this.gesture && this.drop());
    on(root, "click", (event) => this.pressButton(event));
    on(root, "input", ({ target }) => target.type === "range" && this.enter(target));
    on(root, "change", ({ target }) => target.type !== "range" && this.enter(target));
    on(display, "click", () => this.togglePanel());
    on(reset, "click", () => this.resetTone());
    on(strip, "keydown", (event) => this.stripKey(event));
    on(strip, "scroll", () => this.request("strip"));
    on(window, "pagehide", () => this.drop());
    this.clock = setInterval(() => this.tick(), TICK);
    this.watcher = new ResizeObserver(() => {
      this.resize();
      this.request("strip");
    });
    [stage, strip].forEach((element) => this.watcher.observe(element));
  }

  at({ clientX, clientY }) {
    const box = this.page.top.getBoundingClientRect();
    return { x: clientX - box.left, y: clientY - box.top };
  }

  down(event) {
    focus(this.page.top);
    if (!this.record) return;
    this.drop();
    const [start, touch] = [this.at(event), event.pointerType === "touch"];
    this.page.top.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, start);
    if (touch && this.pointers.size === 2) {
      this.drop(false);
      Object.assign(this, { band: null, gesture: { kind: "pinch", view: this.view, from: [...this.pointers.values()], moved: false } });
    }
    if (this.gesture) return;
    const spot = toImage(this.view, start.x, start.y);
    const point = this.hidden ? null : this.hit(spot, touch);
    this.gesture = { kind: this.kindOf(event, point, touch), id: event.pointerId, start, now: start, spot, point,
      touch, view: this.view, moved: false, toggle: event.shiftKey, add: event.ctrlKey || event.metaKey };
  }

  /** What a press becomes when it moves: pan, band (a rectangle), move (of points) or none. */
  kindOf({ button, altKey, shiftKey, ctrlKey, metaKey }, point, touch) {
    if (button === 1 || (button === 0 && altKey)) return "pan";
    if (button !== 0) return "none";
    if (shiftKey) return "band";
    if (ctrlKey || metaKey) return "press";
    const grabbed = point && (!touch || this.selection.has(point.id)) && !this.readOnly;
    return grabbed ? "move" : "ground"; // ground: a click, or else a pan
  }

  move(event) {
    const [now, { gesture }] = [this.at(event), this];
    if (!gesture) return this.hover(event.pointerType === "touch" ? null : now);
    if (this.pointers.has(event.pointerId)) this.pointers.set(event.pointerId, now);
    if (gesture.kind !== "pinch" && gesture.id !== event.pointerId) return;
    const { start = now } = gesture;
    gesture.now = now;
    const far = gesture.kind === "pinch" || Math.hypot(now.x - start.x, now.y - start.y) >= (gesture.touch ? 2 * DRAG : DRAG);
    if (far && !gesture.moved) {
      gesture.moved = true;
      if (gesture.kind === "move" && !this.selection.has(gesture.point.id)) this.select([gesture.point.id]);
      if (gesture.kind === "move") this.lift();
    }
    if (gesture.moved) this.request("top");
  }

  hover(at) {
    this.pointer = at;
    if (this.magnet) this.request("top");
  }

  /** Once a frame: bring the picture to where the pointer is. */
  follow() {
    const { kind, view, start, now, from } = this.gesture;
    if (kind === "pinch") return this.pinch(view, from, [...this.pointers.values()]);
    const [dx, dy] = [now.x - start.x, now.y - start.y];
    if (kind === "pan" || kind === "ground") this.setView({ ...view, ox: view.ox + dx, oy: view.oy + dy });
    if (kind === "move" && this.lifted) this.carry(dx / view.k, dy / view.k);
    if (kind === "band") this.band = { x: Math.min(start.x, now.x), y: Math.min(start.y, now.y), width: Math.abs(dx), height: Math.abs(dy) };
  }

  /** Zoom and pan as two fingers went from a and b to p and q. */
  pinch(view, [a, b], [p, q]) {
    if (!q) return;
    const factor = Math.hypot(q.x - p.x, q.y - p.y) / Math.max(Math.hypot(b.x - a.x, b.y - a.y), 1);
    const { k, ox, oy } = zoomAt(view, factor, (a.x + b.x) / 2, (a.y + b.y) / 2);
    this.setView({ k, ox: ox + (p.x + q.x - a.x - b.x) / 2, oy: oy + (p.y + q.y - a.y - b.y) / 2 });
  }

  up(event) {
    const { gesture } = this;
    if (gesture?.moved) this.follow();
    this.pointers.delete(event.pointerId);
    if (gesture?.kind === "pinch" ? this.pointers.size : gesture?.id !== event.pointerId) return;
    this.gesture = null;
    this.request("top");
    if (!this.record || gesture.kind === "pinch") return;
    const { kind, moved, spot, add, toggle, touch } = gesture;
    if (moved && kind === "move") this.drop();
    else if (moved && kind === "band") this.selectBand();
    else if (kind === "press" || (!moved && kind !== "pan" && kind !== "none")) {
      this.click(spot, { add: add && !toggle, toggle, coarse: touch });
    }
  }

  selectBand() {
    const { x, y, width, height } = this.band;
    const [from, to] = [toImage(this.view, x, y), toImage(this.view, x + width, y + height)];
    const found = this.record.points.inside(from.x, from.y, to.x, to.y);
    this.band = null;
    this.select([...this.selection, ...found.map(({ id }) => id)]);
  }

  cancel(event) {
    this.pointers.delete(event.pointerId);
    this.drop(false);
    Object.assign(this, { gesture: null, band: null });
    this.request("top");
  }

  wheel(event) {
    event.preventDefault();
    if (this.gesture?.moved) return;
    const unit = [1, 16, 400][event.deltaMode];
    const speed = event.ctrlKey ? 0.01 : 0.0015; // a pinch on a touchpad comes as Ctrl+wheel
    this.zoom(Math.exp(-clamp(event.deltaY * unit, -400, 400) * speed), this.at(event));
  }

  /** A slider keeps the keys that move it, another field most, a button Enter and Space. */
  key(event) {
    const name = keyName(event);
    const field = event.target.matches("[type=range]") ? /arrow|home|end|page/.test(name)
      : event.target.matches("input, select") && !/^(escape|ctrl\+(shift\+)?[szy])$/.test(name);
    const native = event.target.matches("button") && /^(enter|space)$/.test(name);
    const run = field || native || event.isComposing ? undefined : actionOf(event);
    if (!run) return;
    event.preventDefault();
    event.stopPropagation();
    run(this, event);
  }

  stripKey(event) {
    const last = this.names.length - 1;
    const to = { ArrowLeft: this.index - 1, ArrowRight: this.index + 1, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    this.goto(clamp(to, 0, last));
  }

  /** Do what a button's key does; after a click by mouse the keys belong to the image again. */
  pressButton({ target, detail }) {
    const { help, panel, top } = this.page;
    const key = target.closest("[data-key]")?.dataset.key;
    if (key) ACTIONS.get(key)(this, { key });
    if (detail && help.hidden && panel.hidden && target.closest("button, .pl-thumb")) focus(top);
  }

  /** A field has a new value; an empty one means automatic. */
  enter(field) {
    const { value } = field;
    describe(field);
    FIELDS[field.dataset.is].run(this, value === "" ? null : Number.isNaN(Number(value)) ? value : Number(value));
  }

  // -------------------------------------------------------------- talk with Python

  send(message) {
    const sent = attempt(() => [this.model.send({ session: this.session, ...message })], null);
    if (!sent) this.heard = -Infinity; // the connection is gone; the banner says so
  }

  /** Run once after `ms`, unless asked again before. */
  later(name, ms, run) {
    clearTimeout(this.timers.get(name));
    this.timers.set(name, setTimeout(run, ms));
  }

  /** Four times a second: say hello or ping once a second, notice silence. */
  tick() {
    const now = performance.now();
    if (now - this.ticked > 2000) this.heard = Math.max(this.heard, now - 500); // the browser slept
    this.ticked = now;
    if (now - this.pinged > PING) {
      this.pinged = now;
      this.send(this.welcomed ? { type: "ping", t: now } : { type: "hello", base64: this.base64 });
    }
    if ((window.devicePixelRatio || 1) !== this.dpr) this.resize();
    this.silent = now - this.heard > SILENCE;
    this.showBanner(now - this.heard);
  }

  showBanner(quiet) {
    const { banner } = this.page;
    const n = this.outbox.size;
    const time = quiet < Infinity ? ` for ${Math.floor(quiet / 1000)} s` : "";
    const kept = this.outbox.safe ? "kept in this browser" : "not kept: leave the page open";
    const left = n ? ` ${plural(n, "edit")} waiting (${kept}).` : "";
    const text = !this.silent ? this.readOnly
      : !this.welcomed ? "Not connected to a kernel: run this cell again."
      : `No answer from the kernel${time}: busy, or stopped.${left} If it was restarted, run this cell again.`;
    if (banner.textContent !== text) banner.textContent = text;
    banner.hidden = !text;
    banner.classList.toggle("pl-dead", this.silent);
  }

  hear(content, buffers) {
    const { type, session } = content;
    const back = this.silent;
    Object.assign(this, { heard: performance.now(), silent: false });
    const answers = { welcome: this.onWelcome, ack: this.onAck, changed: this.onOutcome, refused: this.onRefused,
      image: this.onImage, thumb: this.onThumb, ghosts: this.onGhosts,
      goto: ({ index }) => this.goto(index), notice: ({ level, text }) => this.say(text, level) };
    const forUs = !session || session === this.session || ["ack", "changed", "refused"].includes(type);
    if (forUs) answers[type]?.call(this, content, payload(content, buffers));
    if (back) this.resend();
  }

  /** After a silence: send again what has no answer; Python knows what it has seen. */
  resend() {
    this.showBanner(0);
    if (!this.welcomed) return;
    this.outbox.waiting.forEach((edit) => this.send(edit));
    this.askedThumbs.clear();
    this.askThumbs();
    if (!this.record) this.ask(this.index);
  }

  onWelcome(content, parts) {
    if (!this.base64 && String(parts[0] ?? "") !== "1,2,3") {
      this.base64 = true; // buffers do not arrive here
      return this.send({ type: "hello", base64: true });
    }
    const { names, states, counts, classes, read_only: readOnly, has_model: hasModel, sigma, dark, key, index } = content;
    const first = !this.welcomed;
    Object.assign(this, { names, states, counts, classes, readOnly, hasModel, welcomed: true });
    this.done = states.filter((state) => state !== "unlabelled").length;
    Object.assign(this.page.ghosts.options[2], { hidden: !hasModel, disabled: !hasModel });
    this.page.root.classList.toggle("pl-read-only", Boolean(readOnly));
    this.showBanner(0);
    if (!first) return this.changed();
    Object.assign(this, { sigma, dark });
    describe(this.page.sigma, sigma);
    this.page.dark.selectedIndex = [null, false, true].indexOf(dark ?? null);
    this.takeOver(key);
    this.goto(index);
  }

  /** Send what an earlier view could not; while the folder is read-only it waits on. */
  takeOver(key) {
    this.outbox.key = key;
    const left = this.readOnly ? [] : this.outbox.adopt();
    left.forEach((edit) => this.send(edit));
    if (left.length) this.say(`${plural(left.length, "edit")} had been waiting in this browser: sent now.`);
  }

  onAck(content) {
    const edit = this.outbox.settle(content.session, content.edit);
    this.onOutcome(content);
    if (edit?.session !== this.session) return;
    if (content.duplicate) this.ask(this.index); // sent twice: what the magnet made of it is not here
    if (content.note) this.say(content.note);
    if (edit.op === "undo" || edit.op === "redo") this.goto(this.names.indexOf(content.image));
  }

  /** Something happened to an image, here or elsewhere. */
  onOutcome(content) {
    const { image, state, counts, total } = content;
    this.since.get(image)?.outcomes.push(content);
    const records = new Set([...this.cache.values(), this.entry].map((entry) => entry?.record));
    for (const record of records) {
      if (record?.name === image) applyOutcome(record, content, (id) => this.outbox.touches(id));
    }
    if (image === this.record?.name) {
      this.changed();
      if (!this.outbox.size && total !== this.record.points.size) this.ask(this.index);
    } else {
      if (this.names.includes(image)) this.noteState(this.names.indexOf(image), state, counts);
      this.showStatus();
    }
  }

  onRefused({ session, edit, reason }) {
    if (!this.outbox.settle(session, edit)) return;
    this.say(reason, "error");
    this.showStatus();
    if (this.entry) this.ask(this.index);
  }

  onGhosts({ image, from, radius, classes, error }, parts) {
    if (error) this.say(error, "warning");
    if (image !== this.record?.name || from !== this.ghostFrom) return;
    const rows = new Float32Array(parts[0]?.slice().buffer ?? 0);
    Object.assign(this, { ghosts: { image, from, list: readGhosts(rows, classes), radius }, ghostStore: null });
    if (this.explains && !error) this.say(`${this.shownGhosts().size} of ${plural(this.ghosts.list.length, "ghost")} above the score: click accepts one, Enter all in view, x rejects.`);
    this.explains = false;
    this.request("points");
  }

  end() {
    this.drop();
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

/** What tests may look at, on the root element as `__annotator`; nothing else should. */
function forTests(app) {
  return {
    app,
    toClient(x, y) {
      const [box, at] = [app.page.top.getBoundingClientRect(), toStage(app.view, x, y)];
      return { x: box.left + at.x, y: box.top + at.y };
    },
    get view() { return { ...app.view }; },
    get name() { return app.record?.name ?? ""; },
    get points() { return [...(app.record?.points.values() ?? [])]; },
    get ghosts() { return app.record ? [...app.shownGhosts().values()] : []; },
    get selection() { return [...app.selection]; },
    get waiting() { return app.outbox.size; },
    get frames() { return app.frames; },
  };
}

/** @param {{model: any, el: HTMLElement}} context @returns {() => void} */
function render({ model, el }) {
  const app = new Annotator(model);
  const hear = (content, buffers) => app.hear(content, buffers);
  model.on("msg:custom", hear);
  app.page.root.style.height = `${model.get("height")}px`;
  el.append(app.page.root);
  Object.assign(app.page.root, { __annotator: forTests(app) });
  app.resize();
  app.send({ type: "hello", base64: false });
  return () => {
    model.off("msg:custom", hear);
    app.end();
  };
}

export default { render };
