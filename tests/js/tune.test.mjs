/** The pure parts of the shipped tune.js, as `node --test` sees them; no browser, no build. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { load } from "./widget.mjs";

const js = await load("tune/tune.js");
const CASES = JSON.parse(readFileSync(new URL("sweeps.json", import.meta.url), "utf8")); // see tests/sweep_cases.py
const OF_CLASSES = JSON.parse(readFileSync(new URL("classes.json", import.meta.url), "utf8"));

/** Repeatable numbers in [0, 1). */
function randomNumbers(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** A tally of one image of the fixture. */
function tallyOf(image, radius, minDistance) {
  const rows = image.candidates.flatMap(([x, y, score, isolation]) => [x, y, score, isolation ?? Infinity]);
  const tally = new js.Tally(Float64Array.from(rows), Float64Array.from(image.true.flat()));
  tally.recount(minDistance, radius);
  return tally;
}

const talliesOf = ({ images, radius, min_distance: minDistance }) => images.map((image) => tallyOf(image, radius, minDistance));

/** A crowd of true points, and candidates near some of them. */
function crowd(seed, nTrue, nFound, side, radius, minDistance = 0) {
  const random = randomNumbers(seed);
  const trues = Array.from({ length: nTrue }, () => [side * random(), side * random()]);
  const candidates = Array.from({ length: nFound }, (_, j) => [side * random(), side * random(), 1 - j / nFound, 10 * random()]);
  return tallyOf({ true: trues, candidates }, radius, minDistance);
}

/** The most pairs, and the least distance of so many, by trying all. */
function tryAll(edges, usedTrue = new Set(), usedFound = new Set()) {
  let best = { n: 0, far: 0 };
  edges.forEach(([i, j, far], at) => {
    if (usedTrue.has(i) || usedFound.has(j)) return;
    const rest = tryAll(edges.slice(at + 1), new Set([...usedTrue, i]), new Set([...usedFound, j]));
    const whole = { n: rest.n + 1, far: rest.far + far };
    if (whole.n > best.n || (whole.n === best.n && whole.far < best.far)) best = whole;
  });
  return best;
}

const edgesOf = ({ start, mate, distance }, n) =>
  Array.from({ length: n }, (_, j) => Array.from({ length: start[j + 1] - start[j] }, (_, k) => [mate[start[j] + k], j, distance[start[j] + k]])).flat();

test("at every threshold the counts equal thresholding and matching from scratch (the shared fixture)", () => {
  for (const { name, at, expected, ...rest } of CASES) {
    const tallies = talliesOf(rest);
    at.forEach((threshold, k) => {
      const counts = tallies.map((tally) => tally.at(threshold));
      const sum = js.addUp(counts);
      const error = counts.reduce((total, count) => total + Math.abs(count.found - count.true), 0) / counts.length;
      assert.deepEqual({ n_found: sum.found, tp: sum.tp, count_error: error }, expected[k], `${name} at ${threshold}`);
    });
  }
});

test("one threshold for all classes: counts and the best of each goal are those of Python (the shared fixture)", () => {
  for (const { name, classes, radius, min_distance: minDistance, at, expected, best } of OF_CLASSES) {
    const names = Object.keys(classes);
    const images = classes[names[0]].map((_, i) => names.map((c) => tallyOf(classes[c][i], radius[c], minDistance[c])));
    at.forEach((threshold, k) => {
      const perImage = images.map((tallies) => js.addUp(tallies.map((tally) => tally.at(threshold))));
      const sum = js.addUp(perImage);
      const error = perImage.reduce((total, count) => total + Math.abs(count.found - count.true), 0) / images.length;
      assert.deepEqual({ n_found: sum.found, tp: sum.tp, count_error: error }, expected[k], `${name} at ${threshold}`);
    });
    const sweep = js.sweepOf(images);
    for (const [goal, threshold] of Object.entries(best)) {
      const found = js.bestThreshold(sweep, goal);
      assert.ok(threshold === null ? Number.isNaN(found) : found === threshold, `${name}: ${goal} is ${found}, not ${threshold}`);
    }
  }
});

test("a sweep has the same counts as the tallies it pools, at each of its thresholds", () => {
  for (const fixture of CASES) {
    const tallies = talliesOf(fixture);
    const sweep = js.sweepOf(tallies.map((tally) => [tally]));
    sweep.thresholds.forEach((threshold, k) => {
      const counts = tallies.map((tally) => tally.at(threshold));
      const { found, tp } = js.addUp(counts);
      const error = counts.reduce((total, count) => total + Math.abs(count.found - count.true), 0) / counts.length;
      assert.deepEqual([sweep.found[k], sweep.tp[k], sweep.error[k]], [found, tp, error], fixture.name);
      assert.ok(!k || threshold < sweep.thresholds[k - 1]);
    });
  }
});

test("classes of one image are added up before the count is compared with the truth", () => {
  const [a, b] = [crowd(1, 20, 30, 60, 4), crowd(2, 10, 30, 60, 4)];
  const sweep = js.sweepOf([[a, b]]);
  sweep.thresholds.forEach((threshold, k) => {
    const { found, true: nTrue } = js.addUp([a.at(threshold), b.at(threshold)]);
    assert.equal(sweep.error[k], Math.abs(found - nTrue));
  });
});

test("the best thresholds and the plateau are Python's, to the last bit", () => {
  for (const fixture of CASES) {
    const sweep = js.sweepOf(talliesOf(fixture).map((tally) => [tally]));
    const best = Object.fromEntries(js.GOALS.map((goal) => [goal, js.bestThreshold(sweep, goal)]));
    assert.deepEqual(best, Object.fromEntries(js.GOALS.map((goal) => [goal, fixture.best[goal] ?? NaN])), fixture.name);
    assert.deepEqual(js.plateau(sweep), fixture.plateau ?? [NaN, NaN], fixture.name);
  }
});

test("the pairs are those of match_points, or as many and as near where several are equally good", () => {
  for (const { name, at, pairs, ...rest } of CASES) {
    const [tally] = talliesOf(rest);
    const n = js.countAt(tally.scores, at[0]);
    const mine = js.bestPairs(tally.near, n, tally.nTrue);
    const far = ([i, j]) => Math.sqrt((tally.trues.x[i] - tally.found.x[j]) ** 2 + (tally.trues.y[i] - tally.found.y[j]) ** 2);
    const sum = (list) => list.reduce((total, pair) => total + far(pair), 0);
    assert.equal(mine.pairs.length, pairs.length, name);
    const blocks = tally.nTrue * n <= 2500; // larger ones may be paired in another way
    if (blocks) assert.ok(Math.abs(sum(mine.pairs) - sum(pairs)) < 1e-9, name);
    if (name.startsWith("random")) assert.deepEqual(mine.pairs, [...pairs].sort((a, b) => a[0] - b[0]), name);
  }
});

test("small crowds are paired as trying all ways would", () => {
  for (let seed = 1; seed <= 40; seed++) {
    const tally = crowd(seed, 5, 6, 10, 4);
    const { pairs, distances } = js.bestPairs(tally.near, 6, 5);
    const best = tryAll(edgesOf(tally.near, 6));
    assert.equal(pairs.length, best.n);
    assert.ok(Math.abs(distances.reduce((a, b) => a + b, 0) - best.far) < 1e-9);
    assert.equal(new Set(pairs.map(([i]) => i)).size, new Set(pairs.map(([, j]) => j)).size);
  }
});

test("near pairs by grid are those of comparing all with all, at any radius", () => {
  for (const radius of [0, 0.3, 2, 7, 500]) {
    const tally = crowd(7, 60, 80, 50, radius);
    const all = [];
    for (let j = 0; j < 80; j++) {
      for (let i = 0; i < 60; i++) {
        const [dx, dy] = [tally.trues.x[i] - tally.found.x[j], tally.trues.y[i] - tally.found.y[j]];
        if (Math.sqrt(dx * dx + dy * dy) <= radius) all.push(`${i} ${j}`);
      }
    }
    assert.deepEqual(edgesOf(tally.near, 80).map(([i, j]) => `${i} ${j}`).sort(), all.sort());
  }
});

test("gains, and the true points that have partners, give the same counts and can all be paired", () => {
  const tally = crowd(3, 300, 500, 120, 5, 1);
  for (let n = 0; n <= tally.scores.length; n += 7) {
    const { pairs } = js.bestPairs(tally.near, n, tally.nTrue);
    const hit = tally.since.filter((since) => since <= n).length;
    assert.deepEqual([tally.sums[n], hit], [pairs.length, pairs.length]);
  }
});

test("counts never rise with the threshold or the minimum distance", () => {
  const tally = crowd(11, 100, 200, 100, 4);
  let before = Infinity;
  for (const minDistance of [0, 1, 2.5, 6, 20]) {
    tally.recount(minDistance, 4);
    let higher = Infinity;
    for (let threshold = 0.05; threshold < 1; threshold += 0.05) {
      assert.ok(tally.at(threshold).found <= higher);
      higher = tally.at(threshold).found;
    }
    assert.ok(tally.at(0).found <= before);
    before = tally.at(0).found;
  }
});

test("a score equal to the threshold counts, and ties come and go together", () => {
  const scores = Float64Array.from([0.9, 0.5, 0.5, 0.5, 0.2]);
  assert.deepEqual([0.5, 0.5000001, 0.2, 1, 0].map((threshold) => js.countAt(scores, threshold)), [4, 1, 5, 0, 5]);
});

test("what is undefined is NaN, shown as a dash, and never 0", () => {
  const { precision, recall, f1 } = js.figures({ tp: 0, found: 0, true: 0 });
  assert.deepEqual([precision, recall, f1], [NaN, NaN, NaN]);
  assert.deepEqual([js.twoDigits(NaN), js.twoDigits(0), js.twoDigits(0.956)], ["\u2013", "0.00", "0.96"]);
});

test("no more than the allowed share is false; without such a threshold there is none", () => {
  const sweep = { thresholds: [0.9, 0.8, 0.7, 0.6], found: [1, 2, 3, 4], tp: [0, 1, 2, 3], error: [0, 0, 0, 0], nTrue: 5, nImages: 1 };
  const best = (share) => js.bestThreshold({ ...sweep, thresholds: Float64Array.from(sweep.thresholds) }, "few false", share);
  assert.deepEqual([best(0.1), best(0.25), best(1)], [NaN, 0.325, 0.325]);
});

test("the histogram holds every kept candidate once, hits apart, the ends included", () => {
  const tally = crowd(5, 40, 90, 60, 6);
  const { hits, others } = js.histogram([tally], 19);
  const sum = (list) => list.reduce((a, b) => a + b, 0);
  assert.deepEqual([sum(hits), sum(hits) + sum(others)], [tally.sums.at(-1), 90]);
});

test("worst first: most errors, then the order of names; unmarked images come last", () => {
  const counts = [[5, 5, 5], [3, 9, 5], [0, 0, 0], [0, 8, 0], [2, 9, 4]].map(([tp, found, nTrue], i) => ({ tp, found, true: nTrue, marked: i !== 3 }));
  assert.deepEqual(js.orderOf(counts, "worst"), [4, 1, 0, 2, 3]);
  assert.deepEqual(js.orderOf(counts, "name"), [0, 1, 2, 3, 4]);
});

test("half an image held back is a whole one, as Trial.held has it", () => {
  const permutation = Array.from({ length: 5 }, (_, i) => 4 - i);
  assert.deepEqual([0, 0.1, 0.3, 0.5].map((share) => js.heldBack(permutation, share).size), [0, 1, 2, 3]);
  assert.deepEqual([...js.heldBack(permutation, 0.4)], [4, 3]);
});

test("a colour map begins and ends with its own colours", () => {
  const ramp = js.rampOf(js.MAPS.viridis);
  assert.deepEqual([ramp.length, ramp[0], ramp[255]], [256, 0x540144, 0x25e7fd]);
});

test("every key in the table does something once, and none is taken twice", () => {
  const keys = js.KEYS.flatMap((row) => row.keys ?? []).map((key) => key.toLowerCase());
  assert.equal(new Set(keys).size, keys.length);
  assert.ok(js.KEYS.every((row) => !row.keys || row.run));
});

test("the status says what a person would", () => {
  assert.equal(js.countsInWords({ tp: 44, found: 47, true: 45, marked: true }), "47 found, 45 true: 44 hits, 3 false positives, 1 missed");
  assert.equal(js.countsInWords({ tp: 2, found: 2, true: 2, marked: true }, 1.26), "2 found, 2 true: 2 hits, 0 false positives, 0 missed; mean error 1.3 px");
  assert.equal(js.countsInWords({ tp: 0, found: 1, true: 0, marked: false }), "1 found, image not annotated");
});

test("long names of classes keep what tells them apart", () => {
  const names = ["Bacillus subtilis strain 1 (late)", "Bacillus subtilis strain 2 (late)"];
  assert.deepEqual(names.map((name) => js.distinctPart(name, names)), ["\u20261 (late)", "\u20262 (late)"]);
  assert.deepEqual(["E. coli", "E. coli K12"].map((name) => js.distinctPart(name, ["E. coli", "E. coli K12"])), ["E. coli", "E. coli K12"]);
});
