/**
 * Suggestions in the annotator: read from Python's rows, ordered for a review, and the classes that
 * one can be given; and how Python is asked about what is under the pointer.
 */

/** Suggestions in the order of a review: those nearest to their threshold first, or the faintest blobs. */
export function leastCertainFirst(/** @type {any[]} */ suggestions, byModel = true) {
  const surety = (/** @type {any} */ { margin }) => (byModel ? Math.abs(margin) : margin);
  return [...suggestions].sort((a, b) => surety(a) - surety(b) || a.rank - b.rank || a.y - b.y || a.x - b.x);
}

/**
 * Suggestions from Python's rows of x, y, class, score; `margin` is how far above the threshold.
 * @param {Float32Array} rows @param {string[]} classes @param {number[]} thresholds  of the classes
 */
export function readSuggestions(rows, classes, thresholds) {
  return Array.from({ length: Math.floor(rows.length / 4) }, (_, i) => {
    const [x, y, rank, score] = rows.subarray(4 * i, 4 * i + 4);
    return { id: `suggestion-${i}`, x, y, label: classes[rank], score, rank, margin: score - thresholds[rank] };
  });
}

/**
 * What `c` gives at a spot, in turn: the suggestion, the best of each other class that was found
 * there, then the folder's other classes, to which no score belongs.
 * @param {any} suggestion  with its `others` @param {string[]} classes  of the folder @returns {any[]}
 */
export function choicesAt(suggestion, classes) {
  const found = new Map();
  for (const one of [suggestion, ...suggestion.others]) if (!found.has(one.label)) found.set(one.label, one);
  for (const label of classes) if (!found.has(label)) found.set(label, { ...suggestion, label, score: null });
  return [...found.values()];
}

/** A suggestion, shown as one of the choices at its spot. */
export function shownAs(/** @type {any} */ suggestion, /** @type {any} */ { label, x, y, score }) {
  const others = [suggestion, ...suggestion.others].filter((one) => one.label !== label);
  return { ...suggestion, label, x, y, score, others, head: suggestion };
}

/**
 * Asks Python about what is under the pointer: one question at a time, and only the newest. An
 * answer to an older question is not shown.
 */
export class Asker {
  /** @param {(question: any) => void} send */
  constructor(send) {
    this.send = send;
    this.count = 0;
    this.forget();
  }

  /** After a silence, or at first: no answer is under way. */
  forget() {
    this.waiting = 0; // the number of the question that has no answer yet
    this.sent = this.wanted = "null";
    /** @type {any} */
    this.answer = null;
  }

  /** Whether this is another question than the last; null: none. @param {any} question */
  want(question) {
    const text = JSON.stringify(question);
    if (text === this.wanted) return false;
    if (!this.waiting) this.sent = "null";
    this.wanted = text;
    this.answer = null;
    return true;
  }

  /** Send what is wanted, unless an answer is still under way. */
  next() {
    if (this.waiting || this.wanted === this.sent || this.wanted === "null") return;
    this.count += 1;
    this.waiting = this.count;
    this.sent = this.wanted;
    this.send({ ...JSON.parse(this.wanted), t: this.count });
  }

  /** Take an answer. @param {number} t  the number of its question @param {any} answer */
  hear(t, answer) {
    if (t !== this.waiting) return;
    this.waiting = 0;
    if (this.sent === this.wanted) this.answer = answer;
    else this.next();
  }
}
