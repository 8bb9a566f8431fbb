/**
 * Counting for the tuner: what is found, and how much of it is correct, at every threshold at once.
 *
 * The browser's version of sweep.py, matching.py and thresholds.py: candidates come sorted by
 * descending score, each with its isolation (the distance to the nearest higher one), and every
 * number equals that of thresholding and matching from scratch. tests/js/sweeps.json tests both
 * sides. Pure: no page, no messages. A "tally" is one class of one image.
 *
 * @typedef {{start: Int32Array, mate: Int32Array, distance: Float64Array}} Near
 *   of found point j: the true points mate[start[j]] .. mate[start[j + 1] - 1], and their distances
 * @typedef {{thresholds: Float64Array, found: Int32Array, tp: Int32Array, error: Float64Array,
 *            nTrue: number, nImages: number}} Sweep
 *   entry k counts all candidates with score >= thresholds[k]; thresholds descend
 */

/** The lowest score of a candidate. */
export const FLOOR = 0.05;
/** Goals of the best threshold; the names are Python's. */
export const GOALS = ["f1", "count", "equal", "few false"];
const DENSE = 2500; // a block of up to this many true x found points is solved exactly
const NEVER = 0x7fffffff;

/** How many of the descending scores are at least `threshold`. @param {Float64Array} scores */
export function countAt(scores, /** @type {number} */ threshold) {
  let [low, high] = [0, scores.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (scores[middle] >= threshold) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** A grid over points: cells at least `side` wide; those of cell c are list[first[c]] .. list[first[c + 1] - 1]. */
function gridOf({ x, y }, side) {
  let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
  for (let i = 0; i < x.length; i++) {
    x0 = Math.min(x0, x[i]);
    x1 = Math.max(x1, x[i]);
    y0 = Math.min(y0, y[i]);
    y1 = Math.max(y1, y[i]);
  }
  const cell = Math.max(side * (1 + 1e-9), (x1 - x0) / 512, (y1 - y0) / 512, 1e-9);
  const [wide, high] = [Math.floor((x1 - x0) / cell) + 1, Math.floor((y1 - y0) / cell) + 1];
  const first = new Int32Array(wide * high + 1);
  const of = Int32Array.from(x, (_, i) => Math.floor((y[i] - y0) / cell) * wide + Math.floor((x[i] - x0) / cell));
  for (const c of of) first[c + 1] += 1;
  for (let c = 0; c < wide * high; c++) first[c + 1] += first[c];
  const [next, list] = [first.slice(), new Int32Array(x.length)];
  of.forEach((c, i) => (list[next[c]++] = i));
  return { x0, y0, cell, wide, high, first, list };
}

/**
 * For each found point the true ones within the radius. Distances are computed as in Python, so that
 * "exactly the radius" means the same.
 * @param {{x: Float64Array, y: Float64Array}} trues @param {{x: Float64Array, y: Float64Array}} found
 * @param {number} radius @returns {Near}
 */
export function nearPairs(trues, found, radius) {
  const n = found.x.length;
  const start = new Int32Array(n + 1);
  if (!trues.x.length) return { start, mate: new Int32Array(0), distance: new Float64Array(0) };
  const { x0, y0, cell, wide, high, first, list } = gridOf(trues, radius);
  const [mate, distance] = [[], []];
  for (let j = 0; j < n; j++) {
    const [x, y] = [found.x[j], found.y[j]];
    const [column, row] = [Math.floor((x - x0) / cell), Math.floor((y - y0) / cell)];
    for (let r = Math.max(0, row - 1), last = Math.min(high - 1, row + 1); r <= last; r++) {
      const [from, to] = [Math.max(0, column - 1), Math.min(wide - 1, column + 1)];
      if (from > to) continue;
      for (let at = first[r * wide + from], end = first[r * wide + to + 1]; at < end; at++) {
        const [dx, dy] = [trues.x[list[at]] - x, trues.y[list[at]] - y];
        const far = Math.sqrt(dx * dx + dy * dy);
        if (far > radius) continue;
        mate.push(list[at]);
        distance.push(far);
      }
    }
    start[j + 1] = mate.length;
  }
  return { start, mate: Int32Array.from(mate), distance: Float64Array.from(distance) };
}

/**
 * Add found points one by one; each may allow one more pair, by rearranging others along an
 * augmenting path. The number of pairs never decreases. The true points reached by a failed search
 * are closed: no augmenting path through them can exist, now or later.
 * @param {Near} near @param {number} n  how many are added @param {number} nTrue
 * @returns {{gain: Uint8Array, since: Int32Array, owner: Int32Array}} gain: whether j added a
 *   pair; since: how many had been added when a true point got its first partner; owner: its last one
 */
export function growingPairs({ start, mate }, n, nTrue) {
  const gain = new Uint8Array(n);
  const [since, owner, by] = [new Int32Array(nTrue).fill(NEVER), new Int32Array(nTrue).fill(-1), new Int32Array(nTrue)];
  const [partner, seen] = [new Int32Array(n).fill(-1), new Int32Array(nTrue).fill(-1)]; // NEVER: closed
  const [queue, reached] = [new Int32Array(nTrue + 1), new Int32Array(nTrue)];
  for (let j = 0; j < n; j++) {
    let [head, tail, n_reached, free] = [0, 1, 0, -1];
    queue[0] = j;
    while (head < tail && free < 0) {
      const f = queue[head++];
      for (let at = start[f]; at < start[f + 1] && free < 0; at++) {
        const t = mate[at];
        if (seen[t] === j || seen[t] === NEVER) continue;
        seen[t] = j;
        by[t] = f;
        reached[n_reached++] = t;
        if (owner[t] < 0) free = t;
        else queue[tail++] = owner[t];
      }
    }
    if (free < 0) {
      for (let k = 0; k < n_reached; k++) seen[reached[k]] = NEVER;
      continue;
    }
    gain[j] = 1;
    since[free] = j + 1;
    for (let t = free; t >= 0;) {
      const [f, before] = [by[t], partner[by[t]]];
      owner[t] = f;
      partner[f] = t;
      t = before;
    }
  }
  return { gain, since, owner };
}

/**
 * Assign each row a column at minimum cost; needs rows <= columns (Hungarian, O(n^2 m)).
 * @param {Float64Array[]} cost @param {number} m  columns @returns {Int32Array} the column of each row
 */
export function hungarian(cost, m) {
  const n = cost.length;
  const [u, v] = [new Float64Array(n + 1), new Float64Array(m + 1)];
  const [row, way] = [new Int32Array(m + 1), new Int32Array(m + 1)];
  for (let i = 1; i <= n; i++) {
    row[0] = i;
    let j0 = 0;
    const [least, used] = [new Float64Array(m + 1).fill(Infinity), new Uint8Array(m + 1)];
    do {
      used[j0] = 1;
      let [delta, j1] = [Infinity, 0];
      for (let j = 1; j <= m; j++) {
        if (used[j]) continue;
        const rest = cost[row[j0] - 1][j - 1] - u[row[j0]] - v[j];
        if (rest < least[j]) [least[j], way[j]] = [rest, j0];
        if (least[j] < delta) [delta, j1] = [least[j], j];
      }
      for (let j = 0; j <= m; j++) {
        if (!used[j]) least[j] -= delta;
        else {
          u[row[j]] += delta;
          v[j] -= delta;
        }
      }
      j0 = j1;
    } while (row[j0]);
    for (; j0; j0 = way[j0]) row[j0] = row[way[j0]];
  }
  const column = new Int32Array(n);
  for (let j = 1; j <= m; j++) if (row[j]) column[row[j] - 1] = j - 1;
  return column;
}

/**
 * Connected components of true and found points. Nodes are the true points, then the found ones.
 * @returns {{root: Int32Array, trues: Int32Array, found: Int32Array}} of each node its block (a
 *   node's number), and the size of each block
 */
function blocksOf({ start, mate }, n, nTrue) {
  const root = Int32Array.from({ length: nTrue + n }, (_, i) => i);
  const rootOf = (i) => {
    while (root[i] !== i) i = root[i] = root[root[i]];
    return i;
  };
  for (let j = 0; j < n; j++) {
    for (let at = start[j]; at < start[j + 1]; at++) root[rootOf(mate[at])] = rootOf(nTrue + j);
  }
  const [trues, found] = [new Int32Array(nTrue + n), new Int32Array(nTrue + n)];
  for (let i = 0; i < nTrue + n; i++) {
    root[i] = rootOf(i);
    (i < nTrue ? trues : found)[root[i]] += 1;
  }
  return { root, trues, found };
}

/**
 * The pairs among the first n found points: most pairs, then least total distance. In a block of
 * more than DENSE true x found points the distance is not minimal; Python's answer is.
 * @param {Near} near @param {number} n @param {number} nTrue
 * @returns {{pairs: number[][], distances: number[]}} [true, found] by ascending true
 */
export function bestPairs(near, n, nTrue) {
  const { start, mate, distance } = near;
  const { root, trues, found } = blocksOf(near, n, nTrue);
  const [lone, crowds] = [new Map(), new Map()]; // blocks with one point on a side: the nearest pair; others: all pairs
  for (let j = 0; j < n; j++) {
    for (let at = start[j]; at < start[j + 1]; at++) {
      const [block, pair] = [root[mate[at]], [mate[at], j, distance[at]]];
      if (Math.min(trues[block], found[block]) === 1) {
        if (!(lone.get(block)?.[2] <= distance[at])) lone.set(block, pair);
      } else if (crowds.has(block)) crowds.get(block).push(pair);
      else crowds.set(block, [pair]);
    }
  }
  const taken = [...lone.values()];
  let grown = null;
  for (const [block, pairs] of crowds) {
    if (trues[block] * found[block] <= DENSE) taken.push(...solveBlock(pairs));
    else {
      const { owner } = (grown ??= growingPairs(near, n, nTrue));
      taken.push(...pairs.filter(([i, j]) => owner[i] === j));
    }
  }
  taken.sort((a, b) => a[0] - b[0]);
  return { pairs: taken.map(([i, j]) => [i, j]), distances: taken.map((pair) => pair[2]) };
}

/** The best pairs of a block: a forbidden one costs more than all allowed ones together. */
function solveBlock(pairs) {
  const [rowOf, columnOf] = [new Map(), new Map()]; // rows are the side with fewer points
  const [trues, found] = [0, 1].map((side) => new Set(pairs.map((pair) => pair[side])));
  const turned = Number(trues.size > found.size);
  for (const pair of pairs) {
    if (!rowOf.has(pair[turned])) rowOf.set(pair[turned], rowOf.size);
    if (!columnOf.has(pair[1 - turned])) columnOf.set(pair[1 - turned], columnOf.size);
  }
  const price = Math.max(...pairs.map((pair) => pair[2])) * (rowOf.size + 1) + 1;
  const cost = Array.from({ length: rowOf.size }, () => new Float64Array(columnOf.size).fill(price));
  for (const pair of pairs) cost[rowOf.get(pair[turned])][columnOf.get(pair[1 - turned])] = pair[2];
  const column = hungarian(cost, columnOf.size);
  return pairs.filter((pair) => column[rowOf.get(pair[turned])] === columnOf.get(pair[1 - turned]));
}

/** One class of one image: what is found and how much of it is correct, at every threshold. */
export class Tally {
  /**
   * @param {Float64Array} rows  x, y, score, isolation of each candidate, best first
   * @param {Float64Array | null} trues  x, y of each true point; null: not annotated
   */
  constructor(rows, trues) {
    const n = rows.length / 4;
    const pick = (/** @type {Float64Array} */ from, /** @type {number} */ width, /** @type {number} */ at) =>
      Float64Array.from({ length: from.length / width }, (_, i) => from[width * i + at]);
    Object.assign(this, { n, x: pick(rows, 4, 0), y: pick(rows, 4, 1), score: pick(rows, 4, 2), isolation: pick(rows, 4, 3) });
    this.marked = trues !== null;
    this.trues = { x: pick(trues ?? new Float64Array(0), 2, 0), y: pick(trues ?? new Float64Array(0), 2, 1) };
    this.nTrue = this.trues.x.length;
    this.take(new Int32Array(0), 0); // empty until counted
    this.stale = true;
  }

  /** Count again. @param {number} minDistance @param {number} radius */
  recount(minDistance, radius) {
    let m = 0;
    const kept = new Int32Array(this.n);
    for (let i = 0; i < this.n; i++) if (this.isolation[i] > minDistance) kept[m++] = i;
    this.take(kept.subarray(0, m), radius);
  }

  /** @param {Int32Array} kept  rows @param {number} radius */
  take(kept, radius) {
    const m = kept.length;
    const pick = (/** @type {Float64Array} */ from) => Float64Array.from({ length: m }, (_, j) => from[kept[j]]);
    this.scores = pick(this.score);
    this.found = { x: pick(this.x), y: pick(this.y) };
    this.near = nearPairs(this.trues, this.found, radius);
    const { gain, since } = growingPairs(this.near, m, this.nTrue);
    const sums = new Int32Array(m + 1);
    for (let j = 0; j < m; j++) sums[j + 1] = sums[j] + gain[j];
    Object.assign(this, { kept, gain, since, sums, stale: false });
  }

  /** The numbers at a threshold. @returns {{tp: number, found: number, true: number}} */
  at(/** @type {number} */ threshold) {
    const found = countAt(this.scores, threshold);
    return { tp: this.sums[found], found, true: this.nTrue };
  }
}

/** Precision, recall and F1 of three counts; NaN for 0 / 0. */
export function figures(/** @type {{tp: number, found: number, true: number}} */ counts) {
  const { tp, found, true: nTrue } = counts;
  return { ...counts, precision: tp / found, recall: tp / nTrue, f1: (2 * tp) / (found + nTrue) };
}

/** The sum of counts. @param {{tp: number, found: number, true: number}[]} list */
export function addUp(list) {
  const sum = { tp: 0, found: 0, true: 0 };
  for (const counts of list) {
    sum.tp += counts.tp;
    sum.found += counts.found;
    sum.true += counts.true;
  }
  return sum;
}

/**
 * The counts at every threshold, pooled. Each image is a list of tallies (one per class), whose
 * counts are summed before the count error is computed.
 * @param {Tally[][]} images @returns {Sweep}
 */
export function sweepOf(images) {
  const every = images.flat();
  const all = new Float64Array(every.reduce((sum, { scores }) => sum + scores.length, 0));
  let end = 0;
  for (const { scores } of every) {
    all.set(scores, end);
    end += scores.length;
  }
  all.sort();
  let n = 0;
  for (let i = all.length - 1; i >= 0; i--) if (i === all.length - 1 || all[i] !== all[i + 1]) n += 1;
  const thresholds = new Float64Array(n);
  for (let i = all.length - 1, k = 0; i >= 0; i--) if (!k || all[i] !== thresholds[k - 1]) thresholds[k++] = all[i];
  const [found, tp, error] = [new Int32Array(n), new Int32Array(n), new Float64Array(n)];
  let nTrue = 0;
  for (const tallies of images) {
    const places = tallies.map((tally) => addTally(tally, thresholds, found, tp));
    const ranked = places.length === 1 ? places[0] : joined(places);
    const lacking = tallies.reduce((sum, tally) => sum + tally.nTrue, 0);
    ranked.forEach((k, rank) => (error[k] += rank < lacking ? -1 : 1)); // while points are missing, one more reduces the error
    nTrue += lacking;
  }
  let [f, t, e] = [0, 0, nTrue];
  for (let k = 0; k < n; k++) {
    found[k] = f += found[k];
    tp[k] = t += tp[k];
    error[k] = (e += error[k]) / Math.max(images.length, 1);
  }
  return { thresholds, found, tp, error, nTrue, nImages: images.length };
}

/** Add a tally's candidates to the entries; returns the entry of each. */
function addTally({ scores, gain }, thresholds, found, tp) {
  const places = new Int32Array(scores.length);
  let k = 0;
  scores.forEach((score, j) => {
    if (thresholds[k] > score) { // often it is the next one
      k += 1;
      if (thresholds[k] > score) k += countAt(thresholds.subarray(k), score) - 1;
    }
    while (thresholds[k] > score) k += 1;
    places[j] = k;
    found[k] += 1;
    tp[k] += gain[j];
  });
  return places;
}

function joined(places) {
  const all = new Int32Array(places.reduce((sum, list) => sum + list.length, 0));
  let end = 0;
  for (const list of places) {
    all.set(list, end);
    end += list.length;
  }
  return all.sort();
}

/** The value of entry k of a sweep for a goal; -Infinity is forbidden. */
const WORTH = {
  "f1": ({ tp, found, nTrue }, k) => (2 * tp[k]) / (found[k] + nTrue),
  "count": ({ error }, k) => -error[k],
  "equal": ({ found, nTrue }, k) => -Math.abs(found[k] - nTrue),
  "few false": ({ tp, found }, k, mostFalse) => (found[k] - tp[k] <= mostFalse * found[k] ? tp[k] : -Infinity),
};

/**
 * The best threshold for a goal, or NaN: the middle of the widest run of equally good neighbours; of
 * equally wide runs the higher. As `best_threshold` in sweep.py.
 * @param {Sweep} sweep @param {string} goal @param {number} mostFalse
 */
export function bestThreshold(sweep, goal, mostFalse = 0.05) {
  const { thresholds, nTrue } = sweep;
  const n = thresholds.length;
  const [worth, worthOf] = [new Float64Array(n), WORTH[goal]];
  let most = -Infinity;
  for (let k = 0; k < n; k++) most = Math.max(most, worth[k] = worthOf(sweep, k, mostFalse));
  if (!nTrue || most === -Infinity) return NaN;
  let [low, high] = [0, -Infinity];
  for (let k = 0; k < n; k++) {
    if (worth[k] !== most) continue;
    const top = thresholds[k];
    while (k + 1 < n && worth[k + 1] === most) k += 1;
    const bottom = k + 1 < n ? thresholds[k + 1] : Math.min(FLOOR, thresholds[n - 1]);
    if (high === -Infinity || top - bottom > high - low) [low, high] = [bottom, top];
  }
  const middle = (high + low) / 2;
  return middle > low ? middle : high;
}

/**
 * The widest range of thresholds over which the count hardly changes, (low, high], or NaN twice. As
 * `plateau` in sweep.py.
 * @param {Sweep} sweep @returns {[number, number]}
 */
export function plateau({ thresholds, found }, slack = 0.05) {
  const n = countAt(thresholds, FLOOR);
  let [low, high] = [NaN, NaN];
  for (let k = 0, last = 0; k < n; k++) {
    while (last + 1 < n && found[last + 1] <= (1 + slack) * found[k]) last += 1;
    const bottom = last + 1 < n ? thresholds[last + 1] : FLOOR;
    if (!(thresholds[k] - bottom <= high - low)) [low, high] = [bottom, thresholds[k]];
  }
  return [low, high];
}

/**
 * How many hits and others have scores in each of n bins between FLOOR and `top`.
 * @param {Tally[]} tallies @param {number} n @param {number} top
 */
export function histogram(tallies, n, top = 1) {
  const [hits, others] = [new Int32Array(n), new Int32Array(n)];
  for (const { scores, gain } of tallies) {
    scores.forEach((score, j) => {
      const bin = Math.min(Math.max(Math.floor(((score - FLOOR) / (top - FLOOR)) * n), 0), n - 1);
      if (gain[j]) hits[bin] += 1;
      else others[bin] += 1;
    });
  }
  return { hits, others };
}

/**
 * The order of images in the strip: by name, or most errors first (unannotated ones last, most points
 * first). The sort is stable.
 * @param {{tp: number, found: number, true: number, marked: boolean}[]} counts @param {string} by
 */
export function orderOf(counts, by) {
  const all = counts.map((_, i) => i);
  if (by !== "worst") return all;
  const amount = counts.map(({ tp, found, true: nTrue, marked }) => (marked ? found + nTrue - 2 * tp : found - 1e9));
  return all.sort((a, b) => amount[b] - amount[a] || a - b);
}

/** The labelled images held back at a share of 0 to 0.5, from a permutation (half up, as `Trial.held` rounds). */
export function heldBack(/** @type {number[]} */ permutation, /** @type {number} */ share) {
  return new Set(permutation.slice(0, Math.floor(share * permutation.length + 0.5)));
}
