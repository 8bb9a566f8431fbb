/**
 * The browser side of pointlib's annotator: one plain ES module, no build step, no network.
 *
 * Points are kept here while annotating; every edit is sent to Python as a numbered message and is
 * drawn pale until Python acknowledges it. Unanswered edits are kept in localStorage and sent again,
 * by this view or by the next one.
 *
 * Coordinates, view, image drawing, keys and the connection to Python: see common.js.
 *
 * Order of the file: constants, pure parts (the named exports), page, drawing, input, messages.
 *
 * @typedef {{id: string, x: number, y: number, label: string, source?: string,
 *            score?: number | null}} Point
 * @typedef {{type: "edit", session: string, edit: number, op: string, image?: string,
 *            points?: any[], regions?: any[], mark?: string, whole?: boolean, magnet?: boolean, sigma?: number, dark?: boolean | null}} Edit
 * @typedef {{image?: string, changes?: {id: string, point: any}[], mark?: any,
 *            regions?: {id: string, rings: any}[], rejections?: {id: string, point: any}[]}} Outcome
 */

import {
  COLOURS, INKS, FINE, DRAG, clamp, attempt, toStage, toImage, pointRadius, plural, printed,
  actionsOf, actionAt, stamp, iconHtml, STAGE_TOP, DISPLAY_BUTTONS, STRIP, ZOOM_BUTTONS, ROOM_BUTTONS, ROOM_KEYS, TONE_FIELDS, make, describe, cleared,
  decodePicture, scrollTo, focus, closeAll, Display, mount,
} from "../widgets/common.js";
import {
  ENOUGH, boxRing, cornerAt, outlineAt, withCorner, proposedRing, learningWords, drawRegions, drawDrafts, grabRadius,
} from "./regions.js";
import { Asker, choicesAt, leastCertainFirst, readSuggestions, shownAs } from "./suggestions.js";
import { whatChanged } from "./undone.js";

// ---------------------------------------------------------------------------- constants

/** Nine shapes and eight colours: 72 classes differ in at least one of the two. */
export const SHAPES = ["circle", "square", "triangle", "diamond", "cross", "hexagon", "wedge", "star", "bar"];
/** What journals call an accepted or rejected suggestion: see SUGGESTED in steps.py. */
const SUGGESTED = "ghost";
/** States of an image and their signs; the colours are in widgets.css. */
export const SIGNS = { unlabelled: "?", started: "\u2026", labelled: "\u2713", empty: "\u2205", skipped: "\u00bb" };
/** Whether an image needs nothing more. */
export const isDone = (/** @type {string} */ state) => state !== "unlabelled" && state !== "started";

const IDLE = 60_000; // ms: longer gaps are breaks, not work
const BLOBS = 0.3; // the lowest score of a blob that is shown at first: see suggest.py
const RING = Math.SQRT2; // sigmas: radius of the disc to which a LoG responds most

/**
 * The key table, used by the handler and shown by `?`. Rows without `run` are mouse gestures.
 * "Ctrl" is Ctrl or Cmd.
 * @type {{group: string, show: string, text: string, keys?: string[],
 *         run?: (app: any, event: any) => void}[]}
 */
export const KEYS = [
  { group: "Points", show: "Click", text: "add a point; on a point: select it" },
  { group: "Points", show: "Ctrl+Click", text: "add a point, even on top of another" },
  { group: "Points", show: "Drag", text: "on a point: move it, or the whole selection" },
  { group: "Points", show: "Shift+Click", text: "add to the selection, or remove from it" },
  { group: "Points", show: "Shift+Drag", text: "select all in a rectangle" },
  { group: "Points", show: "Ctrl+A", keys: ["Ctrl+A"], text: "select all", run: (app) => app.select(app.record?.points.keys() ?? []) },
  { group: "Points", show: "Delete", keys: ["Delete", "Backspace"], text: "delete the selection, or the chosen region", run: (app) => app.deleteChosen() },
  { group: "Points", show: ", .", keys: [",", "."], text: "select the previous, the next point", run: (app, event) => (app.review ? app.stepReview(event.key === "," ? -1 : 1) : app.stepPoint(event.key === "," ? -1 : 1)) },
  { group: "Points", show: "Ctrl+Z", keys: ["Ctrl+Z"], text: "undo, across images, without limit", run: (app) => app.edit({ op: "undo" }) },
  { group: "Points", show: "Ctrl+Shift+Z", keys: ["Ctrl+Shift+Z", "Ctrl+Y"], text: "redo (also Ctrl+Y)", run: (app) => app.edit({ op: "redo" }) },
  { group: "Classes", show: "1 \u2013 9", keys: [..."123456789"], text: "choose the class", run: (app, event) => app.pressDigit(Number(printed(event) || event.key) - 1) },
  { group: "Classes", show: "[ ]", keys: ["[", "]"], text: "the previous, the next class", run: (app, event) => app.chooseClass((app.label + (event.key === "[" ? -1 : 1) + app.classes.length) % app.classes.length) },
  { group: "Classes", show: "r", keys: ["r"], text: "give the selection this class", run: (app) => app.editSelection("label", { label: app.classes[app.label] }) },
  { group: "Images", show: "a d", keys: ["a", "d"], text: "previous, next image", run: (app, event) => app.goto(app.index + (event.key.toLowerCase() === "a" ? -1 : 1)) },
  { group: "Images", show: "v", keys: ["v"], text: "done: everything is clicked; again: not yet", run: (app) => app.toggleDone() },
  { group: "Images", show: "n", keys: ["n"], text: "next image that is not done", run: (app) => app.gotoUnlabelled() },
  { group: "Images", show: "e", keys: ["e"], text: "mark empty: looked, nothing here", run: (app) => app.mark("empty") },
  { group: "Images", show: "s", keys: ["s"], text: "skip, and go to the next that is not done", run: (app) => app.mark("skipped") },
  { group: "Regions", show: "b", keys: ["b"], text: "rectangle: drag around what is clicked completely", run: (app) => app.useTool("box") },
  { group: "Regions", show: "p", keys: ["p"], text: "polygon: click its corners, Enter closes it", run: (app) => app.useTool("polygon") },
  { group: "Regions", show: "b, then drag", text: "on a corner: move it; click an outline, then Delete" },
  { group: "View", show: "Wheel", text: "zoom at the pointer" },
  { group: "View", show: "Middle drag", text: "pan (also Alt+drag, or drag the background)" },
  { group: "View", show: "f", keys: ["f"], text: "fit the image into the view", run: (app) => app.fit() },
  { group: "View", show: "+ \u2212", keys: ["+", "=", "-"], text: "zoom", run: (app, event) => app.zoom(event.key === "-" ? 1 / 1.4 : 1.4) },
  { group: "View", show: "h", keys: ["h"], text: "hide or show the points", run: (app) => app.toggleHidden() },
  ...ROOM_KEYS,
  { group: "Keyboard only", show: "Arrows", keys: ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"].flatMap((key) => [key, `Shift+${key}`, `Ctrl+${key}`]), text: "move the selection, or a crosshair, by 1 px (Shift 10, Ctrl 100)", run: (app, event) => app.arrow(event) },
  { group: "Keyboard only", show: "Space", keys: ["Space", "Shift+Space", "Ctrl+Space"], text: "click at the crosshair", run: (app, event) => app.clickCrosshair(event) },
  { group: "Keyboard only", show: "Escape", keys: ["Escape"], text: "close what is open, clear the selection; keys stay here", run: (app) => app.escape() },
  { group: "Keyboard only", show: "Tab", text: "to the buttons and on, out of the widget (Shift+Tab back)" },
  { group: "Assistance", show: "m", keys: ["m"], text: "magnet: clicks snap to the blob under them", run: (app) => app.toggleMagnet() },
  { group: "Assistance", show: "g", keys: ["g"], text: "suggestions: none, blobs, the model's points", run: (app) => app.stepSuggestions() },
  { group: "Assistance", show: "Enter", keys: ["Enter"], text: "accept all suggestions in view (click: one)", run: (app) => (app.corners ? app.closePolygon() : app.acceptInView()) },
  { group: "Assistance", show: "x", keys: ["x"], text: "reject the suggestion under the pointer or crosshair", run: (app) => app.rejectSuggestion() },
  { group: "Assistance", show: "c", keys: ["c"], text: "the suggestion's next class", run: (app) => app.turnSuggestion() },
  { group: "Assistance", show: "w", keys: ["w"], text: "review: each suggestion, the least certain first; Enter, x, c or 1 \u2013 9 decide, . and , go on and back", run: (app) => app.walk() },
  { group: "Assistance", show: "l", keys: ["l"], text: "learn while you click, from what is done; again: stop", run: (app) => app.toggleLearning() },
  { group: "Other", show: "?", keys: ["?"], text: "this help", run: (app) => app.toggleHelp() },
  { group: "Other", show: "Ctrl+S", keys: ["Ctrl+S"], text: "not needed: everything is saved as you go", run: (app) => app.say("Everything is saved as you go.") },
];

const ACTIONS = actionsOf(KEYS);

// ---------------------------------------------------------------------------- pure parts

/**
 * How near a click must be to hit a point, CSS pixels. At most a quarter of the mean distance
 * between points: otherwise, zoomed out on 10,000 points, every click would hit one.
 * @param {number} radius  as drawn @param {number} spacing  CSS pixels @param {boolean} coarse
 */
export function hitRadius(radius, spacing, coarse = false) {
  return clamp(spacing / 4, 2, radius + (coarse ? 12 : 3));
}

/**
 * Points by id, in insertion order, with a grid for spatial look-up and counts per class.
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

  /** Remove a point from grid and counts, but not from the map. @param {Point | undefined} point */
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
   * The nearest point within `radius` image pixels that `accept` accepts, or null.
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

/** The state of one image: its size, points, rejected suggestions, regions and mark. */
export class Record {
  /** @param {{name: string, width: number, height: number, points?: Point[], rejected?: Point[],
   *          regions?: {id: string, rings: any}[], mark?: string | null}} message */
  constructor({ name, width, height, points = [], rejected = [], regions = [], mark = null }) {
    this.name = name;
    this.width = width;
    this.height = height;
    this.points = new PointStore(width, height, points);
    this.rejected = new PointStore(width, height, rejected);
    /** @type {Map<string, any>} */
    this.regions = new Map(regions.map(({ id, rings }) => [id, rings]));
    this.mark = mark;
  }

  get state() {
    if (this.points.size) return this.mark === "started" ? "started" : "labelled";
    return this.mark === "empty" || this.mark === "skipped" ? this.mark : "unlabelled";
  }
}

/**
 * Apply an edit to a record; idempotent.
 * @param {Record} record @param {Edit} edit
 */
export function applyEdit(record, edit) {
  const { points, rejected } = record;
  const first = !points.size;
  for (const change of edit.points ?? []) {
    const old = points.get(change.id);
    if (edit.op === "add") points.put({ source: "hand", score: null, ...change });
    else if (edit.op === "reject") rejected.put({ ...change });
    else if (edit.op === "delete") points.delete(change.id);
    else if (old) points.put({ ...old, ...change }); // move, label
  }
  if (edit.op === "add" && first) record.mark = "started";
  if (edit.op === "mark") record.mark = edit.mark === "done" && !points.size ? "empty" : edit.mark ?? null;
  if (edit.whole) record.regions.clear();
  for (const { id, rings } of edit.regions ?? []) putRegion(record, id, edit.op === "region" ? rings : null);
}

/** Set a region; null removes it. */
function putRegion(/** @type {Record} */ record, /** @type {string} */ id, /** @type {any} */ rings) {
  if (rings) record.regions.set(id, rings);
  else record.regions.delete(id);
}

/**
 * Apply an outcome from Python to a record, except to points with pending edits, whose own answer
 * comes later.
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
  for (const { id, rings } of outcome.regions ?? []) if (!isWaiting(id)) putRegion(record, id, rings);
  if (outcome.mark !== undefined) record.mark = outcome.mark;
}

/**
 * Pending edits: numbered, in order, kept in memory and in `storage` until answered. Those left by an
 * earlier view are adopted with their session and numbers, so that Python recognises duplicates.
 */
export class Outbox {
  /** @param {string} session @param {Storage | null} storage */
  constructor(session, storage) {
    Object.assign(this, { session, storage });
    this.key = ""; // of the journal
    this.count = 0;
    this.safe = true; // false if the browser stores nothing
    /** @type {Edit[]} */
    this.waiting = [];
    /** @type {Map<string, number>} */
    this.touched = new Map(); // how many of them touch each point
  }

  get size() { return this.waiting.length; }

  place(/** @type {string} */ session) { return `pointlib:${this.key}:${session}`; }

  /** Number an edit and store it. @param {any} edit @returns {Edit} */
  add(edit) {
    const whole = { type: "edit", session: this.session, edit: ++this.count, ...edit };
    this.take(whole, 1);
    this.keep();
    return whole;
  }

  /** Adopt the edits left by dead views of the same journal. @returns {Edit[]} */
  adopt() {
    const mine = (/** @type {Edit} */ a) => this.waiting.some((b) => a.session === b.session && a.edit === b.edit);
    const places = attempt(() => Object.keys(this.storage ?? {}), []).filter((place) => place.startsWith(this.place("")));
    const left = places.flatMap((place) => this.read(place));
    const fresh = left.filter((edit) => edit?.session && edit.edit && !mine(edit));
    fresh.forEach((edit) => this.take(edit, 1));
    return fresh;
  }

  /** Remove an edit that was answered; returns it, or undefined. */
  settle(/** @type {string} */ session, /** @type {number} */ number) {
    const edit = this.waiting.find((other) => other.session === session && other.edit === number);
    if (!edit) return undefined;
    this.take(edit, -1);
    if (session === this.session) this.keep();
    else this.keep(session, this.read(this.place(session)).filter((other) => other.edit !== number)); // that view may still be alive
    return edit;
  }

  /** Whether a pending edit touches this point. */
  touches(/** @type {string} */ id) { return this.touched.has(id); }

  /** The pending edits of one image. */
  of(/** @type {string} */ image) { return this.waiting.filter((edit) => edit.image === image); }

  /** Add an edit to the list (by 1) or remove it (by -1). */
  take(/** @type {Edit} */ edit, /** @type {number} */ by) {
    if (by > 0) this.waiting.push(edit);
    else this.waiting.splice(this.waiting.indexOf(edit), 1);
    for (const { id } of [...(edit.points ?? []), ...(edit.regions ?? [])]) {
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
 * The suggestions to show: at least `offset` above their class's threshold, not near a point, not
 * near a rejected one, and one at each spot: see `oneASpot`.
 * @param {Iterable<any>} suggestions @param {Record} record
 * @param {{offset: number, radius: number, sameLabel: boolean}} options  radius in image pixels;
 *   sameLabel: a rejected one hides only those of its own class
 */
export function visibleSuggestions(suggestions, record, { offset, radius, sameLabel }) {
  const left = [];
  for (const suggestion of suggestions) {
    if (record.points.nearest(suggestion.x, suggestion.y, radius)) continue;
    const same = (/** @type {Point} */ other) => !sameLabel || other.label === suggestion.label;
    if (!record.rejected.nearest(suggestion.x, suggestion.y, radius, same)) left.push(suggestion);
  }
  return oneASpot(left, record, radius).filter(({ margin }) => margin >= offset);
}

/**
 * Of suggestions of several classes within a radius only the best, the others as its `others`: as
 * `one_a_spot` of suggest.py does it. The best is farthest above its class's threshold.
 * @param {any[]} suggestions @param {{width: number, height: number}} size @param {number} radius
 */
export function oneASpot(suggestions, { width, height }, radius) {
  const ranked = [...suggestions].sort((a, b) => b.margin - a.margin || a.rank - b.rank);
  const heads = new PointStore(width, height);
  for (const suggestion of ranked) {
    const other = (/** @type {Point} */ head) => head.label !== suggestion.label;
    const head = heads.nearest(suggestion.x, suggestion.y, radius, other);
    if (head) head.others.push(suggestion);
    else heads.put({ ...suggestion, others: [] });
  }
  return [...heads.values()];
}

/** What a point or a suggestion is, in words. */
export function pointWords(/** @type {any} */ { label, source, score, others }) {
  const number = Number.isFinite(score) ? score.toFixed(2) : "";
  if (!others) return label + (source === SUGGESTED && number ? `, suggested at ${number}` : "");
  const rest = others.map((/** @type {any} */ one) => `${one.label} ${one.score.toFixed(2)}`).join(", ");
  return `${label}${number ? ` ${number}` : ""}${rest ? `, or ${rest} (c)` : ""}`;
}

/** Images per hour of work, without gaps of more than a minute. */
export class Rate {
  constructor() {
    this.active = 0; // ms
    this.last = -Infinity;
    /** @type {Set<string>} */
    this.done = new Set();
  }

  /** The user did something at `now`, ms. */
  touch(/** @type {number} */ now) {
    if (now - this.last <= IDLE) this.active += now - this.last;
    this.last = now;
  }

  /** The state of an image changed. */
  change(/** @type {string} */ name, /** @type {string} */ before, /** @type {string} */ after) {
    if (!isDone(before) && isDone(after)) this.done.add(name);
    if (!isDone(after)) this.done.delete(name);
  }

  /** Images per hour, or null in the first 20 s of work. */
  perHour() {
    return this.active < 20_000 ? null : Math.round((this.done.size * 3_600_000) / this.active);
  }
}

/** The next image after `index` that is not done, wrapping around, or -1. */
export function nextUnlabelled(/** @type {string[]} */ states, /** @type {number} */ index) {
  for (let step = 1; step <= states.length; step++) {
    const other = (index + step) % states.length;
    if (!isDone(states[other])) return other;
  }
  return -1;
}

/** "7 weed" and so on, for the classes that occur; "" if there is only one class. */
function countsInWords(/** @type {string[]} */ classes, /** @type {number[]} */ counts) {
  const parts = classes.map((name, i) => (counts[i] ? `${counts[i]} ${name}` : ""));
  return classes.length > 1 ? parts.filter(Boolean).join(", ") : "";
}

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
    n ? (state === "labelled" ? "done" : "") : state,
    selected ? `${selected} selected` : "",
    waiting ? `${plural(waiting, "edit")} waiting` : "saved",
  ].filter(Boolean).join(", ");
}

/** The tooltip of a thumbnail. */
export function thumbTitle(
  /** @type {string} */ name, /** @type {string} */ state,
  /** @type {string[]} */ classes, /** @type {number[]} */ counts) {
  const n = counts.reduce((sum, count) => sum + count, 0);
  const words = countsInWords(classes, counts);
  const more = state === "labelled" ? ", done" : ", not done";
  return `${name}: ${n ? plural(n, "point") + (words && ` (${words})`) + more : state}`;
}

/** The action of a key, or undefined. */
export function actionOf(/** @type {any} */ event) {
  return actionAt(ACTIONS, event);
}

/** Add a shape of about radius r around (x, y) to a canvas path. */
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

/** n corners on a circle, the first at `turn` (in twelfths), with alternating radii `r` and `s`. */
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

/** Elements with `data-is` are found by that name; buttons with `data-key` act like that key. */
const PAGE = `
<div class="pl-bar" data-is="tools" role="group" aria-label="Tools">
  <div class="pl-slot" data-is="slot"><div class="pl-chips" data-is="chips" role="group" aria-label="Class of new points"></div></div>
  <div class="pl-group">
    <button data-key="ctrl+z" title="Undo (Ctrl+Z)">\u21b6</button>
    <button data-key="ctrl+y" title="Redo (Ctrl+Shift+Z)">\u21b7</button>
    <button data-key="delete" title="Delete the selection (Delete)">Delete</button>
  </div>
  <div class="pl-group">
    <button data-key="v" data-is="done" aria-pressed="false" title="Done: everything here is clicked (v)">Done</button>
    <button data-key="e" title="Looked, nothing here (e)">Empty</button>
    <button data-key="s" title="Skip, go to the next that is not done (s)">Skip</button>
  </div>
  <div class="pl-group">
    <button data-key="b" data-is="box" aria-pressed="false" title="Rectangle: a region in which everything is clicked (b)">${iconHtml("M1 2.5h12v9h-12z")}</button>
    <button data-key="p" data-is="polygon" aria-pressed="false" title="Polygon: a region in which everything is clicked (p)">${iconHtml("M2 5l6-3.5 5 5-4 6-7-2z")}</button>
  </div>
  <div class="pl-group">
    <button data-key="m" data-is="magnet" aria-pressed="false" title="Magnet: clicks snap to the blob under them (m)">Magnet</button>
    <select data-is="suggestions" aria-label="Suggestions: points to accept (g)" title="Suggestions: points to accept (g)"><option
      value="none">Suggest \u2026</option><option>blobs</option><option>model</option></select>
    <button data-key="l" data-is="learn" aria-pressed="false" title="Learn while you click, from what is done (l)">Learn</button>
    <button data-opens="assist" aria-expanded="false" title="Assistance: size, brightness and score of what is looked for">Assist</button>
  </div>
${DISPLAY_BUTTONS}
</div>
<div class="pl-stage" data-is="stage">
  <canvas class="pl-layer" data-is="image" aria-hidden="true"></canvas>
  <canvas class="pl-layer" data-is="points" aria-hidden="true"></canvas>
${STAGE_TOP}
  <div class="pl-panel pl-flat" data-is="assist" role="group" aria-label="Assistance" hidden>
    <label title="Size of the objects that magnet and blobs look for: see the ring on the image">Size <input
      type="range" data-is="sigma" min="1" max="60" step="0.5" value="3"
      aria-label="Size of the objects, across"><span class="pl-value"></span></label>
    <select data-is="dark" aria-label="Blobs brighter or darker than their surroundings" title="Blobs brighter or darker than their surroundings"><option
      value="">bright/dark</option><option>bright</option><option>dark</option></select>
    <label title="Lowest score of a blob; for a model, how far from the threshold that it has for each class">Score <input
      type="range" data-is="score" min="0" max="1" step="0.01" value="0.3" disabled
      aria-label="Lowest score of a suggestion"><span class="pl-value"></span></label>
  </div>
  <div class="pl-question" data-is="question" role="group" aria-label="Question" hidden></div>
  <div class="pl-banner" data-is="banner" role="alert" hidden></div>
</div>
<div class="pl-learning" data-is="learning" hidden>
  <progress data-is="lesson" max="1" aria-label="Lesson"></progress>
  <span class="pl-learning-words" data-is="learningWords" aria-live="polite"></span>
  <button data-is="learnNow" title="Learn now from all that is done">Learn now</button>
</div>
${STRIP}
<div class="pl-foot">
  <div class="pl-sentence" data-is="status" role="status" aria-live="polite">Connecting \u2026</div>
  <div class="pl-group">
${ZOOM_BUTTONS}
  </div>
${ROOM_BUTTONS}
  <progress data-is="meter" aria-label="Images done" max="1" value="0"></progress>
  <span class="pl-progress" data-is="progress"></span>
</div>`;

const offsetWords = (value) => (Math.abs(value) < 0.005 ? "model's own" : `${value > 0 ? "+" : "\u2212"}${Math.abs(value).toFixed(2)}`);

/** What a field does, and how a slider's value is shown. */
const FIELDS = {
  sigma: { run: (app, sigma) => app.setSigma(sigma), words: (value) => `${Math.round(2 * RING * value)} px` }, // across
  dark: { run: (app, side) => app.setSigma(app.sigma, side && side === "dark") },
  suggestions: { run: (app, from) => app.setSuggestions(from) },
  score: { run: (app, score) => app.setScore(score), words: (value, field) => (field.min < 0 ? offsetWords(value) : value.toFixed(2)) },
  ...TONE_FIELDS,
};

// ---------------------------------------------------------------------------- drawing

/** Colour and shape of class number i. */
export function styleOf(/** @type {number} */ i) {
  return { colour: COLOURS[Math.max(i, 0) % COLOURS.length], shape: SHAPES[Math.max(i, 0) % SHAPES.length] };
}

/** One marker: dark rim, light rim, colour, to be visible on any background. */
function drawMarker(ctx, { colour, shape }, x, y, r, look) {
  const [suggested, chosen] = [look === "suggested", look === "selected"];
  ctx.lineJoin = "round";
  ctx.globalAlpha = look === "waiting" ? 0.5 : 1;
  ctx.beginPath();
  traceShape(ctx, shape, x, y, chosen ? r + 1 : r);
  const rims = [["#000C", suggested ? 4 : 4.6, []], ["#FFF", chosen ? 3.6 : 2.6, []], [colour, suggested ? 2.6 : 1.7, suggested ? [4.5, 3] : []]];
  for (const [strokeStyle, lineWidth, dash] of suggested ? [rims[0], rims[2]] : rims) {
    Object.assign(ctx, { strokeStyle, lineWidth });
    ctx.setLineDash(dash);
    ctx.stroke();
  }
  if (suggested) return;
  ctx.fillStyle = colour;
  ctx.globalAlpha = chosen ? 0.9 : look === "waiting" ? 0.1 : 0.3;
  ctx.fill();
  ctx.globalAlpha = 1;
  if (chosen) ctx.fillStyle = "#000";
  if (r >= 7) ctx.fillRect(x - 1, y - 1, 2, 2);
}

/** Half the side of a sprite for a marker of radius r. */
const margin = (r) => Math.ceil(1.5 * r + 5);

/** A marker, drawn once and then copied: hundreds of paths per frame would be too slow. */
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

/** Draw the points and suggestions in view. */
function drawPointLayer(app) {
  const ctx = cleared(app, app.page.points);
  if (!app.record || app.hidden) return;
  drawRegions(ctx, app);
  const shown = app.record.points.inside(...app.reach(20));
  if (shown.length > FINE) drawSquares(ctx, app, shown);
  drawSuggestions(ctx, app, app.shownSuggestions().inside(...app.reach(20)));
  if (shown.length > FINE) return;
  const r = Math.round(2 * pointRadius(app.view.k)) / 2;
  const waiting = ({ id }) => (app.outbox.touches(id) ? "waiting" : "normal");
  const [chosen, others] = [[], []];
  for (const point of shown) (app.selection.has(point.id) ? chosen : others).push(point);
  for (const point of others) drawSprite(ctx, app, point, point.label, r, waiting(point));
  for (const point of chosen) drawSprite(ctx, app, point, point.label, r, "selected");
}

/** Many points: dark squares, each with a smaller one in the class colour; white if selected. */
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

function drawSuggestions(ctx, app, shown) {
  const r = Math.round(2 * pointRadius(app.view.k)) / 2 + 1;
  for (const suggestion of shown) drawSprite(ctx, app, suggestion, app.suggestionLabel(suggestion), r, "suggested");
  if (app.spacing(app.shownSuggestions()) < 50) return; // no room for scores
  Object.assign(ctx, { font: "10px sans-serif", textBaseline: "middle", lineWidth: 3, strokeStyle: "#000B", fillStyle: "#FFF" });
  for (const suggestion of shown) {
    const at = toStage(app.view, suggestion.x, suggestion.y);
    const number = suggestion.score?.toFixed(2) ?? "";
    ctx.strokeText(number, at.x + r + 5, at.y);
    ctx.fillText(number, at.x + r + 5, at.y);
  }
}

/** Draw the ring at the pointer, the selection rectangle and the crosshair. */
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
  if (app.record) drawDrafts(ctx, app);
  const ring = app.sizing ? { x: app.size.width / 2, y: app.size.height / 2 } : app.magnet && !app.gesture && app.pointer;
  if (band) twice(() => ctx.rect(band.x, band.y, band.width, band.height), [4, 3]);
  if (ring) twice(() => ctx.arc(ring.x, ring.y, Math.max(1, sigma * RING * view.k), 0, 2 * Math.PI));
  if (app.snap && app.magnet && !app.gesture) {
    const { x, y } = toStage(view, app.snap.x, app.snap.y);
    twice(() => [[7, 7], [7, -7]].forEach(([dx, dy]) => {
      ctx.moveTo(x - dx, y - dy);
      ctx.lineTo(x + dx, y + dy);
    }));
  }
  if (app.review && app.tip) {
    const { x, y } = toStage(view, app.tip.x, app.tip.y);
    twice(() => ctx.arc(x, y, Math.max(14, app.suggestions.radius * view.k), 0, 2 * Math.PI), [6, 4]);
  }
  if (app.tip) drawTip(ctx, app);
  if (app.undone && app.undone.image === app.record?.name) {
    const { x, y } = toStage(view, app.undone.x, app.undone.y);
    twice(() => ctx.arc(x, y, 22, 0, 2 * Math.PI), [3, 3]);
  }
  if (!crosshair) return;
  const { x, y } = toStage(view, crosshair.x, crosshair.y);
  twice(() => [[1, 0], [-1, 0], [0, 1], [0, -1]].forEach(([dx, dy]) => {
    ctx.moveTo(x + 4 * dx, y + 4 * dy);
    ctx.lineTo(x + 18 * dx, y + 18 * dy);
  }));
}

/** The words on what the pointer is over, beside it. */
function drawTip(ctx, app) {
  const { tip, view, size } = app;
  const at = toStage(view, tip.x, tip.y);
  const words = app.wordsOf(tip);
  Object.assign(ctx, { font: "12px sans-serif", textBaseline: "middle" });
  const width = ctx.measureText(words).width + 14;
  const x = clamp(at.x + 14, 2, Math.max(2, size.width - width - 2));
  const y = clamp(at.y - 24, 2, Math.max(2, size.height - 24));
  ctx.fillStyle = "#000D";
  ctx.fillRect(x, y, width, 22);
  ctx.fillStyle = "#FFF";
  ctx.fillText(words, x + 7, y + 11);
}

// ---------------------------------------------------------------------------- one view

/** One view of the widget: its display, user input and messages from Python. */
class Annotator extends Display {
  // the folder
  states = []; counts = []; classes = ["point"]; readOnly = ""; hasModel = false; done = 0;
  heading = 1; // direction through the images
  plain = new Set(); // images requested as PNG
  // input; `lifted` are the points being moved
  label = 0; selection = new Set(); lifted = null; band = null;
  crosshair = null; undone = null; hidden = false; magnet = false; sigma = 3; dark = null; sizing = false; rate = new Rate();
  // regions: the tool in hand, the one being drawn or moved, the corners of a polygon, the chosen one
  tool = "points"; draft = null; corners = null; chosenRegion = null;
  // learning; `proposal` is the rectangle around what is clicked, `declined` when it was not wanted: {name: points}
  learning = null; proposal = null; declined = new Map(); question = null;
  // suggestions; `suggestionStore` are those to show, null if outdated
  suggestionFrom = "none"; explains = false; suggestionScore = 0.3; suggestionOffset = 0; turned = new Map();
  suggestions = { list: [], image: "", from: "none", radius: 3 }; suggestionStore = null;
  // the walk through suggestions; what the pointer is over; where the magnet would put a click
  review = null; tip = null; landing = new Asker((question) => this.send(question)); wantsMagnet = false; insists = false;
  // messages; `since` holds the outcomes that arrive while an image is requested
  outbox = new Outbox(this.session, attempt(() => window.localStorage, null)); ids = 0; since = new Map();

  constructor(model) {
    super(model, { name: "pl-annotator", html: PAGE, keys: KEYS, fields: FIELDS });
    this.listen();
  }

  /** The point (or, with another store, the suggestion) hit by a click at an image position. */
  hit({ x, y }, coarse = false, store = this.record.points) {
    return store.nearest(x, y, hitRadius(pointRadius(this.view.k), this.spacing(store), coarse) / this.view.k);
  }

  /** The mean distance between points, stage pixels. */
  spacing({ size } = this.record.points) {
    return Math.sqrt((this.record.width * this.record.height) / Math.max(size, 1)) * this.view.k;
  }

  /** Blobs get the chosen class, unless one was given another; the model's suggestions have their own. */
  suggestionLabel(suggestion) {
    return this.suggestions.from === "model" || suggestion.head ? suggestion.label : this.classes[this.label];
  }

  /** What a point or a suggestion is, in words. */
  wordsOf(point) {
    return pointWords(point.others ? { ...point, label: this.suggestionLabel(point) } : point);
  }

  shownSuggestions() {
    const { record, suggestions } = this;
    const byModel = suggestions.from === "model";
    const list = suggestions.image === record.name && suggestions.from === this.suggestionFrom ? suggestions.list : [];
    const offset = byModel ? this.suggestionOffset : this.suggestionScore - BLOBS;
    const options = { offset, radius: suggestions.radius, sameLabel: byModel };
    this.suggestionStore ??= new PointStore(record.width, record.height,
      visibleSuggestions(list, record, options).map((one) => this.asTurned(one)));
    return this.suggestionStore;
  }

  /** A suggestion in the class that was chosen for it. */
  asTurned(suggestion) {
    const label = this.turned.get(suggestion.id);
    return label === undefined ? suggestion : this.asClass(suggestion, label);
  }

  /** A suggestion as one of another class: the one found there, if there is one. */
  asClass(suggestion, label) {
    const choice = this.choices(suggestion).find((one) => one.label === label);
    if (!choice) return suggestion;
    const shown = shownAs(suggestion.head ?? suggestion, choice);
    return this.suggestions.from === "model" ? shown : { ...shown, others: [] };
  }

  /** The choices at a suggestion's spot. The score of a blob is of no class: it stays. */
  choices(suggestion) {
    const head = suggestion.head ?? suggestion;
    if (this.suggestions.from === "model") return choicesAt(head, this.classes);
    const { score } = head;
    return choicesAt({ ...head, label: this.classes[this.label] }, this.classes).map((one) => ({ ...one, score }));
  }

  /** Show the next class of the suggestion under the pointer, or in review. */
  turnSuggestion() {
    const suggestion = this.suggestionHere();
    if (!suggestion) return this.say("No suggestion there.");
    const labels = this.choices(suggestion).map(({ label }) => label);
    if (labels.length < 2) return this.say(`There is no other class than ${labels[0]}.`);
    const next = labels[(labels.indexOf(this.suggestionLabel(suggestion)) + 1) % labels.length];
    this.turned.set(suggestion.id, next);
    this.suggestionStore = null;
    this.showTip();
    if (this.review) this.sayReview();
    this.request("points", "top");
  }

  /** The suggestion in review, under the crosshair or under the pointer. */
  suggestionHere() {
    if (!this.record) return null;
    if (this.review) return this.shownSuggestions().get(this.review.ids[this.review.at]) ?? null;
    const at = this.crosshair ?? (this.pointer && toImage(this.view, this.pointer.x, this.pointer.y));
    return at ? this.hit(at, true, this.shownSuggestions()) : null;
  }

  // -------------------------------------------------------------- review

  /** Begin a walk through the suggestions, or go on to the next. */
  walk() {
    if (this.review) return this.stepReview(1);
    const shown = this.record ? [...this.shownSuggestions().values()] : [];
    const ids = leastCertainFirst(shown, this.suggestions.from === "model").map(({ id }) => id);
    if (!ids.length) return this.say("No suggestions to review (g shows some).");
    this.letGo();
    this.review = { ids, at: -1, view: this.view, fitted: this.fitted, decided: new Map() };
    this.stepReview(1);
  }

  /** Go to the next suggestion that is still there, or back; after the last the walk ends. */
  stepReview(step) {
    const { review } = this;
    const shown = this.shownSuggestions();
    let at = review.at + step;
    while (at >= 0 && at < review.ids.length && !shown.has(review.ids[at])) at += step;
    if (at >= review.ids.length) return this.endReview();
    if (at < 0) return this.say("This is the first.");
    review.at = at;
    this.lookAt(shown.get(review.ids[at]));
    this.sayReview();
  }

  sayReview() {
    const { at, ids } = this.review;
    this.say(`${at + 1} of ${ids.length}: ${this.wordsOf(this.suggestionHere())}. Enter accepts, x rejects, . goes on, Escape ends.`);
  }

  /** Something changed: if the suggestion in review is gone, go on. */
  followReview() {
    if (this.review && this.record && !this.suggestionHere()) this.stepReview(1);
  }

  /** Centre a place, near enough to judge it: 12 radii fit, or fewer if the view is nearer already. */
  lookAt({ x, y }) {
    const { size, view, suggestions } = this;
    const near = Math.min(size.width, size.height) / (12 * suggestions.radius);
    const k = Math.max(view.k, Math.min(near, 64));
    this.setView({ k, ox: size.width / 2 - (x + 0.5) * k, oy: size.height / 2 - (y + 0.5) * k });
  }

  /** Decide on the suggestion in review: accept it, maybe as another class, or reject it. */
  decide(isAccepted, label = null) {
    const suggestion = this.suggestionHere();
    if (!suggestion) return;
    if (isAccepted) this.accept([label === null ? suggestion : this.asClass(suggestion, label)]);
    else this.reject(suggestion);
  }

  /** Note what became of suggestions, for the end of the review. */
  note(suggestions, decision) {
    suggestions.forEach(({ id }) => this.review?.decided.set(id, decision));
  }

  /** Back to the view before, with the numbers; what was undone since is left. */
  endReview() {
    const { review } = this;
    this.review = null;
    const isLeft = (id) => this.record !== null && this.shownSuggestions().has(id);
    const count = (decision) => review.ids.filter((id) => review.decided.get(id) === decision && !isLeft(id)).length;
    const left = review.ids.filter(isLeft).length;
    if (review.fitted) this.fit();
    else this.setView(review.view);
    this.say(`Review: ${count("accepted")} accepted, ${count("rejected")} rejected, ${left} left as they are.`);
    this.showTip();
  }

  pressDigit(i) {
    if (this.review && i >= 0 && i < this.classes.length) return this.decide(true, this.classes[i]);
    this.chooseClass(i);
  }

  // -------------------------------------------------------------- under the pointer

  /** Say what the pointer, or the review, is at. */
  showTip() {
    const { record, pointer, gesture, hidden } = this;
    const before = this.tip;
    const spot = pointer ? toImage(this.view, pointer.x, pointer.y) : this.crosshair;
    const point = record && !hidden && !gesture && spot ? this.hit(spot) ?? this.hit(spot, false, this.shownSuggestions()) : null;
    this.tip = this.review ? this.suggestionHere() : point;
    if (before !== this.tip) this.request("top");
  }

  /** Ask where a click would land, as soon as the pointer rests. */
  askSnap() {
    if (!this.landing.want(this.snapQuestion())) return;
    this.request("top");
    this.later("snap", 30, () => this.landing.next());
  }

  /** Where the pointer is, and what the magnet looks for; null if a click would add no point there. */
  snapQuestion() {
    const { magnet, pointer, record, view, tip, gesture, tool, sigma, dark } = this;
    if (!magnet || !pointer || !record || tip || gesture || tool !== "points") return null;
    const { x, y } = toImage(view, pointer.x, pointer.y);
    if (x < -0.5 || y < -0.5 || x > record.width - 0.5 || y > record.height - 0.5) return null;
    return { type: "snap", image: record.name, x, y, label: this.classes[this.label], sigma, dark };
  }

  onSnap({ place, t }) {
    this.landing.hear(t, place && { x: place[0], y: place[1] });
    this.request("top");
  }

  /** Where a click would land, or null if that is not known, or just there. */
  get snap() { return this.landing.answer; }

  /** Whether the magnet fits what was clicked: if not, it stays off, unless it is asked for again. */
  onMagnet({ image, harms, n, far, px }) {
    if (!this.wantsMagnet || image !== this.record?.name) return;
    if (!harms) return this.setMagnet(true);
    Object.assign(this, { insists: true, wantsMagnet: false });
    this.say(`Magnet off: it would have moved ${far} of your ${plural(n, "click")} by more than ${px.toFixed(0)} px, so it fits something else. Set the Size (Assist), or press m again to use it all the same.`, "warning");
  }

  // -------------------------------------------------------------- frames and view

  setView(view, fitted = false) {
    super.setView(view, fitted);
    this.lookAgain();
  }

  paint(dirty) {
    if (dirty.has("points")) drawPointLayer(this);
    if (dirty.has("top")) drawTopLayer(this);
  }

  resize() {
    super.resize();
    this.revealChip();
  }

  toggleHidden() {
    this.hidden = !this.hidden;
    this.say(this.hidden ? "Points are hidden (h)." : "Points are shown.");
    this.request("points");
  }

  // -------------------------------------------------------------- edits

  /** Whether an edit can be made now; undo and redo need no loaded image. */
  canEdit(needsImage = true) {
    if (this.readOnly) this.say(this.readOnly, "warning");
    return this.welcomed && !this.readOnly && (this.record !== null || !needsImage);
  }

  /** Apply an edit at once and send it; undo and redo are done by Python. */
  edit(part) {
    const across = part.op === "undo" || part.op === "redo";
    if (!this.canEdit(!across)) return;
    this.drop();
    const edit = this.outbox.add(across ? part : { image: this.record.name, ...part });
    if (!across) applyEdit(this.record, edit);
    if (across) this.chosenRegion = null;
    this.send(edit);
    this.rate.touch(performance.now());
    this.changed();
  }

  newId() { return `${this.session}-${++this.ids}`; }

  /** A click, by pointer or at the crosshair. */
  click(at, { add = false, toggle = false, coarse = false } = {}) {
    if (!this.record) return;
    if (this.hidden) this.toggleHidden();
    const point = add ? null : this.hit(at, coarse);
    const suggestion = add || point || toggle ? null : this.hit(at, coarse, this.shownSuggestions());
    if (point && toggle && !this.selection.delete(point.id)) this.selection.add(point.id);
    if (point) this.select(toggle ? this.selection : [point.id]);
    else if (suggestion) this.accept([suggestion]);
    else if (!toggle) this.add(at);
  }

  add({ x, y }) {
    const { width, height } = this.record;
    if (x < -0.5 || y < -0.5 || x > width - 0.5 || y > height - 0.5) return;
    this.selection.clear();
    const points = [{ id: this.newId(), x, y, label: this.classes[this.label], source: "hand", score: null }];
    this.edit({ op: "add", points, ...(this.magnet ? { magnet: true, sigma: this.sigma, dark: this.dark } : {}) });
  }

  /** The point that replaces a suggestion. */
  fromSuggestion(suggestion) {
    const { width, height } = this.record;
    const [x, y] = [clamp(suggestion.x, -0.5, width - 0.5), clamp(suggestion.y, -0.5, height - 0.5)];
    return { id: this.newId(), x, y, label: this.suggestionLabel(suggestion), source: SUGGESTED, score: suggestion.score };
  }

  accept(suggestions) {
    this.note(suggestions, "accepted");
    if (suggestions.length) this.edit({ op: "add", points: suggestions.map((suggestion) => this.fromSuggestion(suggestion)) });
  }

  acceptInView() {
    if (!this.record) return;
    if (this.review) return this.decide(true);
    const suggestions = this.shownSuggestions().inside(...this.reach(0));
    this.say(suggestions.length ? `Accepted ${plural(suggestions.length, "suggestion")}.` : "No suggestions in view (press g to show some).");
    this.accept(suggestions);
  }

  rejectSuggestion() {
    if (this.review) return this.decide(false);
    const suggestion = this.suggestionHere();
    if (!suggestion) return this.say("No suggestion there to reject.");
    this.reject(suggestion);
  }

  /** Nothing is there, of whatever class. */
  reject(suggestion) {
    const all = [suggestion, ...suggestion.others];
    this.note([suggestion], "rejected");
    this.edit({ op: "reject", points: all.map((one) => this.fromSuggestion(one)) });
  }

  /** Edit each selected point. */
  editSelection(op, change = {}) {
    if (!this.selection.size) return this.say("Nothing is selected.");
    this.drop();
    this.edit({ op, points: [...this.selection].map((id) => ({ id, ...change })) });
  }

  mark(mark) {
    const n = this.record?.points.size ?? 0;
    if (n) return this.say(`${plural(n, "point")} here: delete them first (Ctrl+A, Delete).`, "warning");
    if (!this.record && this.entry?.error && mark === "skipped") return this.putAside();
    if (!this.canEdit()) return;
    if (this.record.mark !== mark) this.edit({ op: "mark", mark });
    if (mark === "skipped") this.gotoUnlabelled();
  }

  /** Skip an image that cannot be shown. */
  putAside() {
    if (!this.canEdit(false)) return;
    if (this.states[this.index] !== "skipped") this.markOther(this.names[this.index], "skipped");
    this.gotoUnlabelled();
  }

  /** Mark an image that is not on the stage. */
  markOther(image, mark) {
    this.send(this.outbox.add({ image, op: "mark", mark }));
    this.showStatus();
  }

  /** Done, or no longer. Of an image with regions: are only they done, or all of it? */
  toggleDone() {
    const { record } = this;
    if (!record && this.entry?.error) return this.putAside();
    if (!this.canEdit()) return;
    if (record.state === "labelled" && !record.regions.size) return this.finish({ mark: "started" }, "Not done: more points to come.");
    if (!record.regions.size) return this.finish({ mark: "done" }, record.points.size ? "Done." : "Nothing here: marked empty.");
    this.pose("What is clicked completely?", [
      ["Only the regions", () => this.finish({ mark: "done" }, "Done, in its regions.")],
      ["The whole image", () => this.finish({ mark: "done", whole: true }, "Done. Its regions are no longer needed (Ctrl+Z brings them back).")],
      ["Not yet", () => record.state === "labelled" && this.finish({ mark: "started" }, "Not done: more points to come.")],
    ]);
  }

  finish(part, words) {
    this.edit({ op: "mark", ...part });
    this.say(words);
  }

  /** On leaving an image that was started: one click says that it is done. */
  offerDone() {
    const { record, readOnly } = this;
    if (readOnly || record?.state !== "started" || record.regions.size) return;
    const { name, points } = record;
    this.say(`${name}: ${plural(points.size, "point")}, not marked done.`, "offer", { text: "It is done", run: () => this.markOther(name, "done") });
  }

  /** Ask something over the image: words and [label, run] pairs. Escape takes no answer. */
  pose(words, answers, kind = "") {
    const { question } = this.page;
    this.question = kind || words;
    const button = ([text, run]) => make("button", { type: "button", onclick: () => {
      this.closeQuestion();
      run();
      focus(this.page.top);
    } }, text);
    question.replaceChildren(make("span", {}, words), ...answers.map(button));
    question.hidden = false;
    if (!kind) focus(question.querySelector("button"));
  }

  closeQuestion() {
    this.question = null;
    this.page.question.hidden = true;
  }

  // -------------------------------------------------------------- regions

  /** Take a tool in hand, or put it down. */
  useTool(tool) {
    if (tool !== "points" && !this.canEdit()) return;
    this.tool = this.tool === tool ? "points" : tool;
    Object.assign(this, { corners: null, draft: null, chosenRegion: null });
    for (const name of ["box", "polygon"]) this.page[name].ariaPressed = String(this.tool === name);
    const words = { box: "Rectangle: drag around what is clicked completely. Escape: back to points.",
      polygon: "Polygon: click its corners; Enter or the first corner closes it. Escape: back to points.", points: "" }[this.tool];
    if (words) this.say(words);
    this.request("points", "top");
  }

  /** Put down what is being drawn, then the tool; whether there was any. */
  leaveTool() {
    if (this.tool === "points" && !this.chosenRegion) return false;
    if (this.corners?.length || this.chosenRegion) Object.assign(this, { corners: null, chosenRegion: null });
    else this.useTool("points");
    this.request("points", "top");
    return true;
  }

  /** The corner under a place: of the proposal, or with a tool in hand of a region. */
  grabbedCorner(spot, coarse) {
    const proposed = this.proposal ? [["", [this.proposal]]] : [];
    const regions = this.tool === "points" ? [] : [...this.record.regions];
    return this.readOnly ? null : cornerAt([...proposed, ...regions], spot, grabRadius(this.view.k, coarse));
  }

  /** Follow the pointer with a corner, or with the corner of a new rectangle. */
  shapeRegion({ kind, start, now, corner }) {
    const { view, record } = this;
    const [from, to] = [start, now].map(({ x, y }) => toImage(view, x, y));
    const place = { x: clamp(to.x, -0.5, record.width - 0.5), y: clamp(to.y, -0.5, record.height - 0.5) };
    if (kind === "box") this.draft = { id: null, rings: [boxRing(from, to, record)] };
    else {
      const rings = corner.rings.map((ring, r) => (r === corner.r ? withCorner(ring, corner.i, place) : ring));
      if (corner.id) this.draft = { id: corner.id, rings };
      else [this.proposal] = rings;
    }
    this.request("points", "top");
  }

  /** Send what was drawn. */
  dropRegion() {
    const { draft } = this;
    this.draft = null;
    if (draft) this.putRegion(draft.id ?? this.newId(), draft.rings);
    this.request("points", "top");
  }

  putRegion(id, rings) {
    this.edit({ op: "region", regions: [{ id, rings }] });
  }

  /** A click with a region tool in hand: a corner of the polygon, or the choice of a region. */
  clickRegion(spot, coarse) {
    const { record, corners, view } = this;
    const radius = grabRadius(view.k, coarse);
    const near = outlineAt(record.regions, spot, radius);
    if (this.tool === "box" || (!corners && near)) {
      this.chosenRegion = near;
      this.say(near ? "Region chosen: Delete removes it." : "Drag to draw a rectangle.");
    } else if (corners?.length > 2 && Math.hypot(spot.x - corners[0][0], spot.y - corners[0][1]) <= radius) this.closePolygon();
    else this.corners = [...(corners ?? []), [clamp(spot.x, -0.5, record.width - 0.5), clamp(spot.y, -0.5, record.height - 0.5)]];
    this.request("points", "top");
  }

  closePolygon() {
    const { corners } = this;
    if (corners.length < 3) return this.say("A polygon has three corners or more: click on.");
    this.corners = null;
    this.putRegion(this.newId(), [corners]);
  }

  deleteChosen() {
    const { chosenRegion: id } = this;
    this.chosenRegion = null;
    if (this.corners?.length) this.corners = this.corners.slice(0, -1);
    else if (id && this.record?.regions.has(id)) return this.edit({ op: "unregion", regions: [{ id }] });
    else return this.editSelection("delete");
    this.request("top");
  }

  // -------------------------------------------------------------- learning

  toggleLearning() {
    if (!this.canEdit(false)) return;
    this.send({ type: "learn", on: !this.learning?.is_on });
  }

  onLearning(facts) {
    this.learning = facts;
    if (facts.is_new) {
      this.offerModel(true);
      if (this.suggestionFrom === "none") this.setSuggestions("model");
      else if (this.suggestionFrom === "model") this.askSuggestions();
    }
    this.showLearning();
    this.propose();
  }

  offerModel(hasModel) {
    this.hasModel = hasModel;
    Object.assign(this.page.suggestions.options[2], { hidden: !hasModel, disabled: !hasModel });
  }

  showLearning() {
    const { page, learning } = this;
    if (!learning) return;
    const words = learningWords(learning, Date.now());
    page.learn.ariaPressed = String(learning.is_on);
    page.learning.hidden = !words;
    page.lesson.hidden = learning.share === null;
    page.lesson.value = learning.share ?? 0;
    page.learnNow.disabled = learning.share !== null;
    if (page.learningWords.textContent !== words) page.learningWords.textContent = words;
  }

  /** Propose a rectangle around the clicks of an image that is started, and ask whether it is complete. */
  propose() {
    const { record, learning, declined } = this;
    const n = record?.points.size ?? 0;
    const wanted = learning?.is_on && !this.readOnly && record?.state === "started" && !record.regions.size
      && n >= Math.max(ENOUGH, 1.5 * (declined.get(record.name) ?? 0));
    if (!wanted) {
      if (this.question === "proposal") this.closeQuestion();
      this.proposal = null;
      return;
    }
    const ring = proposedRing([...record.points.values()], record);
    this.proposal = ring;
    this.request("top");
    if (this.question === "proposal") return;
    this.pose("Is everything in the dashed rectangle clicked? Then it can be learnt from. Its corners can be dragged.", [
      ["Yes, learn from it", () => this.acceptProposal()],
      ["Not yet", () => this.declineProposal()],
    ], "proposal");
  }

  acceptProposal() {
    const { proposal } = this;
    this.proposal = null;
    if (proposal) this.putRegion(this.newId(), [proposal]);
  }

  declineProposal() {
    this.declined.set(this.record?.name, this.record?.points.size);
    this.proposal = null;
    this.request("top");
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

  /** Start moving the selection; `carry` shows it elsewhere, `drop` sends its final position. */
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
    this.suggestionStore = null;
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
    this.showTip();
  }

  clickCrosshair(event) {
    if (!this.crosshair) return this.say("Arrow keys show a crosshair; Space clicks there.");
    this.click(this.crosshair, { add: event.ctrlKey || event.metaKey, toggle: event.shiftKey });
  }

  escape() {
    const { help, top } = this.page;
    if (!help.hidden) return this.toggleHelp();
    if (this.panelOpen) return this.togglePanel();
    if (this.question) return this.escapeQuestion();
    if (!top.matches(":focus")) return focus(top);
    if (this.review) return this.endReview();
    if (this.gesture || this.selection.size || this.crosshair) return this.letGo();
    if (this.leaveTool()) return;
    this.leaveFilled();
  }

  escapeQuestion() {
    if (this.question === "proposal") this.declineProposal();
    this.closeQuestion();
    focus(this.page.top);
  }

  letGo(keep = false) {
    this.drop(keep);
    Object.assign(this, { gesture: null, band: null, crosshair: null });
    this.showTip();
    this.select([]);
    this.request("top");
  }

  // -------------------------------------------------------------- classes, magnet, suggestions, display

  chooseClass(i) {
    if (i < 0 || i >= this.classes.length) return;
    this.label = i;
    this.showChips();
    this.revealChip();
    this.lookAgain();
    this.request("points");
  }

  /** Of more classes than there is room for, the chosen one is seen. */
  revealChip() {
    scrollTo(this.page.slot, this.page.chips.children[this.label] ?? this.page.chips);
  }

  /** Turn the magnet off, or on if it fits what was clicked: see `onMagnet`. */
  toggleMagnet() {
    if (this.magnet || this.insists) return this.setMagnet(!this.magnet);
    if (!this.record) return this.say("No image is here yet: press m when it is.");
    this.wantsMagnet = true;
    this.send({ type: "magnet", image: this.record.name, sigma: this.sigma, dark: this.dark });
  }

  setMagnet(on) {
    Object.assign(this, { magnet: on, wantsMagnet: false });
    this.page.magnet.ariaPressed = String(on);
    this.say(on ? "Magnet on: a click lands where the cross is, on the blob that fits the ring (Assist: Size)." : "Magnet off.");
    this.askSnap();
    this.request("top");
  }

  /** Size of blobs, and whether they are dark, bright (false) or either (null). */
  setSigma(sigma, dark = this.dark) {
    Object.assign(this, { sigma, dark, sizing: true, insists: false });
    this.request("top");
    this.later("sizing", 1200, () => {
      this.sizing = false;
      this.request("top");
    });
    if (this.suggestionFrom === "blobs") this.later("suggestions", 250, () => this.askSuggestions());
  }

  stepSuggestions() {
    const ways = ["none", "blobs", ...(this.hasModel ? ["model"] : [])];
    this.setSuggestions(ways[(ways.indexOf(this.suggestionFrom) + 1) % ways.length]);
  }

  setSuggestions(from) {
    this.suggestionFrom = this.page.suggestions.value = from;
    this.page.score.disabled = from === "none";
    this.say(from === "none" ? "No suggestions." : `Looking for suggestions: ${from} \u2026`);
    this.explains = true;
    this.askSuggestions();
    this.showScore();
  }

  /** The slider: for blobs the lowest score, for a model an offset from its own thresholds. */
  showScore() {
    const byModel = this.suggestionFrom === "model";
    Object.assign(this.page.score, byModel ? { min: -0.5, max: 0.5 } : { min: 0, max: 1 });
    describe(FIELDS, this.page.score, byModel ? this.suggestionOffset : this.suggestionScore);
    this.setScore(Number(this.page.score.value));
  }

  setScore(score) {
    this[this.suggestionFrom === "model" ? "suggestionOffset" : "suggestionScore"] = score;
    this.suggestionStore = null;
    this.followReview();
    this.lookAgain();
    this.request("points");
  }

  askSuggestions() {
    if (this.suggestionFrom === "none" || !this.record) return;
    this.send({ type: "suggestions", image: this.record.name, from: this.suggestionFrom, sigma: this.sigma, dark: this.dark });
  }

  // -------------------------------------------------------------- images

  goto(index) {
    if (!this.welcomed || index === this.index) return;
    if (index < 0 || index >= this.names.length) return this.say(`This is the ${index < 0 ? "first" : "last"} image.`);
    this.letGo(true);
    this.offerDone();
    if (this.question) this.closeQuestion();
    if (this.tool !== "points") this.useTool("points");
    if (this.review) this.endReview();
    Object.assign(this, { proposal: null, chosenRegion: null, tip: null });
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
    if (next < 0 || next === this.index) this.say("No other image is left: all are done.");
    else this.goto(next);
  }

  /** Request an image. Outcomes that arrive meanwhile are noted, and applied again on arrival. */
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
    const content = { ...cached?.about, ...news }; // without a picture if we have it
    const fits = !parts.length && cached?.record.width === width && cached.record.height === height;
    const levels = error ? null : fits ? cached.levels : await this.decode(content, parts[0]);
    if (this.ending.signal.aborted) return closeAll(levels);
    const record = this.newRecord(content);
    if (!levels && !content.error) return; // requested again as PNG
    const entry = Object.assign(fits ? cached : {}, { index, record, levels, error: content.error, about: content });
    if (levels) this.cache.set(key, entry);
    this.noteState(index, record.state, content.counts);
    if (index === this.index) this.arrive(entry, prefetch);
  }

  /** The record of a message, updated with what happened meanwhile. */
  newRecord(content) {
    const record = new Record(content);
    const noted = this.since.get(record.name) ?? { asked: 1, outcomes: [] };
    noted.outcomes.forEach((outcome) => applyOutcome(record, outcome));
    noted.asked -= 1;
    if (!noted.asked) this.since.delete(record.name);
    this.outbox.of(record.name).forEach((edit) => applyEdit(record, edit));
    return record;
  }

  /** Decode a picture; null: it is requested again. */
  async decode(content, bytes) {
    const { index, prefetch } = content;
    try {
      return await decodePicture(bytes, content);
    } catch (problem) {
      if (!bytes) return this.ask(index, { prefetch }) ?? null; // the cached picture is gone
      if (this.plain.has(index)) content.error = `This browser cannot show ${content.name}: ${problem}`;
      else this.ask(index, { plain: true, prefetch });
      this.plain.add(index);
      return null;
    }
  }

  /** Show an image that arrived, request its suggestions, prefetch the next image. */
  arrive(entry, prefetch) {
    this.show(entry);
    if (this.suggestions.image !== entry.record.name || this.suggestions.from !== this.suggestionFrom) this.askSuggestions();
    const ahead = this.index + this.heading;
    if (!prefetch && this.names[ahead] && !this.cache.has(this.place(ahead))) this.ask(ahead, { prefetch: true });
  }

  show(entry) {
    this.page.top.ariaLabel = `Image ${this.names[this.index]}. Arrow keys move a crosshair, Space adds a point, question mark shows all keys.`;
    this.showPicture(entry);
    this.changed();
    this.lookAtUndone();
  }

  // -------------------------------------------------------------- what changed

  /** The points of the current image changed: update the page. */
  changed() {
    const { record } = this;
    this.suggestionStore = null;
    if (record) {
      for (const id of this.selection) if (!record.points.has(id)) this.selection.delete(id);
      this.noteState(this.index, record.state, record.points.counts);
    }
    this.showChips();
    this.showStatus();
    this.propose();
    this.page.done.ariaPressed = String(record?.state === "labelled");
    this.followReview();
    this.lookAgain();
    this.request("points");
  }

  /** What is under the pointer may be another now. */
  lookAgain() {
    this.showTip();
    this.askSnap();
  }

  /** Note the state and the counts {class: n} of an image. */
  noteState(index, state, counts) {
    const before = this.states[index];
    this.classes.push(...Object.keys(counts).filter((name) => counts[name] && !this.classes.includes(name)));
    this.counts[index] = this.classes.map((name) => counts[name] ?? 0);
    this.states[index] = state;
    this.done += Number(isDone(state)) - Number(isDone(before));
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

  // -------------------------------------------------------------- thumbnails

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

  // -------------------------------------------------------------- input

  listen() {
    const { top, root, slot } = this.page;
    super.listen();
    for (const type of ["mouseleave", "focusout"]) this.on(slot, type, () => this.revealChip());
    this.on(top, "blur", () => this.drop());
    this.on(root, "keyup", (event) => event.key.startsWith("Arrow") && !this.gesture && this.drop());
    this.on(window, "pagehide", () => this.drop());
    this.on(this.page.learnNow, "click", () => this.send({ type: "learn", now: true }));
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
    const corner = event.button === 0 && !event.altKey ? this.grabbedCorner(spot, touch) : null;
    const point = this.hidden || corner || this.tool !== "points" ? null : this.hit(spot, touch);
    const kind = corner ? "corner" : this.kindOf(event, point, touch);
    this.gesture = { kind, id: event.pointerId, start, now: start, spot, point, corner,
      touch, view: this.view, moved: false, toggle: event.shiftKey, add: event.ctrlKey || event.metaKey };
  }

  /** What a press becomes when dragged: pan, band (a rectangle), move (points) or none. */
  kindOf({ button, altKey, shiftKey, ctrlKey, metaKey }, point, touch) {
    if (button === 1 || (button === 0 && altKey)) return "pan";
    if (button !== 0) return "none";
    if (this.tool !== "points") return this.tool;
    if (shiftKey) return "band";
    if (ctrlKey || metaKey) return "press";
    const grabbed = point && (!touch || this.selection.has(point.id)) && !this.readOnly;
    return grabbed ? "move" : "ground"; // ground: a click, or a pan if dragged
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
    this.lookAgain();
    if (this.magnet || this.corners || this.tip) this.request("top");
  }

  /** Once per frame: follow the pointer. */
  follow() {
    const { kind, view, start, now, from } = this.gesture;
    if (kind === "pinch") return this.pinch(view, from, [...this.pointers.values()]);
    const [dx, dy] = [now.x - start.x, now.y - start.y];
    if (kind === "pan" || kind === "ground") this.setView({ ...view, ox: view.ox + dx, oy: view.oy + dy });
    if (kind === "box" || kind === "corner") this.shapeRegion(this.gesture);
    if (kind === "move" && this.lifted) this.carry(dx / view.k, dy / view.k);
    if (kind === "band") this.band = { x: Math.min(start.x, now.x), y: Math.min(start.y, now.y), width: Math.abs(dx), height: Math.abs(dy) };
  }

  up(event) {
    const { gesture } = this;
    if (gesture?.moved) this.follow();
    this.pointers.delete(event.pointerId);
    if (gesture?.kind === "pinch" ? this.pointers.size : gesture?.id !== event.pointerId) return;
    this.gesture = null;
    this.lookAgain();
    this.request("top");
    if (!this.record || gesture.kind === "pinch") return;
    const { kind, moved, spot, add, toggle, touch } = gesture;
    if (kind === "box" || kind === "corner" || kind === "polygon") {
      if (moved && kind !== "polygon") this.dropRegion();
      else if (this.tool !== "points") this.clickRegion(spot, touch);
    } else if (moved && kind === "move") this.drop();
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
    Object.assign(this, { gesture: null, band: null, draft: null });
    this.request("points", "top");
  }

  // -------------------------------------------------------------- messages

  bannerText(time) {
    const n = this.outbox.size;
    const kept = this.outbox.safe ? "kept in this browser" : "not stored: keep this page open";
    const left = n ? ` ${plural(n, "edit")} waiting (${kept}).` : "";
    if (!this.silent) return this.readOnly;
    if (!this.welcomed) return "Not connected to a kernel: run this cell again.";
    return `No answer from the kernel${time}: it is busy or stopped.${left} If it was restarted, run this cell again.`;
  }

  take(content, parts) {
    const answers = { welcome: this.onWelcome, ack: this.onAck, changed: this.onOutcome, refused: this.onRefused,
      image: this.onImage, learning: this.onLearning, snap: this.onSnap, magnet: this.onMagnet, thumb: this.onThumb, suggestions: this.onSuggestions,
      goto: ({ index }) => this.goto(index), notice: ({ level, text }) => this.say(text, level) };
    answers[content.type]?.call(this, content, parts);
  }

  concerns({ type }) { return ["ack", "changed", "refused"].includes(type); }

  /** After a silence: resend what has no answer; Python recognises duplicates. */
  resend() {
    this.showBanner(0);
    if (!this.welcomed) return;
    this.outbox.waiting.forEach((edit) => this.send(edit));
    this.askedThumbs.clear();
    this.askThumbs();
    this.landing.forget();
    this.askSnap();
    if (!this.record) this.ask(this.index);
  }

  onWelcome(content, parts) {
    if (!this.isBinary(parts)) return;
    const { names, states, counts, classes, read_only: readOnly, has_model: hasModel, sigma, dark, key, index } = content;
    const first = !this.welcomed;
    Object.assign(this, { names, states, counts, classes, readOnly, hasModel, welcomed: true });
    this.done = states.filter(isDone).length;
    this.offerModel(hasModel);
    this.learning = content.learning;
    this.showLearning();
    this.page.root.classList.toggle("pl-read-only", Boolean(readOnly));
    this.showBanner(0);
    if (!first) return this.changed();
    Object.assign(this, { sigma, dark });
    describe(FIELDS, this.page.sigma, sigma);
    this.page.dark.selectedIndex = [null, false, true].indexOf(dark ?? null);
    this.takeOver(key);
    this.goto(index);
  }

  /** Send what an earlier view could not; it stays stored while the folder is read-only. */
  takeOver(key) {
    this.outbox.key = key;
    const left = this.readOnly ? [] : this.outbox.adopt();
    left.forEach((edit) => this.send(edit));
    if (left.length) this.say(`${plural(left.length, "edit")} kept in this browser: sent now.`);
  }

  onAck(content) {
    const edit = this.outbox.settle(content.session, content.edit);
    const isBack = edit?.op === "undo" || edit?.op === "redo";
    const undone = isBack && whatChanged(content, content.image === this.record?.name ? this.record.points : null);
    this.onOutcome(content);
    if (edit?.session !== this.session) return;
    if (content.duplicate) this.ask(this.index); // sent twice: the magnet's result is not known here
    if (content.note) this.say(content.note);
    if (undone) this.showUndone(edit.op, content.image, undone);
  }

  /** Go where something was undone, and mark the place for a moment: it may be off screen. */
  showUndone(op, image, { place, words }) {
    this.goto(this.names.indexOf(image));
    this.say(`${op === "undo" ? "Undone" : "Redone"}, ${image}: ${words}.`);
    this.undone = place && { ...place, image };
    this.lookAtUndone();
    this.later("undone", 1500, () => {
      this.undone = null;
      this.request("top");
    });
  }

  lookAtUndone() {
    if (!this.undone || this.undone.image !== this.record?.name) return;
    this.reveal(this.undone);
    this.request("top");
  }

  /** An image changed, here or elsewhere. */
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

  onSuggestions({ image, from, radius, classes, thresholds, error }, parts) {
    if (error) this.say(error, "warning");
    if (image !== this.record?.name || from !== this.suggestionFrom) return;
    const rows = new Float32Array(parts[0]?.slice().buffer ?? 0);
    if (this.review) this.endReview(); // its numbers are of the suggestions before
    this.turned.clear();
    Object.assign(this, { suggestions: { image, from, list: readSuggestions(rows, classes, thresholds), radius }, suggestionStore: null });
    this.lookAgain();
    if (this.explains && !error) this.say(`${plural(this.shownSuggestions().size, "suggestion")}: click accepts one, Enter all in view, x rejects, w reviews.`);
    this.explains = false;
    this.request("points");
  }

  end() {
    this.drop();
    super.end();
  }
}

/** For tests only: on the root element as `__annotator`. */
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
    get suggestions() { return app.record ? [...app.shownSuggestions().values()] : []; },
    get selection() { return [...app.selection]; },
    get waiting() { return app.outbox.size; },
    get frames() { return app.frames; },
  };
}

/** @param {{model: any, el: HTMLElement}} context @returns {() => void} */
function render(context) {
  const app = new Annotator(context.model);
  Object.assign(app.page.root, { __annotator: forTests(app) });
  return mount(app, context);
}

export default { render };
