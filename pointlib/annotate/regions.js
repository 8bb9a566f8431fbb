/**
 * Regions in the annotator: their outlines, the tools that draw them, and the rectangle that is
 * proposed around what is clicked.
 *
 * A region is an area in which every object is clicked: its rings, lists of [x, y] in image pixels.
 *
 * Order of the file: pure parts, drawing.
 *
 * @typedef {[number, number][]} Ring
 * @typedef {{x: number, y: number}} Place
 */

import { clamp, plural, toImage, toStage } from "../widgets/common.js";

export const ENOUGH = 20; // points around which a region is proposed
const GRAB = 9; // CSS pixels: how near a corner or an edge must be
const MINUTE = 60_000; // ms

/**
 * The rectangle between two places, on the image.
 * @param {Place} from @param {Place} to @param {{width: number, height: number}} size @returns {Ring}
 */
export function boxRing(from, to, { width, height }) {
  const [x0, x1] = [from.x, to.x].map((x) => clamp(x, -0.5, width - 0.5)).sort((a, b) => a - b);
  const [y0, y1] = [from.y, to.y].map((y) => clamp(y, -0.5, height - 0.5)).sort((a, b) => a - b);
  return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];
}

/** Whether a ring is an upright rectangle. */
export function isBox(/** @type {Ring} */ ring) {
  const [a, b, c, d] = ring;
  return ring.length === 4 && ((a[1] === b[1] && b[0] === c[0] && c[1] === d[1] && d[0] === a[0])
    || (a[0] === b[0] && b[1] === c[1] && c[0] === d[0] && d[1] === a[1]));
}

/** A ring with one corner elsewhere; a rectangle stays one. @returns {Ring} */
export function withCorner(/** @type {Ring} */ ring, /** @type {number} */ i, /** @type {Place} */ { x, y }) {
  const before = ring[i];
  const moved = /** @type {Ring} */ (ring.map((corner, j) => (j === i ? [x, y] : corner)));
  if (!isBox(ring)) return moved;
  return moved.map(([cx, cy]) => [cx === before[0] ? x : cx, cy === before[1] ? y : cy]);
}

/**
 * The corner within `radius` image pixels of a place, or null.
 * @param {Iterable<[string, Ring[]]>} regions @param {Place} at @param {number} radius
 */
export function cornerAt(regions, at, radius) {
  let [best, least] = [null, radius];
  for (const [id, rings] of regions) {
    rings.forEach((ring, r) => ring.forEach(([x, y], i) => {
      const distance = Math.hypot(x - at.x, y - at.y);
      if (distance <= least) [best, least] = [{ id, rings, r, i }, distance];
    }));
  }
  return best;
}

/** How far a place is from the edge between two corners. */
function fromEdge(/** @type {Place} */ at, [ax, ay], [bx, by]) {
  const [dx, dy] = [bx - ax, by - ay];
  const t = clamp(((at.x - ax) * dx + (at.y - ay) * dy) / (dx * dx + dy * dy || 1), 0, 1);
  return Math.hypot(ax + t * dx - at.x, ay + t * dy - at.y);
}

/** The id of the region whose outline is within `radius` image pixels of a place, or null. */
export function outlineAt(/** @type {Iterable<[string, Ring[]]>} */ regions, /** @type {Place} */ at, /** @type {number} */ radius) {
  for (const [id, rings] of regions) {
    const near = (ring) => ring.some((corner, i) => fromEdge(at, corner, ring[(i + 1) % ring.length]) <= radius);
    if (rings.some(near)) return id;
  }
  return null;
}

/** The median distance of points to their nearest neighbour; 0 of fewer than two. */
export function usualGap(/** @type {Place[]} */ points) {
  const gaps = points.map((a) => Math.min(...points.filter((b) => b !== a).map((b) => Math.hypot(a.x - b.x, a.y - b.y))));
  return points.length < 2 ? 0 : gaps.sort((a, b) => a - b)[gaps.length >> 1];
}

/**
 * The rectangle to propose around points: with half the usual distance between neighbours as margin.
 * @param {Place[]} points @param {{width: number, height: number}} size @returns {Ring}
 */
export function proposedRing(points, size) {
  const margin = usualGap(points.slice(0, 500)) / 2; // of many points some tell enough
  const [xs, ys] = [points.map(({ x }) => x), points.map(({ y }) => y)];
  const edge = (/** @type {number} */ value) => Math.round(2 * value) / 2;
  return boxRing(
    { x: edge(Math.min(...xs) - margin), y: edge(Math.min(...ys) - margin) },
    { x: edge(Math.max(...xs) + margin), y: edge(Math.max(...ys) + margin) }, size);
}

/** How long ago something was, at `now`, ms. */
export function ago(/** @type {string} */ time, /** @type {number} */ now) {
  const minutes = Math.max(0, Math.floor((now - Date.parse(time)) / MINUTE));
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min ago`;
  return minutes < 48 * 60 ? `${plural(Math.floor(minutes / 60), "hour")} ago` : `${Math.floor(minutes / 1440)} days ago`;
}

/**
 * The line on what a model learnt from, how long ago and how well it does.
 * @param {any} facts  as `Learner.facts` gives them @param {number} now  ms
 */
export function learningWords(facts, now) {
  const { points, images, f1, error, n_held: held, time, share, why, is_on: on } = facts;
  const parts = [];
  if (share !== null) parts.push(`Learning \u2026 ${Math.round(100 * share)} %`);
  if (why) parts.push(why);
  if (points) {
    const well = f1 === null ? "nothing is held back yet to say how well"
      : `F1 ${f1.toFixed(2)} \u00b1 ${error.toFixed(2)} on ${plural(held, "point")} held back`;
    parts.push(`Learnt from ${plural(points, "point")} in ${plural(images, "image")}, ${ago(time, now)}: ${well}.`);
  } else if (on && !parts.length) {
    parts.push(`Learns from ${ENOUGH} points on, from images that are done (v) and from regions (b).`);
  }
  return parts.join(" ");
}

// ---------------------------------------------------------------------------- drawing

function traceRings(ctx, view, rings) {
  for (const ring of rings) {
    ring.forEach(([x, y], i) => {
      const at = toStage(view, x, y);
      ctx[i ? "lineTo" : "moveTo"](at.x, at.y);
    });
    ctx.closePath();
  }
}

/** An outline that is seen on any ground; `look` is "", "chosen" or "proposed". */
export function drawOutline(ctx, view, rings, look = "") {
  const colour = look ? "#F0E442" : "#FFF";
  ctx.lineJoin = "miter";
  ctx.beginPath();
  traceRings(ctx, view, rings);
  for (const [strokeStyle, lineWidth, dash] of [["#000B", 3.4, []], [colour, look === "chosen" ? 2.4 : 1.4, look === "proposed" ? [7, 5] : []]]) {
    Object.assign(ctx, { strokeStyle, lineWidth });
    ctx.setLineDash(dash);
    ctx.stroke();
  }
  ctx.setLineDash([]);
}

/** Squares on the corners, to be dragged. */
export function drawHandles(ctx, view, rings) {
  Object.assign(ctx, { fillStyle: "#F0E442", strokeStyle: "#000", lineWidth: 1 });
  for (const [x, y] of rings.flat()) {
    const at = toStage(view, x, y);
    ctx.fillRect(at.x - 4, at.y - 4, 8, 8);
    ctx.strokeRect(at.x - 4.5, at.y - 4.5, 9, 9);
  }
}

/** Darken what is in no region, and draw the outlines; on an empty layer. */
export function drawRegions(ctx, app) {
  const { record: { regions, width, height }, view } = app;
  if (!regions.size) return;
  const [from, to] = [toStage(view, -0.5, -0.5), toStage(view, width - 0.5, height - 0.5)];
  ctx.fillStyle = "#0004";
  ctx.fillRect(from.x, from.y, to.x - from.x, to.y - from.y);
  ctx.globalCompositeOperation = "destination-out";
  for (const rings of regions.values()) {
    ctx.fillStyle = "#000";
    ctx.beginPath();
    traceRings(ctx, view, rings);
    ctx.fill("evenodd");
  }
  ctx.globalCompositeOperation = "source-over";
  for (const [id, rings] of regions) {
    if (id === app.draft?.id) continue;
    drawOutline(ctx, view, rings, id === app.chosenRegion ? "chosen" : "");
    if (app.tool !== "points") drawHandles(ctx, view, rings);
  }
}

/** What is being drawn or proposed, over everything. */
export function drawDrafts(ctx, app) {
  const { view, draft, corners, proposal, pointer } = app;
  if (proposal) {
    drawOutline(ctx, view, [proposal], "proposed");
    drawHandles(ctx, view, [proposal]);
  }
  if (draft) drawOutline(ctx, view, draft.rings, "chosen");
  if (!corners) return;
  const open = [...corners, ...(pointer ? [[toImage(view, pointer.x, pointer.y)].map(({ x, y }) => [x, y])[0]] : [])];
  drawOutline(ctx, view, [open], "proposed");
  drawHandles(ctx, view, [corners]);
}

/** How near in image pixels, at zoom k, counts as on a corner or an outline. */
export const grabRadius = (/** @type {number} */ k, coarse = false) => (coarse ? 2.5 : 1) * GRAB / k;
