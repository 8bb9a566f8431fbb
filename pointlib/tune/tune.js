/**
 * The browser side of pointlib's tuner: one plain ES module, no build step, no network.
 *
 * Candidates are kept here, so moving a slider is a look-up (sweep.js): nothing waits for Python, and
 * the numbers keep updating while the kernel is busy. Python is sent the settings, and asked for the
 * pairs of the image in view, for pictures, and for what takes longer ("insights").
 *
 * Coordinates, view, image drawing, keys and the connection to Python: see common.js.
 * "Hits", "false positives" and "missed" are TP, FP and FN.
 *
 * Order of the file: constants, pure parts (the named exports), page, drawing, plots, one view with
 * its counting, input and messages.
 */

import {
  COLOURS, FINE, DRAG, clamp, toStage, toImage, pointRadius, plural, shortName, distinctPart, printed, STAGE_TOP, DISPLAY_BUTTONS, STRIP, ZOOM_BUTTONS, ROOM_BUTTONS, ROOM_KEYS,
  TONE_FIELDS, make, describe, cleared, decodePicture, scrollTo, focus, closeAll, Display, mount,
} from "../widgets/common.js";
import {
  FLOOR, GOALS, countAt, bestPairs, Tally, figures, addUp, sweepOf, bestThreshold, plateau,
  histogram, orderOf, heldBack,
} from "../sweep.js";

// ---------------------------------------------------------------------------- constants

const PAIRED = 3000; // found points up to which pairs are computed here, at every step
const REST = 80; // ms without a change before pairs are requested
const SLICE = 10; // ms of counting in one frame
const BINS = 48; // of the histogram

/** The colours of plots.py: hits, false positives, missed. */
export const MARKS = { hit: "#56b4e9", falsePositive: "#ff5a1f", missed: "#f0e442" };

/** Colour maps of the heatmap, as some of their colours. */
export const MAPS = {
  magma: ["#000004", "#180f3d", "#440f76", "#721f81", "#9e2f7f", "#cd4071", "#f1605d", "#fd9668", "#feca8d", "#fcfdbf"],
  viridis: ["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"],
  grey: ["#000000", "#ffffff"],
};

// ---------------------------------------------------------------------------- pure parts

/** 256 colours of a map, as 32-bit pixels without alpha. @param {string[]} colours */
export function rampOf(colours) {
  const stops = colours.map((colour) => [5, 3, 1].map((at) => parseInt(colour.slice(at, at + 2), 16)));
  return Uint32Array.from({ length: 256 }, (_, i) => {
    const place = (i / 255) * (stops.length - 1);
    const k = Math.min(Math.floor(place), stops.length - 2);
    const [blue, green, red] = stops[k].map((value, c) => Math.round(value + (stops[k + 1][c] - value) * (place - k)));
    return ((blue << 16) | (green << 8) | red) >>> 0;
  });
}

/** `47 found, 45 true: 44 hits, 3 false positives, 1 missed; mean error 1.2 px`; shorter if not annotated. */
export function countsInWords(/** @type {{tp: number, found: number, true: number, marked: boolean}} */ counts, errorPx = NaN) {
  const { tp, found, true: nTrue, marked } = counts;
  if (!marked) return `${found} found, image not annotated`;
  return `${found} found, ${nTrue} true: ${plural(tp, "hit")}, ${plural(found - tp, "false positive")}, ${nTrue - tp} missed${Number.isFinite(errorPx) ? `; mean error ${errorPx.toFixed(1)} px` : ""}`;
}

/** A number with two decimals, or a dash if undefined. */
export const twoDigits = (/** @type {number} */ value, digits = 2) => (Number.isFinite(value) ? value.toFixed(digits) : "\u2013");

/**
 * The key table, used by the handler and shown by `?`. Rows without `run` are mouse gestures.
 * "Ctrl" is Ctrl or Cmd.
 * @type {{group: string, show: string, text: string, keys?: string[],
 *         run?: (app: any, event: any) => void}[]}
 */
export const KEYS = [
  { group: "Settings", show: "\u2190 \u2192", keys: ["ArrowLeft", "ArrowRight", "Shift+ArrowLeft", "Shift+ArrowRight"], text: "threshold, by 0.01 (Shift 0.1)", run: (app, event) => app.nudge("threshold", (event.key === "ArrowLeft" ? -1 : 1) * (event.shiftKey ? 10 : 1)) },
  { group: "Settings", show: "\u2191 \u2193", keys: ["ArrowUp", "ArrowDown", "Shift+ArrowUp", "Shift+ArrowDown"], text: "minimum distance, by 0.1 px (Shift 1)", run: (app, event) => app.nudge("distance", (event.key === "ArrowDown" ? -1 : 1) * (event.shiftKey ? 10 : 1)) },
  { group: "Settings", show: "[ ]", keys: ["[", "]"], text: "match radius, by 0.1 px", run: (app, event) => app.nudge("radius", event.key === "[" ? -1 : 1) },
  { group: "Settings", show: "Drag", text: "the line in the histogram: threshold" },
  { group: "Settings", show: "Wheel", text: "on a slider: change it in small steps" },
  { group: "Best threshold for", show: "b", keys: ["b"], text: "F1", run: (app) => app.takeBest("f1") },
  { group: "Best threshold for", show: "c", keys: ["c"], text: "the count", run: (app) => app.takeBest("count") },
  { group: "Best threshold for", show: "e", keys: ["e"], text: "precision equal to recall", run: (app) => app.takeBest("equal") },
  { group: "Best threshold for", show: "l", keys: ["l"], text: "most hits at a limited share of false positives", run: (app) => app.takeBest("few false") },
  { group: "Best threshold for", show: "p", keys: ["p"], text: "a count that hardly changes (plateau)", run: (app) => app.takePlateau() },
  { group: "Classes", show: "1 \u2013 9", keys: [..."123456789"], text: "choose the class", run: (app, event) => app.chooseClass(Number(printed(event) || event.key) - 1) },
  { group: "Classes", show: "0", keys: ["0"], text: "all classes together", run: (app) => app.chooseClass(-1) },
  { group: "Images", show: "a d", keys: ["a", "d"], text: "previous, next image of the strip", run: (app, event) => app.stepImage(event.key.toLowerCase() === "a" ? -1 : 1) },
  { group: "Images", show: "w", keys: ["w"], text: "order of the strip: worst first, or by name", run: (app) => app.setOrder(app.by === "worst" ? "name" : "worst") },
  { group: "Images", show: ", .", keys: [",", "."], text: "previous, next error in this image", run: (app, event) => app.stepError(event.key === "," ? -1 : 1) },
  { group: "View", show: "Wheel", text: "zoom at the pointer" },
  { group: "View", show: "Drag", text: "pan" },
  { group: "View", show: "Point at", text: "a mark: its score and error" },
  { group: "View", show: "f", keys: ["f"], text: "fit the image into the view", run: (app) => app.fit() },
  { group: "View", show: "+ \u2212", keys: ["+", "=", "-"], text: "zoom", run: (app, event) => app.zoom(event.key === "-" ? 1 / 1.4 : 1.4) },
  { group: "View", show: "o", keys: ["o"], text: "heatmap over the image", run: (app) => app.toggleOverlay() },
  { group: "View", show: "m", keys: ["m"], text: "the next colour map", run: (app) => app.stepMap() },
  { group: "View", show: "h", keys: ["h"], text: "hide or show all marks", run: (app) => app.toggleHidden() },
  ...ROOM_KEYS,
  { group: "Other", show: "Escape", keys: ["Escape"], text: "close what is open; keys stay here", run: (app) => app.escape() },
  { group: "Other", show: "Tab", text: "to the controls and on, out of the widget (Shift+Tab back)" },
  { group: "Other", show: "?", keys: ["?"], text: "this help", run: (app) => app.toggleHelp() },
  { group: "Other", show: "Ctrl+S", keys: ["Ctrl+S"], text: "not needed: \u201cUse these\u201d writes the settings", run: (app) => app.say("\u201cUse these\u201d writes the settings into the model\u2019s folder.") },
];

// ---------------------------------------------------------------------------- page

const dialHtml = (name, text, title, step) => `
<div class="pl-dial" data-dial="${name}" title="${title}"><span>${text}</span>
  <input type="range" data-is="${name}" min="0" max="1" step="${step}" value="0" aria-label="${text}">
  <input type="number" data-is="${name}Field" min="0" step="${step}" aria-label="${text}, typed"></div>`;
const toggleHtml = (kind, text) => `<button class="pl-chip" data-show="${kind}" aria-pressed="true" title="Show ${text}"><canvas
  width="44" height="44"></canvas><span>${text}</span>${kind === "pair" ? "" : `<span class="pl-count" data-is="${kind}Count"></span>`}</button>`;
const markHtml = (goal, key, text, title) => `<button data-goal="${goal}" data-key="${key}" title="${title} (${key})">${text}
  <b data-is="best_${goal.replace(" ", "_")}"></b></button>`;
const TABS = [["numbers", "Numbers"], ["errors", "Errors"], ["trust", "Trust"], ["rules", "Rules"]];
/** The note above each insight, and the insights of each tab. */
const NOTES = { anatomy: "errorsNote", trust: "trustNote", rules: "rulesNote", ceiling: "ceilingNote" };
const INSIGHTS = { numbers: ["ceiling"], errors: ["anatomy"], trust: ["trust"], rules: ["rules", "ceiling"] };

/** Elements with `data-is` are found by that name; buttons with `data-key` act like that key. */
const PAGE = `
<div class="pl-main">
  <div class="pl-left">
    <div class="pl-bar" data-is="tools" role="group" aria-label="View">
      <div class="pl-group" data-is="heatGroup">
        <button data-key="o" data-is="overlay" aria-pressed="true" title="Heatmap over the image (o)">Heat</button>
        <input type="range" data-is="opacity" min="0" max="1" step="0.05" value="0.6" aria-label="Opacity of the heatmap"><span class="pl-value" hidden></span>
        <select data-is="map" aria-label="Colour map (m)" title="Colour map (m)">${Object.keys(MAPS).map((name) => `<option>${name}</option>`).join("")}</select>
      </div>
      <div class="pl-group" role="group" aria-label="Marks">${toggleHtml("hit", "hits")}${toggleHtml("falsePositive", "false positives")}${toggleHtml("missed", "missed")}${toggleHtml("pair", "pairs")}</div>
      ${DISPLAY_BUTTONS}
    </div>
    <div class="pl-stage" data-is="stage">
      <canvas class="pl-layer" data-is="image" aria-hidden="true"></canvas>
      <canvas class="pl-layer" data-is="heat" aria-hidden="true"></canvas>
      <canvas class="pl-layer" data-is="points" aria-hidden="true"></canvas>
      ${STAGE_TOP}
      <div class="pl-ask" data-is="ask" role="alertdialog" aria-label="Use these settings?" tabindex="-1" hidden>
        <span data-is="askText"></span>
        <div class="pl-group"><button data-is="sure">Use anyway</button><button data-is="unsure">Cancel</button></div>
      </div>
      <div class="pl-banner" data-is="banner" role="alert" hidden></div>
    </div>
  </div>
  <div class="pl-side">
    <div class="pl-chips" data-is="chips" role="group" aria-label="Class"></div>
    <div class="pl-dials" data-is="dials" role="group" aria-label="Settings">
      ${dialHtml("threshold", "Threshold", "Lowest score that counts (arrow keys left and right)", 0.01)}
      ${dialHtml("distance", "Min distance", "Of two points within this distance only the higher-scoring one is kept; pixels (arrow keys up and down)", 0.1)}
      ${dialHtml("radius", "Match radius", "The largest distance between a found point and its true point; pixels ([ and ])", 0.1)}
    </div>
    <canvas class="pl-plot pl-scores" data-is="scores" role="img"></canvas>
    <div class="pl-note" data-is="near"></div>
    <div class="pl-tabs"><div data-is="tabs" role="tablist" aria-label="About">${TABS.map(([name, text]) =>
      `<button role="tab" data-tab="${name}">${text}</button>`).join("")}</div>
      <button class="pl-primary" data-is="use" title="Write thresholds and distances into the model's folder; predict uses them">Use these</button></div>
    <div class="pl-note" data-is="useNote" hidden></div>
    <div class="pl-panels">
      <div data-panel="numbers" role="tabpanel" aria-label="Numbers">
        <table class="pl-table" data-is="table"><thead><tr><th></th><th title="Precision: share of found points that are hits">P</th>
          <th title="Recall: share of true points that are hit">R</th><th>F1</th><th>found</th><th>true</th>
          <th title="Error of the count; for several images the mean absolute error">off by</th></tr></thead><tbody></tbody></table>
        <div class="pl-curves"><canvas class="pl-plot" data-is="curve" role="img"></canvas><canvas class="pl-plot" data-is="pr" role="img"></canvas></div>
        <div class="pl-marks" data-is="marks" role="group" aria-label="Best threshold for">
          ${markHtml("f1", "b", "Best F1", "The threshold with the highest F1")}${markHtml("count", "c", "Best count", "The threshold with the smallest count error")}
          ${markHtml("equal", "e", "P = R", "As many points found as are true")}
          ${markHtml("few false", "l", "Few false", "Most hits with no more than the share of false positives below")}
          <label>Few false positives: at most <input type="number" data-is="mostFalse" min="0" max="100" step="1" value="5" aria-label="False positives allowed, percent"> % of found points</label>
        </div>
        <div class="pl-marks" data-is="plateaus"><button data-key="p" title="The middle of the widest range in which the count hardly changes (p)">Plateau <b data-is="plateau"></b></button>
          <span class="pl-value" data-is="plateauText"></span></div>
      </div>
      <div data-panel="errors" role="tabpanel" aria-label="Errors">
        <div class="pl-note" data-is="errorsNote"></div><div class="pl-bars" data-is="bars"></div>
        <div class="pl-list" data-is="flaws" role="group" aria-label="Examples"></div>
      </div>
      <div data-panel="trust" role="tabpanel" aria-label="Trust">
        <div class="pl-note" data-is="trustNote"></div><canvas class="pl-plot pl-trust" data-is="trust" role="img"></canvas>
        <label class="pl-hold">Hold back <input type="range" data-is="hold" min="0" max="0.5" step="0.05" value="0" aria-label="Share of labelled images held back"><span class="pl-value"></span></label>
        <div class="pl-note" data-is="interval"></div>
      </div>
      <div data-panel="rules" role="tabpanel" aria-label="Rules">
        <div class="pl-note" data-is="ceilingNote"></div><div class="pl-bars" data-is="ceiling"></div>
        <div class="pl-note" data-is="rulesNote"></div><div class="pl-bars" data-is="rules"></div>
        <div data-is="beside"></div>
      </div>
    </div>
  </div>
</div>
${STRIP}
<div class="pl-foot">
  <div class="pl-sentence" data-is="status" role="status" aria-live="polite">Connecting \u2026</div>
  <div class="pl-group"><label>Order <select data-is="order" title="Order of the images (w)"><option value="name">by name</option><option value="worst">worst first</option></select></label>
${ZOOM_BUTTONS}
  </div>
${ROOM_BUTTONS}
  <progress data-is="meter" aria-label="Images predicted" max="1" value="0" hidden></progress>
</div>`;

/** What a field does, and how a slider's value is shown. */
const FIELDS = {
  opacity: { run: (app, opacity) => app.setLook({ opacity }), words: (value) => `${Math.round(100 * value)} %` },
  map: { run: (app, map) => app.setLook({ map }) },
  threshold: { run: (app, value) => app.set("threshold", value) },
  thresholdField: { run: (app, value) => app.set("threshold", value) },
  distance: { run: (app, value) => app.set("distance", value) },
  distanceField: { run: (app, value) => app.set("distance", value) },
  radius: { run: (app, value) => app.set("radius", value) },
  radiusField: { run: (app, value) => app.set("radius", value) },
  mostFalse: { run: (app, percent) => app.setMostFalse(percent) },
  hold: { run: (app, share) => app.setHold(share), words: (value) => `${Math.round(100 * value)} %` },
  order: { run: (app, by) => app.setOrder(by) },
  ...TONE_FIELDS,
};
const EVERY = -2; // the pool of all classes, whichever is chosen
/** Steps of the dials, and the settings that they change. */
const DIALS = {
  threshold: { step: 0.01, of: "thresholds", digits: 4, fewest: 2 },
  distance: { step: 0.1, of: "min_distances", digits: 2, fewest: 1 },
  radius: { step: 0.1, of: "radius", digits: 2, fewest: 1 },
};

// ---------------------------------------------------------------------------- drawing

/** Trace a mark around (x, y): a ring, a cross or a square. */
function traceMark(ctx, kind, x, y, r) {
  ctx.beginPath();
  if (kind === "hit") ctx.arc(x, y, r, 0, 2 * Math.PI);
  if (kind === "missed") ctx.rect(x - r, y - r, 2 * r, 2 * r);
  if (kind === "pair") ctx.moveTo(x - 1.2 * r, y + 0.8 * r);
  if (kind === "pair") ctx.lineTo(x + 1.2 * r, y - 0.8 * r);
  if (kind !== "falsePositive") return;
  for (const side of [-1, 1]) {
    ctx.moveTo(x - 0.85 * r, y - 0.85 * side * r);
    ctx.lineTo(x + 0.85 * r, y + 0.85 * side * r);
  }
}

/** Draw a mark with a dark rim, to be visible on any background. */
function drawMark(ctx, kind, x, y, r) {
  traceMark(ctx, kind, x, y, r);
  ctx.lineCap = "round";
  for (const [strokeStyle, lineWidth] of [["#000D", 4.4], [MARKS[kind] ?? MARKS.hit, 2.2]]) {
    Object.assign(ctx, { strokeStyle, lineWidth });
    ctx.stroke();
  }
}

/** A mark, drawn once and then copied. */
function markSprite(app, kind, r) {
  const [key, half] = [`${kind} ${r} ${app.dpr}`, Math.ceil(r + 4)];
  if (!app.sprites.has(key)) {
    const canvas = make("canvas", { width: 2 * half * app.dpr, height: 2 * half * app.dpr });
    const ctx = canvas.getContext("2d");
    ctx.scale(app.dpr, app.dpr);
    drawMark(ctx, kind, half, half, r);
    app.sprites.set(key, canvas);
  }
  return app.sprites.use(key);
}

/** Colour the heatmap; if several classes are shown together, their maximum. */
function colourHeat(app) {
  const { heats } = app.entry;
  const shown = app.chosenClasses().map((c) => heats[c]).filter(Boolean);
  const key = `${app.index} ${app.chosenClasses()} ${app.look.map}`;
  if (app.heat?.key === key && app.heat.of === heats) return app.heat.canvas;
  const { width, height } = shown[0];
  const colours = rampOf(MAPS[app.look.map]);
  const ramp = colours.map((_, i) => // low values are transparent over an image, and skip the darkest colours
    (colours[app.hasImage ? 80 + Math.round((i * 175) / 255) : i] | ((app.hasImage ? Math.round(255 * Math.min(1, (i / 255) * 2.5) ** 0.8) : 255) << 24)) >>> 0);
  const canvas = make("canvas", { width, height });
  const picture = canvas.getContext("2d").createImageData(width, height);
  const pixels = new Uint32Array(picture.data.buffer);
  for (let i = 0; i < pixels.length; i++) {
    let value = shown[0].data[i];
    for (let c = 1; c < shown.length; c++) value = Math.max(value, shown[c].data[i]);
    pixels[i] = ramp[value];
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
  app.heat = { key, of: heats, canvas };
  return canvas;
}

function drawHeatLayer(app) {
  const ctx = cleared(app, app.page.heat);
  if (!app.record || !app.look.on || !app.entry.heats.length) return;
  const { view, dpr, record } = app;
  const canvas = colourHeat(app);
  ctx.setTransform(view.k * dpr, 0, 0, view.k * dpr, view.ox * dpr, view.oy * dpr);
  ctx.imageSmoothingEnabled = view.k * dpr < 1;
  ctx.globalAlpha = app.hasImage ? app.look.opacity : 1;
  ctx.drawImage(canvas, 0, 0, record.width, record.height);
  ctx.globalAlpha = 1;
}

/** Stage positions of the marks of each kind that are in view: x, y, x, y ... */
function placeMarks(app) {
  const { view, size } = app;
  const total = [...app.matched.values()].reduce((sum, { tally, n }) => sum + n + tally.nTrue, 0);
  const places = {};
  const put = (list, at, x, y) => {
    const [sx, sy] = [(x + 0.5) * view.k + view.ox, (y + 0.5) * view.k + view.oy];
    if (sx < -20 || sy < -20 || sx > size.width + 20 || sy > size.height + 20) return at;
    list[at] = sx;
    list[at + 1] = sy;
    return at + 2;
  };
  for (const kind of Object.keys(MARKS)) {
    const list = new Float32Array(2 * total);
    let end = 0;
    for (const { tally, n, isHit, isMissed } of app.shown[kind] ? app.matched.values() : []) {
      if (kind === "missed") {
        for (let i = 0; i < tally.nTrue; i++) if (tally.marked && isMissed(i)) end = put(list, end, tally.trues.x[i], tally.trues.y[i]);
        continue;
      }
      for (let j = 0; j < n; j++) if (isHit(j) === (kind === "hit")) end = put(list, end, tally.found.x[j], tally.found.y[j]);
    }
    places[kind] = list.subarray(0, end);
  }
  return places;
}

function drawPointLayer(app) {
  const ctx = cleared(app, app.page.points);
  if (!app.record || app.hidden) return;
  const places = placeMarks(app);
  const n = Object.values(places).reduce((sum, list) => sum + list.length / 2, 0);
  if (n > FINE) drawStamps(ctx, app, places);
  if (app.shown.pair) drawPairs(ctx, app);
  if (n > FINE) return;
  const r = Math.round(2 * pointRadius(app.view.k)) / 2;
  for (const [kind, list] of Object.entries(places)) {
    const [sprite, half] = [markSprite(app, kind, r), Math.ceil(r + 4)];
    const whole = (place) => Math.round((place - half) * app.dpr) / app.dpr; // sharp only on whole device pixels
    for (let i = 0; i < list.length; i += 2) ctx.drawImage(sprite, whole(list[i]), whole(list[i + 1]), 2 * half, 2 * half);
  }
}

/** A line from each true point to the found one it is paired with. */
function drawPairs(ctx, { view, size, matched }) {
  ctx.beginPath();
  for (const { tally, pairs } of matched.values()) {
    for (const [i, j] of pairs ?? []) {
      const [from, to] = [toStage(view, tally.trues.x[i], tally.trues.y[i]), toStage(view, tally.found.x[j], tally.found.y[j])];
      const outside = Math.max(from.x, to.x) < 0 || Math.max(from.y, to.y) < 0 || Math.min(from.x, to.x) > size.width || Math.min(from.y, to.y) > size.height;
      if (outside || Math.abs(from.x - to.x) + Math.abs(from.y - to.y) < 4) continue; // too short to see
      ctx.moveTo(from.x, from.y);
      ctx.lineTo(to.x, to.y);
    }
  }
  ctx.lineCap = "round";
  for (const [strokeStyle, lineWidth] of [["#000C", 3.4], ["#fff", 1.5]]) {
    Object.assign(ctx, { strokeStyle, lineWidth });
    ctx.stroke();
  }
}

/** The pixels of a small square of side 2 half + 1 that a mark fills if there are many; the rest is dark rim. */
const SHAPE = {
  hit: (dx, dy, half) => Math.max(Math.abs(dx), Math.abs(dy)) >= half - (half > 2 ? 1 : 0) && Math.abs(dx) + Math.abs(dy) < 2 * half,
  falsePositive: (dx, dy) => Math.abs(Math.abs(dx) - Math.abs(dy)) < 1,
  missed: () => true,
};

/** Many marks: a few pixels each, written into image data; a path each would be too slow. */
function drawStamps(ctx, app, places) {
  const { width, height } = ctx.canvas;
  if (app.stamps?.width !== width || app.stamps.height !== height) app.stamps = ctx.createImageData(width, height);
  const pixels = new Uint32Array(app.stamps.data.buffer).fill(0);
  const n = Object.values(places).reduce((sum, list) => sum + list.length / 2, 0);
  const spacing = Math.sqrt((app.size.width * app.size.height) / n);
  const half = Math.round(clamp(Math.min(pointRadius(app.view.k) / 2, spacing / 4), 1, 4) * app.dpr);
  for (const [kind, list] of Object.entries(places)) {
    const ink = rampOf([MARKS[kind], MARKS[kind]])[0] + 0xff000000;
    const [inside, rim] = [[], []];
    for (let dy = -half; dy <= half; dy++) {
      for (let dx = -half; dx <= half; dx++) {
        if (SHAPE[kind](dx, dy, half)) inside.push(dy * width + dx);
        else if (half > 1) rim.push(dy * width + dx);
      }
    }
    for (let i = 0; i < list.length; i += 2) {
      const [x, y] = [Math.round(list[i] * app.dpr), Math.round(list[i + 1] * app.dpr)];
      if (x < half || y < half || x >= width - half || y >= height - half) continue;
      const at = y * width + x;
      for (const by of rim) pixels[at + by] = 0xb0000000;
      for (const by of inside) pixels[at + by] = ink;
    }
  }
  ctx.putImageData(app.stamps, 0, 0);
}

/** Draw the tooltip of the mark under the pointer, or of the error being shown. */
function drawTopLayer(app) {
  const ctx = cleared(app, app.page.top);
  if (!app.record) return;
  const { spot } = app;
  const tip = app.gesture?.moved || app.hidden ? null : spot ?? app.under(app.pointer);
  if (!tip) return;
  const { x, y } = toStage(app.view, tip.x, tip.y);
  const r = pointRadius(app.view.k) + 5;
  ctx.beginPath();
  ctx.arc(x, y, r, 0, 2 * Math.PI);
  for (const [strokeStyle, lineWidth] of [["#000", 4], ["#fff", 2]]) {
    Object.assign(ctx, { strokeStyle, lineWidth });
    ctx.stroke();
  }
  ctx.font = "12px system-ui, sans-serif";
  const width = ctx.measureText(tip.text).width + 14;
  const left = clamp(x + r + 6 + width > app.size.width ? x - r - 6 - width : x + r + 6, 2, Math.max(2, app.size.width - width - 2));
  const top = clamp(y - 12, 2, Math.max(2, app.size.height - 26));
  ctx.fillStyle = "#000d";
  ctx.beginPath();
  ctx.roundRect(left, top, width, 24, 4);
  ctx.fill();
  Object.assign(ctx, { fillStyle: "#fff", textBaseline: "middle" });
  ctx.fillText(tip.text, left + 7, top + 12.5);
}

// ---------------------------------------------------------------------------- plots

/** A plot's cleared context and its frame in CSS pixels; null if it is not displayed. */
function plotOf(app, canvas, { left = 8, right = 8, top = 6, bottom = 16 } = {}) {
  const { width, height } = app.boxes.get(canvas) ?? {};
  if (!width || !height) return null;
  const ctx = canvas.getContext("2d");
  ctx.setTransform(app.dpr, 0, 0, app.dpr, 0, 0);
  ctx.clearRect(0, 0, width, height);
  Object.assign(ctx, { font: "10.5px system-ui, sans-serif", lineJoin: "round", lineCap: "butt", globalAlpha: 1 });
  ctx.setLineDash([]);
  const [x0, x1, y0, y1] = [left, width - right, height - bottom, top];
  return { ctx, x0, x1, y0, y1, x: (part) => x0 + part * (x1 - x0), y: (part) => y0 + part * (y1 - y0) };
}

function line(ctx, points, strokeStyle, lineWidth = 1, dash = []) {
  Object.assign(ctx, { strokeStyle, lineWidth });
  ctx.setLineDash(dash);
  ctx.beginPath();
  for (const [x, y] of points) ctx.lineTo(x, y);
  ctx.stroke();
  ctx.setLineDash([]);
}

/** Draw text; with a halo if it may cover a curve or a bar. */
function label(ctx, text, x, y, fillStyle, textAlign = "center", textBaseline = "alphabetic", halo = "") {
  Object.assign(ctx, { fillStyle, textAlign, textBaseline, strokeStyle: halo, lineWidth: 3 });
  if (halo) ctx.strokeText(text, x, y);
  ctx.fillText(text, x, y);
}

function dot(ctx, x, y, fillStyle, rim, r = 4.5) {
  ctx.beginPath();
  ctx.arc(x, y, r, 0, 2 * Math.PI);
  Object.assign(ctx, { fillStyle, strokeStyle: rim, lineWidth: 2 });
  ctx.fill();
  ctx.stroke();
}

/** Baseline and ticks of an axis of scores. */
function scoreAxis(app, { ctx, x, x0, x1, y0 }, at) {
  line(ctx, [[x0, at], [x1, at]], app.inks.line);
  for (const tick of [0.2, 0.4, 0.6, 0.8, 1]) {
    if (tick <= app.topScore) label(ctx, tick.toFixed(1), x(app.partOf(tick)), y0 + 12, app.inks.faint);
  }
}

/** The threshold line of each shown class, with a handle. */
function thresholdLines(app, { ctx, x, y0, y1 }) {
  for (const threshold of new Set(app.chosenClasses().map((c) => app.settings.thresholds[app.classes[c]]))) {
    const at = x(app.partOf(threshold));
    line(ctx, [[at, y1], [at, y0]], app.inks.brand, 2);
    ctx.fillStyle = app.inks.brand;
    ctx.beginPath();
    ctx.roundRect(at - 4, y1 - 3, 8, 8, 2);
    ctx.fill();
  }
}

/** Histogram of scores: hits above the axis, false positives below; pale under the threshold. */
function drawScores(app) {
  const plot = plotOf(app, app.page.scores);
  const pool = app.pool();
  if (!plot || !pool) return;
  const { ctx, x, x0, x1, y0, y1 } = plot;
  const { hits, others } = pool.bins;
  const [known, n] = [app.hasTruth, hits.length];
  const [up, down] = known ? [hits, others] : [others, []];
  const [high, low] = [Math.max(1, ...up), Math.max(0, ...down)].map(Math.sqrt);
  const ground = y1 + (y0 - y1) * (high / (high + low));
  const thresholds = app.chosenClasses().map((c) => app.settings.thresholds[app.classes[c]]);
  const wide = (x1 - x0) / n;
  for (const [bins, way, colour] of [[up, -1, MARKS.hit], [down, 1, MARKS.falsePositive]]) {
    ctx.fillStyle = colour;
    bins.forEach((count, k) => {
      const score = FLOOR + ((k + 0.5) / n) * (app.topScore - FLOOR);
      ctx.globalAlpha = score >= Math.min(...thresholds) ? 1 : 0.35;
      const tall = (Math.sqrt(count) * (y0 - y1)) / (high + low);
      if (count) ctx.fillRect(x0 + k * wide, way < 0 ? ground - tall : ground, Math.max(wide - 1, 1), tall);
    });
  }
  ctx.globalAlpha = 1;
  scoreAxis(app, plot, ground);
  if (known) {
    label(ctx, "true", x0 + 2, y1 + 8, app.inks.faint, "left", "alphabetic", app.inks.ground);
    if (low) label(ctx, "false", x0 + 2, y0 - 3, app.inks.faint, "left", "alphabetic", app.inks.ground);
  }
  thresholdLines(app, plot);
}

/** Entries of a sweep, about one per pixel, from the highest threshold down. */
function sampled({ thresholds }, n = 240) {
  const last = thresholds.length - 1;
  if (last < n) return Array.from({ length: last + 1 }, (_, k) => k);
  return Array.from({ length: n + 1 }, (_, i) => Math.round((i / n) * last));
}

/** Entries of a sweep at n equally spaced thresholds; -1 if nothing is found. */
function atSteps(sweep, n, top) {
  return Array.from({ length: n + 1 }, (_, i) => {
    const threshold = FLOOR + (i / n) * (top - FLOOR);
    return [threshold, countAt(sweep.thresholds, threshold) - 1];
  });
}

/** Precision, recall and F1 against the threshold; without true points, the count. */
function drawCurve(app) {
  const plot = plotOf(app, app.page.curve, { left: 22, right: 12 });
  const pool = app.pool();
  if (!plot || !pool) return;
  if (!app.hasTruth) return drawCounts(app, plot, pool);
  const { ctx, x, y, x0, x1, y1 } = plot;
  for (const tick of [0, 0.5, 1]) {
    line(ctx, [[x0, y(tick)], [x1, y(tick)]], app.inks.line, tick ? 0.5 : 1);
    label(ctx, `${tick}`, x0 - 4, y(tick), app.inks.faint, "right", "middle");
  }
  scoreAxis(app, plot, y(0));
  const { found, tp, nTrue } = pool.sweep;
  const steps = atSteps(pool.sweep, 160, app.topScore).filter(([, k]) => k >= 0);
  const curves = [["P", COLOURS[0], [5, 2], (k) => tp[k] / found[k]], ["R", COLOURS[2], [2, 2], (k) => tp[k] / nTrue],
    ["F1", app.inks.text, [], (k) => (2 * tp[k]) / (found[k] + nTrue)]];
  for (const [name, colour, dash, value] of nTrue ? curves : []) {
    line(ctx, steps.map(([threshold, k]) => [x(app.partOf(threshold)), y(value(k))]), colour, name === "F1" ? 2 : 1.5, dash);
  }
  const heights = steps.length ? curves.map(([, , , value]) => value(steps[0][1])) : [];
  const names = heights.map((_, c) => c).sort((a, b) => heights[b] - heights[a]); // the highest first, without overlap
  names.reduce((above, c) => {
    const at = clamp(Math.max(y(heights[c]), above + 11), y1 + 4, plot.y0 - 4);
    label(ctx, curves[c][0], x0 + 3, at, curves[c][1], "left", "middle", app.inks.ground);
    return at;
  }, -Infinity);
  for (const best of Object.values(app.singleBest() ?? {})) {
    const k = countAt(pool.sweep.thresholds, best) - 1;
    if (k >= 0) dot(ctx, x(app.partOf(best)), y((2 * tp[k]) / (found[k] + nTrue)), app.inks.ground, app.inks.faint, 3);
  }
  thresholdLines(app, plot);
  const { f1 } = app.numbers.set;
  const threshold = app.commonThreshold();
  if (Number.isFinite(f1) && threshold !== null) dot(ctx, x(app.partOf(threshold)), y(f1), app.inks.brand, app.inks.ground);
}

/** The count against the threshold, with the plateau shaded. */
function drawCounts(app, plot, { sweep, flat }) {
  const { ctx, x, y, x0, x1, y0, y1 } = plot;
  const most = Math.max(1, sweep.found.at(-1) ?? 1);
  ctx.fillStyle = app.inks.raised;
  if (flat[0] < flat[1]) ctx.fillRect(x(app.partOf(flat[0])), y1, x(app.partOf(flat[1])) - x(app.partOf(flat[0])), y0 - y1);
  scoreAxis(app, plot, y(0));
  const height = (n) => y(Math.log1p(n) / Math.log1p(most));
  for (const n of [1, 10, 100, 1000, 10_000, 100_000].filter((n) => n <= most)) {
    line(ctx, [[x0, height(n)], [x1, height(n)]], app.inks.line, 0.5);
    label(ctx, n >= 1000 ? `${n / 1000}k` : `${n}`, x0 - 4, height(n), app.inks.faint, "right", "middle");
  }
  line(ctx, atSteps(sweep, 160, app.topScore).map(([t, k]) => [x(app.partOf(t)), height(k < 0 ? 0 : sweep.found[k])]), app.inks.text, 2);
  thresholdLines(app, plot);
}

/** Precision against recall, over lines of equal F1. */
function drawPr(app) {
  const plot = plotOf(app, app.page.pr, { left: 14, right: 8 });
  const pool = app.pool();
  if (!plot || !pool || !app.hasTruth) return;
  const { ctx, x, y, x0, y0 } = plot;
  for (const f1 of [0.2, 0.4, 0.6, 0.8]) {
    const recalls = Array.from({ length: 41 }, (_, i) => f1 / (2 - f1) + (i / 40) * (1 - f1 / (2 - f1)));
    line(ctx, recalls.map((r) => [x(r), y((f1 * r) / (2 * r - f1))]), app.inks.line, 0.75);
    label(ctx, `${f1}`, x(1) - 1, y(f1 / (2 - f1)) - 2, app.inks.faint, "right", "alphabetic", app.inks.ground);
  }
  line(ctx, [[x(0), y(1)], [x(0), y(0)], [x(1), y(0)]], app.inks.line);
  label(ctx, "recall", x(0.5), y0 + 12, app.inks.faint);
  ctx.save();
  ctx.translate(x0 - 4, y(0.5));
  ctx.rotate(-Math.PI / 2);
  label(ctx, "precision", 0, 0, app.inks.faint);
  ctx.restore();
  const { found, tp, nTrue } = pool.sweep;
  if (!nTrue) return;
  line(ctx, sampled(pool.sweep).map((k) => [x(tp[k] / nTrue), y(tp[k] / found[k])]), app.inks.text, 2);
  for (const best of Object.values(app.singleBest() ?? {})) {
    const k = countAt(pool.sweep.thresholds, best) - 1;
    if (k >= 0) dot(ctx, x(tp[k] / nTrue), y(tp[k] / found[k]), app.inks.ground, app.inks.faint, 3);
  }
  const { precision, recall } = app.numbers.set;
  if (Number.isFinite(precision) && Number.isFinite(recall)) dot(ctx, x(recall), y(precision), app.inks.brand, app.inks.ground);
}

/** Reliability: the share of true points by score; the diagonal is perfect calibration. */
function drawTrust(app) {
  const plot = plotOf(app, app.page.trust, { left: 26, right: 10 });
  const { bins = [] } = app.insights.trust?.data ?? {};
  if (!plot) return;
  const { ctx, x, y, x0, x1 } = plot;
  for (const tick of [0, 0.5, 1]) {
    line(ctx, [[x0, y(tick)], [x1, y(tick)]], app.inks.line, tick ? 0.5 : 1);
    label(ctx, `${tick}`, x0 - 4, y(tick), app.inks.faint, "right", "middle");
  }
  for (const tick of [0.2, 0.4, 0.6, 0.8, 1]) label(ctx, tick.toFixed(1), x(tick), plot.y0 + 12, app.inks.faint);
  const most = Math.max(1, ...bins.map(({ n }) => n));
  for (const { low, high, share, n } of bins.filter((bin) => bin.n)) {
    ctx.fillStyle = MARKS.hit;
    ctx.globalAlpha = 0.25 + 0.75 * Math.sqrt(n / most);
    ctx.fillRect(x(low) + 1, y(share), x(high) - x(low) - 2, plot.y0 - y(share));
  }
  ctx.globalAlpha = 1;
  line(ctx, [[x(0), y(0)], [x(1), y(1)]], app.inks.text, 1.2, [4, 3]);
}

// ---------------------------------------------------------------------------- one view

const NOTHING = { tp: 0, found: 0, true: 0 };
const isObject = (value) => typeof value === "object" && value !== null;
const equal = (a, b) => a === b || (isObject(a) && isObject(b) && Object.keys(a).length === Object.keys(b).length
  && Object.keys(a).every((key) => equal(a[key], b[key])));
const write = (element, text) => element.textContent !== text && (element.textContent = text);
const row = (...cells) => make("tr", {}, ...cells.map((text, i) => make(i ? "td" : "th", i ? {} : { scope: "row" }, text)));

/** The grey values of a heatmap. */
async function decodeHeat(bytes) {
  const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }), { colorSpaceConversion: "none" });
  const { width, height } = bitmap;
  const ctx = make("canvas", { width, height }).getContext("2d", { willReadFrequently: true });
  ctx.drawImage(bitmap, 0, 0);
  bitmap.close();
  const pixels = ctx.getImageData(0, 0, width, height).data;
  const data = new Uint8Array(width * height);
  for (let i = 0; i < data.length; i++) data[i] = pixels[4 * i];
  return { width, height, data };
}

/** One view of the widget: its display, user input and messages from Python. */
class Tuner extends Display {
  // the set; for each image the tallies of its classes, or null until they arrive
  classes = ["point"]; exclusive = false; tallies = []; errors = []; labelled = []; hasTruth = false; hasImage = true;
  settings = { thresholds: {}, min_distances: {}, radius: {} }; limits = { min_distance: 20, radius: 50 };
  chosen = 0; mostFalse = 0.05; hold = 0; permutation = []; held = new Set(); done = new Set(); topScore = 1;
  // counts; `queue` are the images to recount, `pools` what is pooled over all images, by class
  queue = []; pools = new Map(); images = []; numbers = { image: figures(NOTHING), set: figures(NOTHING), classes: {} };
  matched = new Map(); errorPx = NaN; pale = true; updates = 0;
  // the strip
  order = []; by = "name"; places = []; heading = 1; plain = new Set(); // plain: images requested as PNG
  // drawing; `spot` is the error selected by keys, `target` where to go once the image arrives
  look = { on: true, opacity: 0.6, map: "magma" }; shown = { hit: true, falsePositive: true, missed: true, pair: true }; hidden = false;
  heat = null; boxes = new Map(); inks = {}; spot = null; target = null; tab = "numbers";
  // messages; `step` counts changes of the dials, `asked` is the last one for which pairs were requested
  step = 0; asked = 0; answered = 0; answer = null; told = -Infinity; seq = 0; insights = {}; wanted = {}; kind = ""; canUse = ""; part = "";

  constructor(model) {
    super(model, { name: "pl-tuner", html: PAGE, keys: KEYS, fields: FIELDS });
    this.listen();
    this.chooseTab("numbers");
    for (const button of this.page.root.querySelectorAll("[data-show]")) {
      const ctx = button.firstChild.getContext("2d");
      ctx.scale(2, 2);
      drawMark(ctx, button.dataset.show, 11, 11, 6);
    }
  }

  /** The number of images that are predicted, or cannot be. */
  get ready() { return this.done.size; }

  chosenClasses() {
    return this.chosen < 0 ? this.every() : [this.chosen];
  }

  /** The threshold of the shown classes, or null if they differ or it has not arrived yet. */
  commonThreshold() {
    const all = this.valuesOf("threshold");
    return all.length === 1 ? all[0] ?? null : null;
  }

  /** The position of a score on an axis of scores, 0 to 1. */
  partOf(score) {
    return (score - FLOOR) / (this.topScore - FLOOR);
  }

  // -------------------------------------------------------------- frames

  paint(dirty) {
    if (this.queue.length) this.work(dirty);
    if (dirty.has("count")) this.count();
    if (dirty.has("image") || dirty.has("heat")) drawHeatLayer(this);
    if (dirty.has("points")) drawPointLayer(this);
    if (dirty.has("top")) drawTopLayer(this);
    if (dirty.has("count") || dirty.has("side")) this.drawSide();
    if (dirty.has("count")) this.updates += 1;
  }

  resize() {
    const { root } = this.page;
    root.classList.toggle("pl-narrow", root.clientWidth > 0 && root.clientWidth < 760);
    super.resize();
    for (const canvas of root.querySelectorAll("canvas.pl-plot")) {
      const { clientWidth: width, clientHeight: height } = canvas;
      const before = this.boxes.get(canvas);
      if (before?.width === width && before.height === height && before.dpr === this.dpr) continue;
      this.boxes.set(canvas, { width, height, dpr: this.dpr });
      Object.assign(canvas, { width: Math.round(width * this.dpr), height: Math.round(height * this.dpr) });
    }
    this.request("side");
  }

  tick() {
    super.tick();
    if (getComputedStyle(this.page.root).color !== this.inks.text) this.request("side"); // the theme changed
  }

  /** Curves and the like, in the colours of the theme. */
  drawSide() {
    const style = getComputedStyle(this.page.root);
    const read = (name) => style.getPropertyValue(`--pl-${name}`).trim();
    this.inks = { text: style.color, faint: read("faint"), line: read("line"), brand: read("brand"), ground: read("ground"), raised: read("raised") };
    drawScores(this);
    if (this.tab === "numbers") [drawCurve, drawPr].forEach((draw) => draw(this));
    if (this.tab === "trust") drawTrust(this);
  }

  // -------------------------------------------------------------- counting

  /** Mark tallies of classes as stale: recount the image in view at once, the rest when there is time. */
  outdate(classes = this.classes.map((_, c) => c)) {
    for (const tallies of this.tallies) for (const c of classes) if (tallies) tallies[c].stale = true;
    this.queue = this.tallies.flatMap((tallies, i) => (tallies ? [i] : [])).reverse();
    this.recount(this.index);
  }

  recount(index) {
    (this.tallies[index] ?? []).forEach((tally, c) => {
      if (tally.stale) tally.recount(this.settings.min_distances[this.classes[c]], this.settings.radius[this.classes[c]]);
    });
  }

  /** Count for one time slice; pooled results follow at the end. */
  work(dirty) {
    const until = performance.now() + SLICE;
    while (this.queue.length && performance.now() < until) this.recount(this.queue.pop());
    dirty.add("count");
    if (this.queue.length) this.request("count");
    else this.pools.clear();
  }

  /** Images included in the numbers: annotated, counted, not held back. */
  countedImages() {
    return this.tallies.flatMap((tallies, i) => (tallies && this.hasTruth === this.labelled[i] && !this.held.has(i) ? [i] : []));
  }

  /** Pooled results over all images for one class, or for the chosen ones; null if nothing is ready. */
  pool(chosen = this.chosen) {
    const known = this.pools.get(chosen);
    if (known) return known;
    const images = this.countedImages();
    if (!images.length) return null;
    const classes = chosen === EVERY ? this.every() : chosen < 0 ? this.chosenClasses() : [chosen];
    const tallies = images.map((i) => classes.map((c) => this.tallies[i][c]));
    const sweep = sweepOf(tallies);
    const pool = { sweep, flat: plateau(sweep), bins: histogram(tallies.flat(), BINS, this.topScore), best: {} };
    if (chosen >= 0 || this.exclusive) for (const goal of GOALS) pool.best[goal] = bestThreshold(sweep, goal, this.mostFalse);
    this.pools.set(chosen, pool);
    return pool;
  }

  /** The indices of all classes. */
  every() { return this.classes.map((_, c) => c); }

  /** The classes that a dial moves: where an object has one class, one threshold finds all. */
  movedBy(dialName) {
    return this.exclusive && dialName !== "radius" ? this.every() : this.chosenClasses();
  }

  /** The best threshold for a goal, of each class that it is for. */
  bestOf(goal) {
    return this.movedBy("threshold").map((c) => this.pool(this.exclusive ? EVERY : c)?.best[goal] ?? NaN);
  }

  /** The best thresholds of the chosen class; null if several are shown. */
  singleBest() {
    if (this.exclusive) return this.pool(EVERY)?.best;
    return this.chosenClasses().length === 1 ? this.pool(this.chosenClasses()[0])?.best : null;
  }

  /** All numbers at the current settings. */
  count() {
    const { classes, settings, tallies, names } = this;
    const at = (i) => classes.map((name, c) => tallies[i]?.[c].at(settings.thresholds[name]) ?? NOTHING);
    const perImage = tallies.map((_, i) => at(i));
    const shown = this.chosenClasses();
    const over = (lists) => {
      const off = lists.map((list) => list.reduce((sum, { found, true: n }) => sum + found - n, 0));
      const error = off.reduce((sum, by) => sum + Math.abs(by), 0) / lists.length;
      return { ...figures(addUp(lists.flat())), count_error: error, n_images: lists.length };
    };
    const counted = this.countedImages();
    this.images = perImage.map((list, i) => ({ ...addUp(shown.map((c) => list[c])), marked: this.labelled[i], ready: tallies[i] !== null }));
    this.numbers = {
      image: over([shown.map((c) => perImage[this.index]?.[c] ?? NOTHING)]),
      set: over(counted.map((i) => shown.map((c) => perImage[i][c]))),
      classes: Object.fromEntries(classes.map((name, c) => [name, over(counted.map((i) => [perImage[i][c]]))])),
    };
    this.pale = this.queue.length > 0 || this.ready < names.length;
    this.pairUp();
    this.showNumbers();
    for (const place of this.cells.keys()) this.paintThumb(place);
  }

  /** Find the hits in the image in view: by pairs computed here if there are not too many points. */
  pairUp() {
    const answer = this.answer?.step === this.step ? this.answer : null;
    this.matched = new Map();
    const few = this.numbers.image.found <= PAIRED;
    for (const c of this.tallies[this.index] ? this.chosenClasses() : []) {
      const [tally, name] = [this.tallies[this.index][c], this.classes[c]];
      const n = countAt(tally.scores, this.settings.thresholds[name]);
      const paired = !tally.marked ? null : answer ? fromAnswer(answer.pairs[name] ?? [], tally, n) : few ? bestPairs(tally.near, n, tally.nTrue) : null;
      this.matched.set(name, { tally, n, from: answer ? "python" : paired ? "browser" : "counts", ...lookUps(tally, n, paired) });
    }
    const far = [...this.matched.values()].flatMap(({ pairs, errorOf }) => (pairs ?? []).map(([, j]) => errorOf(j)));
    this.errorPx = far.reduce((sum, by) => sum + by, 0) / far.length;
    this.showStatus();
    this.request("points", "top");
  }

  // -------------------------------------------------------------- the dials

  /** The settings changed; recount `classes` (null: a threshold changed, which is a look-up). */
  changed({ classes = null, tell = true } = {}) {
    this.step += 1;
    if (classes) this.outdate(classes);
    this.spot = null;
    this.showDials();
    this.request("count", "top");
    if (tell) this.tell();
    this.later("match", REST, () => this.askMatch());
    this.later("rest", 400, () => this.rest());
  }

  /** Set a dial, for the chosen class or for all. */
  set(dialName, value) {
    if (typeof value !== "number" || !Number.isFinite(value)) return this.showDials(true);
    if (this.valuesOf(dialName).length > 1) this.say("All classes now have the same value. Choose a class to change it alone.");
    this.turn(dialName, () => value);
  }

  /** Change a dial, for each chosen class from its current value. */
  turn(dialName, from) {
    const { limits, settings, classes } = this;
    const { of } = DIALS[dialName];
    const [low, high] = { threshold: [FLOOR, Math.max(1, this.topScore)], distance: [0, limits.min_distance], radius: [0, limits.radius] }[dialName];
    const place = settings[of];
    const moved = this.movedBy(dialName);
    for (const c of moved) place[classes[c]] = clamp(from(place[classes[c]]), low, high);
    this.changed({ classes: dialName === "threshold" ? null : moved });
    this.showDials(true);
  }

  /** The distinct values of a dial for the chosen classes, the first class's first. */
  valuesOf(dialName) {
    const { of } = DIALS[dialName];
    return [...new Set(this.movedBy(dialName).map((c) => this.settings[of][this.classes[c]]))];
  }

  /** Change a dial by a number of steps, on the grid of steps. */
  nudge(dialName, steps) {
    const { step, fewest } = DIALS[dialName];
    const onGrid = (at) => (steps > 0 ? Math.floor(at + 1e-6) : Math.ceil(at - 1e-6));
    this.turn(dialName, (value) => Number(((onGrid(value / step) + steps) * step).toFixed(4)));
    const values = this.valuesOf(dialName).sort((a, b) => a - b).map((value) => value.toFixed(fewest));
    this.say(`${{ threshold: "Threshold", distance: "Minimum distance", radius: "Match radius" }[dialName]} ${[...new Set([values[0], values.at(-1)])].join(" to ")}`);
  }

  takeBest(goal) {
    if (!this.hasTruth) return this.say("No image is annotated, so no threshold can be best. The plateau (p) needs no true points.");
    const best = this.bestOf(goal);
    if (!best.some(Number.isFinite)) return this.say("There is no such threshold.");
    best.forEach((threshold, k) => {
      if (Number.isFinite(threshold)) this.settings.thresholds[this.classes[this.movedBy("threshold")[k]]] = threshold;
    });
    this.changed();
  }

  takePlateau() {
    const [low, high] = this.pool()?.flat ?? [NaN, NaN];
    if (!Number.isFinite(low)) return this.say("There is no plateau: nothing is found.");
    this.set("threshold", (low + high) / 2);
  }

  setMostFalse(percent) {
    if (!Number.isFinite(percent)) percent = 100 * this.mostFalse;
    this.mostFalse = clamp(percent, 0, 100) / 100;
    describe(FIELDS, this.page.mostFalse, Number((100 * this.mostFalse).toFixed(2)));
    this.pools.clear();
    this.changed();
  }

  setHold(share) {
    Object.assign(this, { hold: share, held: heldBack(this.permutation, share) });
    this.pools.clear();
    this.changed();
  }

  chooseClass(c) {
    if (c >= this.classes.length || (c < 0 && this.classes.length === 1)) return;
    this.chosen = c;
    this.showChips();
    this.request("heat");
    this.changed({ tell: false });
  }

  /** No input for a while: do what is slow. */
  rest() {
    this.sortStrip();
    this.describePlots();
    this.askInsights();
  }

  // -------------------------------------------------------------- what is shown

  /** Update sliders and fields; a focused field is left alone unless `all`. */
  showDials(all = false) {
    const { page } = this;
    for (const [name, { digits }] of Object.entries(DIALS)) {
      const [value, ...others] = this.valuesOf(name);
      const { fewest } = DIALS[name];
      const short = `${Number(value?.toFixed(digits))}`;
      const mixed = others.length > 0;
      if (value === undefined) continue;
      page[name].value = value;
      page[name].ariaValueText = `${Number(value.toFixed(digits))}${name === "threshold" ? "" : " pixels"}`;
      const field = page[`${name}Field`];
      field.placeholder = mixed ? "differ" : "";
      if (all || !field.matches(":focus")) field.value = mixed ? "" : /\.\d\d/.test(short) ? short : value.toFixed(fewest);
    }
  }

  /** A class name for a narrow place. */
  brief(name) { return distinctPart(name, [...this.classes].sort()); }

  showChips() {
    const { chips } = this.page;
    chips.hidden = this.classes.length < 2;
    const names = this.classes.length > 1 ? ["all", ...this.classes] : [];
    while (chips.children.length > names.length) chips.lastChild.remove();
    names.forEach((name, k) => {
      const title = k ? `${name} alone (key ${k})` : "All classes together (key 0)";
      const chip = chips.children[k] ?? chips.appendChild(make("button", { type: "button", className: "pl-chip", onclick: () => this.chooseClass(k - 1) }, make("span")));
      Object.assign(chip, { title, ariaLabel: title, ariaPressed: String(k - 1 === this.chosen) });
      write(chip.firstChild, k ? this.brief(name) : name);
    });
    if (names.length) scrollTo(chips, chips.children[this.chosen + 1]); // visible, if a key chose it
  }

  /** Update counts, table and best thresholds; only changed text is written. */
  showNumbers() {
    const { page, numbers, names, index } = this;
    const { image, set } = numbers;
    const marked = this.labelled[index];
    write(page.hitCount, marked ? `${image.tp}` : "");
    write(page.falsePositiveCount, marked ? `${image.found - image.tp}` : "");
    write(page.missedCount, marked ? `${image.true - image.tp}` : "");
    const several = this.classes.length > 1;
    const rows = [["this image", { ...image, signed: true }, marked], [this.setName(), set, this.hasTruth],
      ...(this.hasCeiling ? [[several && this.chosen >= 0 ? "perfect, all classes" : "perfect network", this.insights.ceiling?.data ?? NOTHING, true]] : []),
      ...(several ? this.classes.map((name) => [this.brief(name), numbers.classes[name], this.hasTruth, name]) : [])];
    const body = page.table.tBodies[0];
    while (body.rows.length > rows.length) body.lastChild.remove();
    rows.forEach(([name, n, known, title = name], k) => {
      const tr = body.rows[k] ?? body.appendChild(row("", "", "", "", "", "", ""));
      const off = n.signed ? n.found - n.true : n.count_error;
      const ideal = this.hasCeiling && k === 2;
      const cells = [name, ...["precision", "recall", "f1"].map((what) => (known ? twoDigits(n[what], 3) : "")), ideal ? "" : `${n.found}`,
        known && !ideal ? `${n.true}` : "", !known || ideal ? "" : n.signed ? `${off > 0 ? "+" : ""}${off}`.replace("-", "\u2212") : twoDigits(off, off < 100 ? 1 : 0)];
      cells.forEach((text, at) => write(tr.cells[at], text));
      tr.title = ideal ? "What a perfect network could reach with this sigma, minimum distance and match radius" : title;
      tr.classList.toggle("pl-pale", (k > 0 && this.pale) || (ideal && this.isAwaited("ceiling")));
      tr.classList.toggle("pl-main-row", k === 1);
    });
    this.showMarks();
  }

  setName() {
    const n = this.countedImages().length;
    return n > 1 && n === this.names.length ? `all ${plural(n, "image")}` : plural(n, "image");
  }

  showMarks() {
    const { page } = this;
    for (const goal of GOALS) {
      const best = this.bestOf(goal);
      const same = new Set(best.map((t) => twoDigits(t))).size === 1;
      write(page[`best_${goal.replace(" ", "_")}`], same ? twoDigits(best[0]) : best.length < 3 ? best.map((t) => twoDigits(t)).join(" \u00b7 ") : "each");
      const is = best.every((t, k) => t === this.settings.thresholds[this.classes[this.movedBy("threshold")[k]]]);
      page.root.querySelector(`[data-goal="${goal}"]`).ariaPressed = String(is);
    }
    const flat = this.pool()?.flat ?? [NaN, NaN];
    write(page.plateau, twoDigits((flat[0] + flat[1]) / 2));
    write(page.plateauText, Number.isFinite(flat[0]) ? `count stable from ${twoDigits(flat[0])} to ${twoDigits(flat[1])}` : "");
    const [near, all] = this.nearLine();
    write(page.near, `${plural(near, "point")} of ${all} within 0.05 of the threshold`);
  }

  /** The number of points near the threshold, and of all points, in all included images. */
  nearLine() {
    let [near, all] = [0, 0];
    for (const i of this.countedImages()) {
      for (const c of this.chosenClasses()) {
        const { scores } = this.tallies[i][c];
        const threshold = this.settings.thresholds[this.classes[c]];
        near += countAt(scores, threshold - 0.05) - countAt(scores, threshold + 0.05);
        all += scores.length;
      }
    }
    return [near, all];
  }

  showStatus() {
    const { names, index, page } = this;
    if (index < 0) return;
    const counts = { ...this.numbers.image, marked: this.labelled[index] };
    const text = this.errors[index] || (this.tallies[index] ? countsInWords(counts, this.errorPx) : "not predicted yet");
    const sentence = `${names[index]} (${index + 1} of ${names.length}): ${text}`;
    if (page.status.textContent !== sentence) page.status.replaceChildren(make("span", {}, names[index]), make("span", {}, sentence.slice(names[index].length)));
    page.status.title = sentence;
  }

  /** Describe the plots in words, for screen readers. */
  describePlots() {
    const { page } = this;
    const { precision, recall, f1, found } = this.numbers.set;
    const threshold = this.commonThreshold();
    const where = threshold === null ? "these thresholds" : `threshold ${threshold.toFixed(2)}`;
    page.scores.ariaLabel = `Histogram of scores; ${page.near.textContent}. Heights: square root of the number.`;
    page.curve.ariaLabel = this.hasTruth
      ? `Precision, recall and F1 against the threshold: F1 ${twoDigits(f1)} at ${where}, best at ${page.best_f1.textContent}.`
      : `Count against the threshold: ${found} at ${where}. ${page.plateauText.textContent}`;
    page.pr.ariaLabel = `Precision against recall, with lines of equal F1: precision ${twoDigits(precision)} at recall ${twoDigits(recall)}.`;
  }

  chooseTab(name) {
    this.tab = name;
    for (const tab of this.page.tabs.children) {
      tab.ariaSelected = String(tab.dataset.tab === name);
      tab.tabIndex = tab.dataset.tab === name ? 0 : -1;
    }
    for (const panel of this.page.root.querySelectorAll("[data-panel]")) panel.hidden = panel.dataset.panel !== name;
    this.resize();
    this.askInsights();
  }

  setLook(change) {
    Object.assign(this.look, change, change.on === undefined ? { on: true } : {});
    this.page.overlay.ariaPressed = String(this.look.on);
    this.page.map.value = this.look.map;
    this.request("heat");
  }

  toggleOverlay() {
    this.setLook({ on: !this.look.on });
  }

  stepMap() {
    const maps = Object.keys(MAPS);
    this.setLook({ map: maps[(maps.indexOf(this.look.map) + 1) % maps.length] });
  }

  toggleHidden() {
    this.hidden = !this.hidden;
    this.say(this.hidden ? "Marks are hidden (h)." : "Marks are shown.");
    this.request("points", "top");
  }

  /** Show or hide hits, false positives, missed points or pairs. */
  toggleMarks(button) {
    const { show } = button.dataset;
    this.shown[show] = !this.shown[show];
    button.ariaPressed = String(this.shown[show]);
    this.request("points", "top");
  }

  // -------------------------------------------------------------- marks and errors

  /** The mark under a stage position, or null: {x, y, text}. */
  under(at) {
    if (!at) return null;
    const { x, y } = toImage(this.view, at.x, at.y);
    let [best, least] = [null, (pointRadius(this.view.k) + 4) / this.view.k];
    for (const [name, m] of this.matched) {
      const consider = (candidate, px, py) => {
        const far = Math.hypot(px - x, py - y);
        if (far < least && this.shown[candidate.kind]) [best, least] = [{ ...candidate, name, m, x: px, y: py }, far];
      };
      for (let j = 0; j < m.n; j++) consider({ kind: m.isHit(j) ? "hit" : "falsePositive", j }, m.tally.found.x[j], m.tally.found.y[j]);
      for (let i = 0; i < m.tally.nTrue; i++) if (m.isMissed(i)) consider({ kind: "missed", i }, m.tally.trues.x[i], m.tally.trues.y[i]);
    }
    return best && { ...best, text: this.inWords(best) };
  }

  /** A mark in words, with its score and error. */
  inWords({ kind, name, m, i, j, x, y }) {
    const of = this.classes.length > 1 ? ` (${name})` : "";
    if (!this.labelled[this.index]) return `found${of}, score ${m.tally.scores[j].toFixed(2)}`;
    if (kind === "missed") {
      const score = nearestScore(m.tally, x, y, this.settings.radius[name]);
      return `missed${of}${score === null ? ", no candidate within the radius" : `, best candidate near: score ${score.toFixed(2)}`}`;
    }
    const far = m.errorOf(j);
    const error = kind === "hit" && far !== null ? `, off by ${far.toFixed(1)} px` : "";
    return `${kind === "hit" ? "hit" : "false positive"}${of}, score ${m.tally.scores[j].toFixed(2)}${error}`;
  }

  /** The errors of the image in view, from top to bottom. */
  errorsInView() {
    const list = [];
    for (const [name, m] of this.matched) {
      for (let j = 0; j < m.n; j++) if (!m.isHit(j)) list.push({ kind: "falsePositive", name, m, j, x: m.tally.found.x[j], y: m.tally.found.y[j] });
      for (let i = 0; i < m.tally.nTrue; i++) if (m.isMissed(i)) list.push({ kind: "missed", name, m, i, x: m.tally.trues.x[i], y: m.tally.trues.y[i] });
    }
    return list.sort((a, b) => a.y - b.y || a.x - b.x);
  }

  stepError(by) {
    const list = this.labelled[this.index] ? this.errorsInView() : [];
    if (!list.length) return this.say("No errors in this image.");
    const at = this.spot ? list.findIndex(({ x, y }) => x === this.spot.x && y === this.spot.y) : -1;
    const next = list[(at < 0 ? (by > 0 ? 0 : list.length - 1) : at + by + list.length) % list.length];
    this.spot = { x: next.x, y: next.y, text: this.inWords(next) };
    this.reveal(next);
    this.say(`${list.indexOf(next) + 1} of ${plural(list.length, "error")}: ${this.spot.text}, at ${next.x.toFixed(1)}, ${next.y.toFixed(1)}`);
    this.request("top");
  }

  /** Go to a position in an image, zoomed in enough to see the error. */
  goTo({ image, x, y, text }) {
    this.target = { index: image, x, y, text };
    if (image === this.index && this.record) this.arriveAt();
    else this.goto(image);
  }

  arriveAt() {
    const { target, size } = this;
    if (target?.index !== this.index || !this.record) return;
    const near = Math.min(size.width, size.height) / (20 * Math.max(...Object.values(this.settings.radius), 2));
    const k = clamp(Math.max(this.view.k, near), 1e-3, 32);
    this.setView({ k, ox: size.width / 2 - (target.x + 0.5) * k, oy: size.height / 2 - (target.y + 0.5) * k });
    Object.assign(this, { spot: target, target: null });
    this.request("top");
  }

  // -------------------------------------------------------------- images and strip

  imageAt(place) { return this.order[place]; }
  placeOf(index) { return this.places[index]; }

  stepImage(by) {
    const place = this.placeOf(this.index) + by;
    this.heading = by;
    if (place < 0 || place >= this.order.length) return this.say(`This is the ${by < 0 ? "first" : "last"} image.`);
    this.goto(this.order[place]);
  }

  goto(index, { tell = true } = {}) {
    if (!this.welcomed || index === this.index || !this.names[index]) return;
    Object.assign(this, { index, spot: null });
    this.recount(index);
    this.changed({ tell });
    const known = this.cache.use(this.place(index));
    if (known) this.show(known);
    else {
      this.showText(`Opening ${this.names[index]} \u2026`);
      this.ask(index);
    }
    this.revealThumb();
  }

  ask(index, { prefetch = false, plain = false } = {}) {
    this.send({ type: "image", index, ...this.source, prefetch, plain });
  }

  async onImage(content, [picture, ...maps]) {
    const { index, width, height, error } = content;
    const entry = { index, record: { name: this.names[index], width, height }, levels: null, heats: [], error, about: content };
    const key = this.place(index);
    try {
      if (!error) {
        entry.heats = await Promise.all(maps.filter((bytes) => bytes.length).map(decodeHeat));
        entry.levels = picture?.length ? await decodePicture(picture, content) : [await createImageBitmap(make("canvas", { width: 1, height: 1 }))];
      }
    } catch (problem) {
      if (!this.plain.has(index)) {
        this.plain.add(index);
        return this.ask(index, { plain: true });
      }
      entry.error = `This browser cannot show ${this.names[index]}: ${problem}`;
    }
    if (this.ending.signal.aborted) return closeAll(entry.levels);
    if (entry.levels) this.cache.set(key, entry);
    if (index === this.index) this.show(entry);
    const ahead = this.order[this.placeOf(this.index) + this.heading];
    if (index === this.index && !content.prefetch && ahead !== undefined && !this.cache.has(this.place(ahead))) this.ask(ahead, { prefetch: true });
  }

  show(entry) {
    this.page.top.ariaLabel = `Image ${this.names[this.index]}. Arrow keys change threshold and minimum distance, comma and full stop step through the errors, question mark shows all keys.`;
    this.page.heatGroup.hidden = !entry.heats.length;
    this.showPicture(entry);
    this.arriveAt();
    this.request("heat", "count");
  }

  setOrder(by) {
    this.by = this.page.order.value = by;
    this.sortStrip(true);
    this.revealThumb();
  }

  /** Sort the strip, but not while it is hovered or focused. */
  sortStrip(now = false) {
    if (!now && this.page.strip.matches(":hover, :focus")) return;
    const order = orderOf(this.images, this.by);
    if (equal(order, this.order)) return;
    this.order = order;
    this.places = [];
    order.forEach((index, place) => (this.places[index] = place));
    for (const cell of this.cells.values()) cell.remove();
    this.cells.clear();
    this.fillStrip();
  }

  paintThumb(place) {
    const cell = this.cells.get(place);
    if (!cell) return;
    const index = this.order[place];
    const [image, sign, words] = cell.children;
    const { url, error } = this.thumbs.use(index) ?? {};
    const counts = this.images[index] ?? { ...NOTHING, marked: false, ready: false };
    const problem = this.errors[index] || error;
    const wrong = counts.found + counts.true - 2 * counts.tp;
    const share = wrong / Math.max(counts.found + counts.true, 1);
    const text = !counts.ready ? "\u2026" : counts.marked ? `${counts.found} / ${counts.true}` : `${counts.found}`;
    const state = problem ? "broken" : !counts.ready || !counts.marked ? "unmarked" : !wrong ? "right" : share < 0.1 ? "few" : "many";
    const held = this.held.has(index) ? "; held back" : "";
    const title = `${this.names[index]}: ${problem || (counts.ready ? countsInWords(counts) : "not predicted yet")}${held}`;
    write(words, text.length > 11 ? text.replaceAll(" ", "") : text);
    write(sign, problem ? "!" : counts.ready && counts.marked ? `${wrong}` : "?");
    if (cell.title !== title) Object.assign(cell, { ariaLabel: title, title });
    if (cell.dataset.state !== state) cell.dataset.state = state;
    cell.classList.toggle("pl-held", this.held.has(index));
    if (cell.ariaSelected !== String(index === this.index)) cell.ariaSelected = String(index === this.index);
    image.hidden = !url;
    if (url && image.src !== url) image.src = url;
  }

  // -------------------------------------------------------------- input

  listen() {
    const { root, tabs, scores, curve, dials, sure, unsure, use } = this.page;
    super.listen();
    for (const canvas of root.querySelectorAll("canvas.pl-plot")) this.watcher.observe(canvas);
    this.watcher.observe(root);
    this.on(root, "click", ({ target }) => {
      const button = target.closest("[data-show]");
      if (button) this.toggleMarks(button);
    });
    this.on(tabs, "click", ({ target }) => target.dataset.tab && this.chooseTab(target.dataset.tab));
    this.on(tabs, "keydown", (event) => this.tabKey(event));
    for (const canvas of [scores, curve]) {
      this.on(canvas, "pointerdown", (event) => event.button === 0 && canvas.setPointerCapture(event.pointerId));
      for (const type of ["pointerdown", "pointermove"]) this.on(canvas, type, (event) => canvas.hasPointerCapture(event.pointerId) && this.dragLine(canvas, event));
    }
    this.on(dials, "wheel", (event) => this.wheelDial(event));
    this.on(use, "click", () => this.use(false));
    this.on(sure, "click", () => this.confirm(true));
    this.on(unsure, "click", () => this.confirm(false));
  }

  down(event) {
    focus(this.page.top);
    if (!this.record) return;
    const start = this.at(event);
    this.page.top.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, start);
    if (this.pointers.size === 2) this.gesture = { view: this.view, from: [...this.pointers.values()], moved: true };
    this.gesture ??= { id: event.pointerId, start, now: start, view: this.view, moved: false };
  }

  move(event) {
    const [now, { gesture }] = [this.at(event), this];
    if (!gesture) return this.hover(event.pointerType === "touch" ? null : now);
    if (this.pointers.has(event.pointerId)) this.pointers.set(event.pointerId, now);
    if (gesture.id === event.pointerId) gesture.now = now;
    if (gesture.start && Math.hypot(now.x - gesture.start.x, now.y - gesture.start.y) >= DRAG) gesture.moved = true;
    if (gesture.moved) this.request("top");
  }

  hover(at) {
    this.pointer = at;
    this.spot = null;
    this.request("top");
  }

  /** Once per frame: follow the pointer. */
  follow() {
    const { view, start, now, from } = this.gesture;
    if (from) this.pinch(view, from, [...this.pointers.values()]);
    else this.setView({ ...view, ox: view.ox + now.x - start.x, oy: view.oy + now.y - start.y });
  }

  /** A tap shows the mark there, as hovering with a mouse does. */
  up(event) {
    const { gesture } = this;
    if (gesture?.moved) this.follow();
    this.pointers.delete(event.pointerId);
    if (this.pointers.size) return;
    this.gesture = null;
    this.hover(gesture?.moved ? null : this.at(event));
  }

  cancel(event) {
    this.pointers.delete(event.pointerId);
    this.gesture = null;
  }

  /** Set the threshold to the pointer's position on an axis of scores. */
  dragLine(canvas, event) {
    const box = canvas.getBoundingClientRect();
    const [left, right] = canvas === this.page.curve ? [22, 12] : [8, 8];
    const part = (event.clientX - box.left - left) / Math.max(box.width - left - right, 1);
    this.set("threshold", Math.round((FLOOR + part * (this.topScore - FLOOR)) * 1000) / 1000);
  }

  wheelDial(event) {
    const name = event.target.closest("[data-dial]")?.dataset.dial;
    if (!name || !event.deltaY) return;
    event.preventDefault();
    this.nudge(name, event.deltaY < 0 ? 1 : -1);
  }

  tabKey(event) {
    const at = TABS.findIndex(([name]) => name === this.tab);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: TABS.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    this.chooseTab(TABS[(to + TABS.length) % TABS.length][0]);
    focus(this.page.tabs.querySelector("[aria-selected=true]"));
  }

  escape() {
    const { help, top, ask } = this.page;
    if (!help.hidden) return this.toggleHelp();
    if (!ask.hidden) return this.confirm(false);
    if (this.panelOpen) return this.togglePanel();
    if (!top.matches(":focus")) return focus(top);
    if (this.spot) return this.hover(null);
    this.leaveFilled();
  }

  // -------------------------------------------------------------- messages

  bannerText(time) {
    if (!this.silent) return "";
    if (!this.welcomed) return "Not connected to a kernel: run this cell again.";
    return `No answer from the kernel${time}: it is busy or stopped. The numbers still update; your settings are sent when it answers. If it was restarted, run this cell again.`;
  }

  take(content, parts) {
    const answers = { welcome: this.onWelcome, candidates: this.onCandidates, progress: this.onProgress, image: this.onImage,
      thumb: this.onThumb, match: this.onMatch, insight: this.onInsight, settings: this.onSettings, used: this.onUsed,
      beside: ({ rows }) => this.showBeside(rows), notice: ({ level, text }) => this.say(text, level) };
    answers[content.type]?.call(this, content, parts);
  }

  /** After a silence: send the settings again, and request again what did not arrive. */
  resend() {
    this.showBanner(0);
    if (!this.welcomed) return;
    this.tellNow();
    this.askMatch();
    this.askedThumbs.clear();
    this.askThumbs();
    if (!this.record) this.ask(this.index);
    this.wanted = {};
    this.askInsights();
  }

  onWelcome(content, parts) {
    if (!this.isBinary(parts)) return;
    const first = !this.welcomed;
    const { names, classes, labelled, limits, held, most_false: mostFalse, hold_back: hold, part, trained_on: trainedOn } = content;
    Object.assign(this, { names, classes, exclusive: content.exclusive, labelled, limits, permutation: held ?? [], welcomed: true, part, trainedOn,
      hasImage: content.has_image, canUse: content.can_use, hasTruth: labelled.some(Boolean) });
    this.showBanner(0);
    if (!first) return;
    this.tallies = names.map(() => null);
    this.errors = names.map(() => "");
    this.settings = structuredClone(content.settings);
    Object.assign(this, { mostFalse, hold, held: heldBack(this.permutation, hold), chosen: classes.length > 1 ? -1 : 0 });
    this.page.distance.max = limits.min_distance;
    this.page.radius.max = limits.radius;
    this.page.threshold.min = FLOOR;
    describe(FIELDS, this.page.mostFalse, 100 * mostFalse);
    describe(FIELDS, this.page.hold, hold);
    this.page.root.classList.toggle("pl-blind", !this.hasTruth);
    if (!this.hasTruth) {
      this.page.root.querySelector("[data-show=hit] span").textContent = "points";
      const { errorsNote, trustNote, ceilingNote } = this.page;
      for (const note of [errorsNote, trustNote, ceilingNote]) write(note, "This needs true points, and none of these images is annotated.");
    }
    this.by = this.page.order.value = this.hasTruth ? "worst" : "name";
    this.showUse(content.folder);
    this.showChips();
    this.showBeside(content.beside ?? []);
    this.count();
    this.sortStrip(true);
    this.goto(content.index ?? 0, { tell: false });
  }

  onCandidates({ images }, parts) {
    const [rows, trues] = [0, 1].map((k) => new Float64Array(parts[k]?.slice().buffer ?? 0));
    let [at, from] = [0, 0];
    for (const { index, error, counts, trues: nTrue } of images) {
      this.errors[index] = error ?? "";
      const tallies = this.classes.map((_, c) => {
        const [n, m] = [counts?.[c] ?? 0, nTrue?.[c] ?? 0];
        const tally = new Tally(rows.subarray(4 * at, 4 * (at + n)), this.labelled[index] ? trues.subarray(2 * from, 2 * (from + m)) : null);
        [at, from] = [at + n, from + m];
        return tally;
      });
      this.done.add(index);
      this.tallies[index] = error ? null : tallies;
      if (!error) this.queue.push(index);
      for (const { score } of error ? [] : tallies) this.topScore = Math.max(this.topScore, Math.ceil((score[0] ?? 0) * 100) / 100);
    }
    this.page.threshold.max = this.topScore;
    const most = this.tallies.reduce((n, tallies) => Math.max(n, (tallies ?? []).reduce((sum, tally) => sum + tally.n, 0)), 10);
    this.page.root.style.setProperty("--pl-digits", `${most}`.length); // room for the longest count
    this.page.root.classList.toggle("pl-long", most > 999);
    this.recount(this.index);
    this.showDials();
    this.request("count");
    this.later("match", REST, () => this.askMatch());
    this.later("rest", 400, () => this.rest());
  }

  onProgress({ ready, total, error }) {
    this.page.meter.hidden = ready >= total;
    this.page.meter.value = ready / Math.max(total, 1);
    if (error) this.say(error, "warning");
  }

  /** Send Python the settings: at most ten times a second, and the last ones always. */
  tell() {
    const wait = 100 - (performance.now() - this.told);
    if (wait <= 0) this.tellNow();
    else this.later("set", wait, () => this.tellNow());
  }

  tellNow() {
    clearTimeout(this.timers.get("set"));
    if (!this.welcomed) return;
    this.told = performance.now();
    this.seq += 1;
    this.send({ type: "set", seq: this.seq, ...this.choices() });
  }

  /** All choices that Python is sent. */
  choices() {
    return { ...structuredClone(this.settings), index: this.index, hold_back: this.hold, most_false: this.mostFalse };
  }

  /** Messages in flight may have overridden settings made by code: what the page shows wins. */
  reconcile(content) {
    if (Object.entries(this.choices()).some(([key, value]) => content[key] !== undefined && !equal(content[key], value))) this.tellNow();
  }

  askMatch() {
    if (!this.welcomed || !this.labelled[this.index] || !this.tallies[this.index]) return;
    this.asked = this.step;
    this.send({ type: "match", seq: this.step, index: this.index, ...structuredClone(this.settings) });
  }

  onMatch({ seq, index, pairs }) {
    this.answered = Math.max(this.answered, seq);
    if (seq !== this.step || index !== this.index) return; // the dials have moved on
    this.answer = { step: seq, pairs };
    this.pairUp();
  }

  onSettings(content) {
    if (content.from === this.session) return this.later("echo", 300, () => this.reconcile(content));
    ["set", "echo"].forEach((name) => clearTimeout(this.timers.get(name)));
    const { thresholds, min_distances: distances, radius } = content;
    const before = structuredClone(this.settings);
    Object.assign(this.settings, { thresholds: { ...thresholds }, min_distances: { ...distances }, radius: { ...radius } });
    if (content.hold_back !== undefined) Object.assign(this, { hold: content.hold_back, held: heldBack(this.permutation, content.hold_back) });
    if (content.most_false !== undefined) this.mostFalse = content.most_false;
    describe(FIELDS, this.page.hold, this.hold);
    describe(FIELDS, this.page.mostFalse, Number((100 * this.mostFalse).toFixed(2)));
    this.pools.clear();
    const moved = this.classes.flatMap((name, c) => (radius[name] !== before.radius[name] || distances[name] !== before.min_distances[name] ? [c] : []));
    this.changed({ classes: moved.length ? moved : null, tell: false });
    this.showDials(true);
    if (!content.from && content.index !== undefined) this.goto(content.index, { tell: false }); // code may change the image; another view may not
  }

  // -------------------------------------------------------------- what takes longer

  /** Whether the table has a row for a perfect network: if a model gives sigma. */
  get hasCeiling() { return Boolean(this.hasTruth && this.canUse && !this.insights.ceiling?.error); }

  isAwaited(which) { return !this.insights[which] || this.insights[which].seq !== this.insights[which].asked; }

  /** Request the insights of the open tab, if what they depend on has changed. */
  askInsights() {
    if (!this.welcomed || !this.hasTruth) return;
    const { thresholds, min_distances: distances, radius } = this.settings;
    for (const which of INSIGHTS[this.tab]) {
      if (this.tab === "numbers" && (!this.hasCeiling || this.ready < this.names.length)) continue; // do not slow down the model
      const key = JSON.stringify([which === "ceiling" ? 0 : thresholds, distances, radius, this.hold, this.ready, which === "trust" && this.index]);
      if (this.wanted[which] === key) continue;
      this.wanted[which] = key;
      const box = this.insights[which] ??= { data: null, error: "", seq: 0 };
      box.asked = ++this.seq;
      if (!box.data) write(this.page[NOTES[which]], "Computing \u2026");
      this.send({ type: "insight", seq: box.asked, which, ...structuredClone(this.settings), hold_back: this.hold, index: this.index });
    }
    this.showInsights();
  }

  onInsight({ seq, which, data, error }) {
    const box = this.insights[which];
    if (!box || seq !== box.asked) return;
    Object.assign(box, { data, error, seq });
    ({ anatomy: this.showAnatomy, trust: this.showTrust, rules: this.showRules, ceiling: this.showCeiling })[which].call(this, data ?? {}, error);
    this.showInsights();
  }

  /** Outdated results are pale; the ceiling is shown beside the current F1. */
  showInsights() {
    const panel = this.page.root.querySelector(`[data-panel="${this.tab}"]`);
    panel.classList.toggle("pl-pale", this.tab !== "numbers" && INSIGHTS[this.tab].some((which) => this.isAwaited(which)));
    if (this.tab === "numbers") this.showNumbers();
    const { data, error } = this.insights.ceiling ?? {};
    if (this.tab === "rules" && data) this.showCeiling(data, error);
  }

  /** Bars with a name and a number, as buttons where `run` is given. */
  bars(element, rows, run = null) {
    const most = Math.max(1e-9, ...rows.map(({ value }) => value));
    element.replaceChildren(...rows.map(({ name, value, most: top = most, text, chosen }) => {
      const fill = make("span", { className: "pl-fill" }, make("i"));
      fill.firstChild.style.width = `${(100 * Math.max(value, 0)) / top}%`;
      const parts = [make("span", {}, name), fill, make("span", { className: "pl-value" }, text)];
      if (!run) return make("div", { className: "pl-row" }, ...parts);
      return make("button", { type: "button", className: "pl-row", ariaPressed: String(Boolean(chosen)), onclick: () => run(name) }, ...parts);
    }));
  }

  showAnatomy({ f1, kinds = [], flaws = [] }, error) {
    const { page } = this;
    write(page.errorsNote, error || `F1 ${twoDigits(f1, 3)}. For each kind of error: how many, and what F1 would gain if all were fixed. Click for examples.`);
    const rows = kinds.map(({ kind, n, f1_gain: value }) => ({ name: kind, value: value ?? 0, text: `${n} \u00b7 +${twoDigits(value ?? NaN, 3)}`, chosen: kind === this.kind }));
    this.bars(page.bars, rows, (kind) => {
      this.kind = this.kind === kind ? "" : kind;
      this.showAnatomy({ f1, kinds, flaws }, error);
    });
    const list = flaws.filter(({ kind }) => kind === this.kind);
    page.flaws.replaceChildren(...list.slice(0, 200).map((flaw) => {
      const where = `${flaw.x.toFixed(0)}, ${flaw.y.toFixed(0)}${this.classes.length > 1 ? ` ${this.brief(flaw.label)}` : ""}`;
      const [text, title] = [`${shortName(this.names[flaw.image], this.names)}: ${where}`, `Go to this ${flaw.kind}: ${this.names[flaw.image]} at ${where}`];
      return make("button", { type: "button", title, ariaLabel: title, onclick: () => this.goTo({ ...flaw, text: flaw.kind }) }, text);
    }));
  }

  showTrust({ bins = [], interval, visible }, error) {
    const { page } = this;
    write(page.trustNote, error || "Of the points with about this score (across), the share that is true (up). A bar below the line: these scores are too high.");
    const words = bins.filter(({ n }) => n).map(({ low, high, share, n }) => `${low.toFixed(1)} to ${high.toFixed(1)}: ${share.toFixed(2)} of ${n}`);
    page.trust.ariaLabel = `Share of true points by score: ${words.join("; ")}.`;
    const here = visible && Number.isFinite(visible.low) && visible.high !== null
      ? `This image: ${visible.low} to ${visible.high} points, with ${Math.round(100 * interval.coverage)} % coverage (from ${plural(interval.n, "image")} held back).` : "";
    write(page.interval, [here, interval?.why].filter(Boolean).join(" "));
    this.request("side");
  }

  showRules(rows, error) {
    const list = Array.isArray(rows) ? rows : [];
    write(this.page.rulesNote, error || "F1 of the same points by other matching rules:");
    this.bars(this.page.rules, list.map(({ rule, f1 }) => ({ name: rule, value: f1 ?? 0, most: 1, text: twoDigits(f1 ?? NaN, 3) })));
  }

  showCeiling({ f1, sigma, error_px: errorPx }, error) {
    const reached = figures(addUp(Object.values(this.numbers.classes))).f1; // of all classes, as the ceiling is
    write(this.page.ceilingNote, error || `What a perfect network could reach with this minimum distance${sigma ? ` and sigma ${Number(sigma.toFixed(2))}` : ""}:`);
    const rows = [["reached", reached], ["ceiling", f1 ?? NaN]].map(([name, value]) =>
      ({ name, value: Number.isFinite(value) ? value : 0, most: 1, text: twoDigits(value, 3) }));
    this.bars(this.page.ceiling, error ? [] : rows);
    this.page.ceiling.title = Number.isFinite(errorPx) ? `error of the perfect network: ${errorPx.toFixed(2)} px` : "";
  }

  showBeside(rows) {
    const table = make("table", { className: "pl-table" }, make("thead", {}, row("another function", "P", "R", "F1", "off by")), make("tbody", {},
      ...rows.map(({ name, threshold, min_distance: distance, precision, recall, f1, count_error: off }) => Object.assign(
        row(`${name}, ${threshold}`, ...[precision, recall, f1].map((value) => twoDigits(value ?? NaN, 3)), twoDigits(off ?? NaN, 1)),
        { title: `${name} at threshold ${threshold}, minimum distance ${distance} px` }))));
    this.page.beside.replaceChildren(...(rows.length ? [table] : []));
  }

  // -------------------------------------------------------------- use these

  showUse(folder) {
    const { page } = this;
    page.use.hidden = !this.canUse;
    page.use.title = `Write thresholds and distances into ${folder || "the model's folder"}; predict uses them`;
    const test = this.part === "test" || this.trainedOn;
    write(page.useNote, test ? `${this.trainedOn ? "The model was trained on these images" : "These are test images"}: choose on validation images.` : "");
    page.useNote.hidden = !test;
  }

  onUsed({ path, text, needs_sure: needsSure }) {
    const { ask, askText } = this.page;
    if (!needsSure) return this.say(text || `Written to ${path}.`);
    write(askText, text);
    ask.hidden = false;
    focus(ask);
  }

  use(sure) {
    this.tellNow(); // including the last tenth of a second
    this.send({ type: "use", sure, most_false: this.mostFalse });
  }

  confirm(sure) {
    this.page.ask.hidden = true;
    if (sure) this.use(true);
    focus(this.page.top);
  }
}

/** Python's pairs (rows of candidates) as pairs of kept points, at this threshold. */
function fromAnswer(list, tally, n) {
  const rank = new Map();
  for (let j = 0; j < n; j++) rank.set(tally.kept[j], j);
  return { pairs: list.flatMap(([i, found]) => (rank.has(found) ? [[i, rank.get(found)]] : [])) };
}

/** Look-ups of hits and missed points: by pairs if there are any, else by the counts. */
function lookUps(tally, n, paired) {
  if (!paired) {
    return { pairs: null, isHit: (j) => !tally.marked || tally.gain[j] > 0, isMissed: (i) => tally.since[i] > n, errorOf: () => null };
  }
  const [hit, isFound] = [new Int32Array(n).fill(-1), new Uint8Array(tally.nTrue)];
  for (const [i, j] of paired.pairs) {
    hit[j] = i;
    isFound[i] = 1;
  }
  const far = (j) => Math.hypot(tally.trues.x[hit[j]] - tally.found.x[j], tally.trues.y[hit[j]] - tally.found.y[j]);
  return { pairs: paired.pairs, isHit: (j) => hit[j] >= 0, isMissed: (i) => !isFound[i], errorOf: (j) => (hit[j] < 0 ? null : far(j)) };
}

/** The highest score of a kept candidate within the radius of a position, or null. */
function nearestScore({ found, scores }, x, y, radius) {
  const j = scores.findIndex((_, k) => Math.hypot(found.x[k] - x, found.y[k] - y) <= radius);
  return j < 0 ? null : scores[j];
}

/** For tests only: on the root element as `__tuner`. */
function forTests(app) {
  return {
    app,
    toClient(x, y) {
      const [box, at] = [app.page.top.getBoundingClientRect(), toStage(app.view, x, y)];
      return { x: box.left + at.x, y: box.top + at.y };
    },
    get view() { return { ...app.view }; },
    get settings() { return structuredClone(app.settings); },
    get numbers() { return structuredClone(app.numbers); },
    get index() { return app.index; },
    get name() { return app.record?.name ?? ""; },
    get order() { return [...app.order]; },
    get matched() { return Object.fromEntries([...app.matched].map(([name, { pairs, from, n }]) => [name, { pairs, from, n }])); },
    get waiting() { return app.queue.length + Number(app.frame > 0) + Number(app.asked > app.answered); },
    get pale() { return app.pale; },
    get updates() { return app.updates; },
    get frames() { return app.frames; },
  };
}

/** @param {{model: any, el: HTMLElement}} context @returns {() => void} */
function render(context) {
  const app = new Tuner(context.model);
  Object.assign(app.page.root, { __tuner: forTests(app) });
  return mount(app, context);
}

export default { render };
