/** Loads a shipped script as a widget's browser gets it: its siblings before it, in one text. */

import { readFileSync } from "node:fs";

const IMPORT = /^import \{[^}]*\} from "(\.[\w./]+)";\n/gm;

/** The files that make up a widget, each once, those that others need first. */
function files(url, known = new Map()) {
  const text = readFileSync(url, "utf8");
  for (const [, sibling] of text.matchAll(IMPORT)) {
    const other = new URL(sibling, url);
    if (!known.has(other.href)) files(other, known);
  }
  return known.set(url.href, text.replace(IMPORT, ""));
}

/** The module `name` of the package; a name that stands in two files is a syntax error. */
export function load(name) {
  return import(`data:text/javascript,${encodeURIComponent([...files(new URL(`../../pointlib/${name}`, import.meta.url)).values()].join(""))}`);
}
