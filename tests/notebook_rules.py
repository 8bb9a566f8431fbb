"""What a lesson must look like, as numbers and as things that may not occur.

MEASURES mirrors the table by which the lessons are written: a target, and a hard limit for
the lessons that LEEWAY names with a reason. RULES are the sentences beside the table. No kernel
is needed: everything is read from the stored file. Not about right results: nbval compares those.
"""

import ast
import base64
import io
import re
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import nbformat
import numpy as np
from PIL import Image
from run_notebooks import NOTEBOOKS, clean, to_bytes

LEEWAY = {
    # (notebook, measure): why it may leave its target, up to the hard limit.
    ("07_your_own_parts", "words a markdown cell, median"): "each part has a formula and a source",
}
# Measures that a lesson need not keep at all, and why.
EXEMPT = {
    ("07_your_own_parts", "functions"): "its subject is parts that readers define themselves",
}
# One line of code or text that a stored output may not hold, and what to call it.
FORBIDDEN = {
    "a traceback": r"Traceback \(most recent call last\)",
    "an address": r"\b0x[0-9a-f]{6,}",
    "a home path": r"(?:/(?:home|root|Users|tmp|work)/|[A-Z]:\\)",
    "an unrounded float": r"\d\.\d{5,}",
    "a timing": r"\b\d+(?:\.\d+)? ?(?:ns|µs|ms|s|sec|seconds|minutes|it/s)\b",
    "a version": r"\b\d+\.\d+\.\d+\b",
    "a warning": r"\w*Warning\b",
    "a widget that is not ready": r"\bpredicting\)",
}


class Lesson(NamedTuple):
    """A notebook as the rules read it."""

    name: str
    notebook: nbformat.NotebookNode
    data: bytes
    folder: Path = NOTEBOOKS

    def cells(self, kind):
        """Return [(number, cell)] of one kind, numbered from 1 over all the cells."""
        return [(n, c) for n, c in enumerate(self.notebook.cells, 1) if c.cell_type == kind]

    def headings(self):
        """Return [(cell number, level, text)] in order."""
        found = [
            (number, match)
            for number, cell in self.cells("markdown")
            for match in re.finditer(r"^(#+) (.+)$", cell.source, re.MULTILINE)
        ]
        return [(number, len(match[1]), match[2].strip()) for number, match in found]

    def section(self, title):
        """Return [(number, cell)] from the heading `title` to the next heading, of any kind."""
        numbers = [number for number, *_ in self.headings()]
        start = next((n for n, _, text in self.headings() if text == title), None)
        if start is None:
            return []
        end = min((n for n in numbers if n > start), default=len(self.notebook.cells) + 1)
        return list(enumerate(self.notebook.cells[start - 1 : end - 1], start))


@cache
def read(path):
    """Return the Lesson stored at `path`."""
    data = path.read_bytes()
    notebook = nbformat.reads(data.decode(), as_version=4)
    return Lesson(path.stem, notebook, data, path.parent)


def texts(lesson):
    """Return [(cell number, text)] of what the outputs of `lesson` say in words."""
    found = []
    for number, cell in lesson.cells("code"):
        for output in cell.outputs:
            data = output.get("data", {})
            found += [(number, data[kind]) for kind in ("text/plain", "text/html") if kind in data]
            found += [(number, output.text)] if "text" in output else []
    return found


def figures(lesson):
    """Return [(cell number, base64)] of the pictures among the outputs."""
    return [
        (number, output.data["image/png"])
        for number, cell in lesson.cells("code")
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]


# Measures: each returns a number, and the cell where it is worst (None where it has no place).


def _worst(pairs):
    """Return (greatest number, its cell) of [(cell, number)]."""
    return max(((value, cell) for cell, value in pairs), default=(0, None))


def _lines(lesson):
    return [
        (n, sum(bool(x.strip()) for x in c.source.splitlines())) for n, c in lesson.cells("code")
    ]


def _words(lesson):
    return [(number, len(cell.source.split())) for number, cell in lesson.cells("markdown")]


def _percentile(pairs, share):
    return round(float(np.percentile([value for _, value in pairs] or [0], share)), 1), None


def _share(part, whole):
    return round(100 * part / max(whole, 1), 1), None


def _run(lesson):
    """Return the longest run of code cells, and its last cell."""
    length, runs = 0, []
    for number, cell in enumerate(lesson.notebook.cells, 1):
        length = length + 1 if cell.cell_type == "code" else 0
        runs.append((number, length))
    return _worst(runs)


def _functions(lesson):
    trees = [(number, ast.parse(cell.source)) for number, cell in lesson.cells("code")]
    found = [n for n, tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return len(found), found[-1] if found else None


def _exercises(lesson):
    text = "\n".join(cell.source for _, cell in lesson.section("Your turn"))
    return len(re.findall(r"^\d+\. ", text, re.MULTILINE)), None


def _dpi(lesson):
    """Return how many pictures are not at 72 dots an inch, and where the last one is."""
    wrong = [n for n, data in figures(lesson) if dots_per_inch(base64.b64decode(data)) != 72]
    return len(wrong), wrong[-1] if wrong else None


def dots_per_inch(png):
    """Return the resolution that the file `png` names, None where it names none."""
    place = png.find(b"pHYs")
    return None if place < 0 else round(int.from_bytes(png[place + 4 : place + 8], "big") * 0.0254)


MEASURES = {
    # name: (measure, (least, most) to aim at, (least, most) at all)
    "cells": (lambda x: (len(x.notebook.cells), None), (15, 60), (15, 60)),
    "% markdown cells": (
        lambda x: _share(len(x.cells("markdown")), len(x.notebook.cells)),
        (50, 58),
        (45, 65),
    ),
    "code lines, most": (lambda x: _worst(_lines(x)), (0, 30), (0, 30)),
    "words a markdown cell, median": (lambda x: _percentile(_words(x), 50), (0, 60), (0, 130)),
    "words a markdown cell, p90": (lambda x: _percentile(_words(x), 90), (0, 100), (0, 130)),
    "words": (lambda x: (sum(n for _, n in _words(x)), None), (500, 1500), (500, 1500)),
    "code cells in a row": (_run, (1, 3), (1, 3)),
    "# headings": (lambda x: (sum(h[1] == 1 for h in x.headings()), None), (1, 1), (1, 1)),
    "## headings": (lambda x: (sum(h[1] == 2 for h in x.headings()), None), (4, 8), (4, 8)),
    "% code cells with output": (
        lambda x: _share(sum(bool(c.outputs) for _, c in x.cells("code")), len(x.cells("code"))),
        (70, 100),
        (50, 100),
    ),
    "figures": (lambda x: (len(figures(x)), None), (3, 6), (3, 6)),
    "figures not at 72 dpi": (_dpi, (0, 0), (0, 0)),
    "bytes of a figure": (
        lambda x: _worst((number, len(data)) for number, data in figures(x)),
        (0, 150_000),
        (0, 150_000),
    ),
    "bytes of the file": (lambda x: (len(x.data), None), (0, 800_000), (0, 800_000)),
    "functions": (_functions, (0, 2), (0, 2)),
    "exercises": (_exercises, (2, 3), (1, 3)),
}


def measure(lesson, name):
    """Return a sentence on how the measure `name` leaves its limits, or None where it does not."""
    if (lesson.name, name) in EXEMPT:
        return None
    function, target, hard = MEASURES[name]
    value, cell = function(lesson)
    least, most = hard if (lesson.name, name) in LEEWAY else target
    if least <= value <= most:
        return None
    place = f", cell {cell}" if cell else ""
    return f"{lesson.name}{place}: {name} is {value}; it should be {least} to {most}"


# Rules: each yields (cell number, what is wrong).


def outputs_are_clean(lesson):
    """No stderr, and nothing FORBIDDEN: these differ from run to run or frighten a reader."""
    for number, cell in lesson.cells("code"):
        for output in cell.outputs:
            if output.get("name") == "stderr" or output.output_type == "error":
                yield number, f"{output.get('name', 'an error')} among its outputs"
    for number, text in texts(lesson):
        for name, pattern in FORBIDDEN.items():
            if match := re.search(pattern, text):
                yield number, f"{name} in its output: {match[0]!r}"


def counts_are_in_order(lesson):
    """Execution counts 1..n prove Restart-and-Run-All."""
    for expected, (number, cell) in enumerate(lesson.cells("code"), 1):
        if cell.execution_count != expected:
            yield number, f"execution count {cell.execution_count}; expected {expected}"


def file_is_clean(lesson):
    """The cleaner of run_notebooks.py would change nothing."""
    again = to_bytes(clean(nbformat.reads(lesson.data.decode(), as_version=4)))
    if again != lesson.data:
        before, after = lesson.data.decode().splitlines(), again.decode().splitlines()
        place = next(
            (i for i, (a, b) in enumerate(zip(before, after, strict=False), 1) if a != b), "last"
        )
        yield 1, f"the cleaner would change line {place} of the file: run `make notebooks`"


def code_suits_nbval(lesson):
    """No trailing `;`, no magics, no comment for a tag: strict nbval fails on each."""
    for number, cell in lesson.cells("code"):
        for line in cell.source.splitlines():
            if line.rstrip().endswith(";"):
                yield number, f"trailing `;`: write `_ = ...` ({line.strip()!r})"
            if line.lstrip().startswith(("%", "!")):
                yield number, f"a magic or a shell line ({line.strip()!r})"
            if re.match(r"\s*#\s*(?:NBVAL|PYTEST)_", line):
                yield number, f"use a tag, not a comment ({line.strip()!r})"


def ignored_outputs_are_few(lesson):
    """At most 5 % of cells hide their output from nbval, each with an assert beside it."""
    tagged = [
        (n, c)
        for n, c in lesson.cells("code")
        if "nbval-ignore-output" in c.metadata.get("tags", [])
    ]
    for number, cell in tagged:
        if "assert " not in cell.source:
            yield number, "its output is ignored, and it has no assert"
    if len(tagged) > 0.05 * len(lesson.notebook.cells):
        yield tagged[-1][0], f"{len(tagged)} cells ignore their output; at most 5 %"


def pictures_have_numbers(lesson):
    """Pixels are not compared: each cell with a picture prints a number beside it."""
    for number in sorted({number for number, _ in figures(lesson)}):
        said = [text for n, text in texts(lesson) if n == number and not text.startswith("<Figure")]
        if not re.search(r"\d|True|False", " ".join(said)):
            yield number, "a picture, and no number printed beside it"


def pictures_are_opaque(lesson):
    """No see-through pixel: black ink on a dark page cannot be read."""
    for number, data in figures(lesson):
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            if image.convert("RGBA").getextrema()[3][0] < 255:
                yield number, "a picture that is see-through: give its figure a facecolor"


def pictures_have_alt_texts(lesson):
    """Each picture of the prose says in words what it shows, for who cannot see it."""
    for number, cell in lesson.cells("markdown"):
        for tag in re.findall(r"!\[\s*\]|<img\b[^>]*", cell.source):
            if not re.search(r"""\salt=["']\s*[^\s"']""", tag):
                yield number, f"a picture without a text in its place: {tag}"


def code_is_introduced(lesson):
    """The cell before the first of a run of code cells is prose, not a bare heading."""
    cells = lesson.notebook.cells
    for number, cell in lesson.cells("code"):
        before = cells[number - 2] if number > 1 else cell
        prose = [x for x in before.source.splitlines() if x.strip() and not x.startswith("#")]
        if number == 1 or (before.cell_type == "markdown" and not prose):
            yield number, "no sentence before it"


def frame_is_complete(lesson):
    """A title and a purpose, a box with needs, gains and minutes, and the three last parts in order."""
    first = lesson.notebook.cells[0].source
    if not re.match(r"# .+\n+\w", first):
        yield 1, "should open with `# title` and a sentence"
    top = "\n".join(cell.source for _, cell in lesson.cells("markdown")[:2])
    for word in ("You need", "You get", "minutes"):
        if not re.search(rf"^>.*{word}", top, re.MULTILINE):
            yield 1, f"no quoted box that says {word!r}"
    last = [text for _, _, text in lesson.headings()][-3:]
    if last != ["Your turn", "What you saw", "Answers"]:
        yield (
            len(lesson.notebook.cells),
            f"should end in Your turn, What you saw, Answers; not {last}",
        )


def imports_stand_in_one_cell(lesson):
    """All imports are in the first code cell, beside the seed."""
    for number, cell in lesson.cells("code")[1:]:
        if re.search(r"^\s*(?:import|from) \w", cell.source, re.MULTILINE):
            yield number, "imports; the first code cell is the place"


def summary_is_short(lesson):
    """The part "What you saw" is 3 to 5 bullets and a link to where to go next."""
    text = "\n".join(cell.source for _, cell in lesson.section("What you saw"))
    bullets = len(re.findall(r"^[-*] ", text, re.MULTILINE))
    if not 3 <= bullets <= 5:
        yield len(lesson.notebook.cells), f"What you saw has {bullets} bullets; 3 to 5"
    if not re.search(r"\]\([^)#]+\)", text):
        yield len(lesson.notebook.cells), "What you saw links to no next lesson"


def links_lead_somewhere(lesson):
    """Each relative link names a file that exists."""
    for number, cell in lesson.cells("markdown"):
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", cell.source):
            if "://" not in target and not (lesson.folder / target).exists():
                yield number, f"a link to {target}, which does not exist"


def answers_are_folded(lesson):
    """Each exercise has an answer in code: folded, and nothing else is."""
    answers = dict(lesson.section("Answers"))
    code = {number for number, cell in answers.items() if cell.cell_type == "code"}
    if len(code) < _exercises(lesson)[0]:
        yield max(answers, default=1), f"{len(code)} answers for {_exercises(lesson)[0]} exercises"
    for number, cell in lesson.cells("code"):
        hidden = bool(cell.metadata.get("jupyter", {}).get("source_hidden"))
        if hidden != (number in code):
            yield (
                number,
                "an answer that is not folded" if number in code else "folded, but no answer",
            )


def headings_are_in_order(lesson):
    """No level is skipped on the way down."""
    levels = lesson.headings()
    for (_, above, _), (number, level, text) in pairwise(levels):
        if level > above + 1:
            yield number, f"heading {text!r} of level {level} after level {above}"


RULES = {
    rule.__name__: rule
    for rule in (
        outputs_are_clean,
        counts_are_in_order,
        file_is_clean,
        code_suits_nbval,
        ignored_outputs_are_few,
        pictures_have_numbers,
        pictures_are_opaque,
        pictures_have_alt_texts,
        code_is_introduced,
        frame_is_complete,
        imports_stand_in_one_cell,
        summary_is_short,
        links_lead_somewhere,
        answers_are_folded,
        headings_are_in_order,
    )
}


def broken(lesson, name):
    """Return sentences on where the rule `name` is broken; an empty list where it is kept."""
    return [f"{lesson.name}, cell {number}: {what}" for number, what in RULES[name](lesson)]
