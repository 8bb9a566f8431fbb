/**
 * What an undo or a redo changed: where to look, and what to say. Pure: no page, no messages.
 */

import { plural } from "../widgets/common.js";

/**
 * Where an outcome changed an image and in which words.
 * @param {any} outcome  from Python @param {Map<string, any> | null} before  its points before, if known
 * @returns {{place: {x: number, y: number} | null, words: string}}
 */
export function whatChanged(outcome, before) {
  const changes = outcome.changes ?? [];
  const rings = (outcome.regions ?? []).flatMap(({ rings }) => rings ?? []);
  const spots = changes.map(({ id, point }) => point ?? before?.get(id)).filter(Boolean);
  const corners = rings[0]?.map(([x, y]) => ({ x, y })) ?? [];
  return { place: middle(spots.length ? spots : corners), words: wordsOf(outcome, changes, before) };
}

function wordsOf(outcome, changes, before) {
  const gone = changes.filter(({ point }) => !point).length;
  const back = changes.filter(({ id, point }) => point && before && !before.has(id)).length;
  const kinds = [[back, "brought back"], [gone, "removed"], [changes.length - gone - back, "changed"]];
  const told = kinds.filter(([n]) => n).map(([n, what]) => `${plural(n, "point")} ${what}`);
  if (outcome.regions?.length) told.push(`${plural(outcome.regions.length, "region")} changed`);
  return told.length ? told.join(", ") : `now ${outcome.state}`;
}

/** The middle of some places, null if there is none. */
function middle(places) {
  if (!places.length) return null;
  const mean = (/** @type {"x" | "y"} */ axis) => places.reduce((sum, place) => sum + place[axis], 0) / places.length;
  return { x: mean("x"), y: mean("y") };
}
