/** Loads a shipped script as a widget's browser gets it: its siblings before it, in one text. */

import { readFileSync } from "node:fs";

const IMPORT = /^import \{[^}]*\} from "\.\/([\w.]+)";\n/gm;

/** The files that make up a widget, each once, those that others need first. */
function files(name, known = new Map()) {
  const text = readFileSync(new URL(`../../pointlib/static/${name}`, import.meta.url), "utf8");
  for (const [, sibling] of text.matchAll(IMPORT)) if (!known.has(sibling)) files(sibling, known);
  return known.set(name, text.replace(IMPORT, ""));
}

/** The module of static/`name`; a name that stands in two files is a syntax error. */
export function load(name) {
  return import(`data:text/javascript,${encodeURIComponent([...files(name).values()].join(""))}`);
}
