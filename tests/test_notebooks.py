"""Every lesson keeps every rule of notebook_rules.py, and every rule can fail.

No kernel runs here: `make test` compares the outputs themselves with nbval.
"""

import base64
import configparser
import io
import re
from pathlib import Path

import matplotlib as mpl
import nbformat
import numpy as np
import pytest
from matplotlib.colors import to_rgba
from notebook_rules import (
    EXEMPT,
    LEEWAY,
    MEASURES,
    RULES,
    Lesson,
    broken,
    figures,
    measure,
    read,
    texts,
)
from PIL import Image, PngImagePlugin
from run_notebooks import NOTEBOOKS, clean, find, strip_png, to_bytes

LESSONS = sorted(NOTEBOOKS.glob("*.ipynb"))
SANITIZER = Path(__file__).with_name("nbval_sanitize.cfg")


def by_stem(path):
    """Return how a test names a lesson."""
    return path.stem


def test_lessons_there_are_some():
    """A suite over no notebooks would pass for ever."""
    assert LESSONS


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize("path", LESSONS, ids=by_stem)
def test_lesson_keeps_the_measure(path, name):
    """The number lies within its target (within its hard limit where LEEWAY says why)."""
    assert measure(read(path), name) is None


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("path", LESSONS, ids=by_stem)
def test_lesson_keeps_the_rule(path, name):
    """No cell breaks the rule."""
    assert broken(read(path), name) == []


def test_leeway_names_real_measures_and_says_why():
    """An exception is for a measure that exists, and has a reason."""
    for (_, name), reason in (LEEWAY | EXEMPT).items():
        assert name in MEASURES
        assert len(reason.split()) > 3


def test_matplotlibrc_sets_the_resolution_and_the_paper_of_the_rules():
    """The notebooks' own settings make pictures of 72 dots an inch, dark ink on opaque white."""
    path = NOTEBOOKS / "matplotlibrc"
    settings = mpl.rc_params_from_file(path, fail_on_error=True, use_default_template=False)
    assert settings["figure.dpi"] == 72
    assert settings["savefig.transparent"] is False
    for part in ("figure.facecolor", "axes.facecolor", "savefig.facecolor"):
        assert to_rgba(settings[part]) == (1, 1, 1, 1), part


def test_sanitizer_has_at_most_five_rules_and_each_is_needed():
    """Each rule names the line it exists for, and matches some stored output."""
    config = configparser.RawConfigParser()
    config.read(SANITIZER)
    outputs = "\n".join(text for path in LESSONS for _, text in texts(read(path)))
    assert len(config.sections()) <= 5
    for name in config.sections():
        assert re.search(config[name]["regex"], outputs), name
        assert re.search(rf"# .+\n\[{name}\]", SANITIZER.read_text(encoding="utf-8")), name


# The rules can fail: a lesson that keeps them all, and one spoiled copy for each.


def png(*, dpi=72, size=20, channels=3, **text):
    """Return a noisy picture as a PNG file, with the given comments in it."""
    noise = np.random.default_rng(0).integers(0, 256, (size, size, channels), dtype=np.uint8)
    comments, file = PngImagePlugin.PngInfo(), io.BytesIO()
    for key, value in text.items():
        comments.add_text(key, value)
    Image.fromarray(noise).save(file, "png", dpi=(dpi, dpi), pnginfo=comments)
    return file.getvalue()


def picture(data):
    """Return an output that shows the PNG file `data`."""
    content = {"image/png": base64.b64encode(data).decode(), "text/plain": "<Figure size 9x4>"}
    return nbformat.v4.new_output("display_data", data=content)


def code(source, printed="1\n", *, hidden=False):
    """Return a code cell that printed `printed`."""
    cell = nbformat.v4.new_code_cell(source)
    cell.outputs = (
        [nbformat.v4.new_output("stream", name="stdout", text=printed)] if printed else []
    )
    if hidden:
        cell.metadata["jupyter"] = {"source_hidden": True}
    return cell


def good_cells():
    """Return the cells of a lesson that keeps every rule."""
    prose, words = nbformat.v4.new_markdown_cell, "A sentence that says what comes. "
    frame = "# Title\n\nOne sentence.\n\n> You need this. You get that. About 3 minutes."
    cells = [prose(frame), code("import math", "")]
    for section in range(4):
        cells += [prose(f"## Section {section}\n\n{words * 15}"), code("math.pi", "3.14\n")]
        cells += [prose(words * 5), code("math.pi", "3.14\n"), prose(words * 10), code("1")]
        cells[-1].outputs.append(picture(png()))
    cells += [prose("## Your turn\n\n1. Try this.\n2. Try that.")]
    cells += [prose("## What you saw\n\n- One.\n- Two.\n- Three.\n\nNext: [there](next.ipynb).")]
    cells += [prose("### Answers\n\nOne."), code("1", hidden=True)]
    return [*cells, prose("Two."), code("2", hidden=True)]


def lesson(cells, folder, *, cleaned=True):
    """Return a Lesson of `cells`, run and cleaned."""
    for number, cell in enumerate((c for c in cells if c.cell_type == "code"), 1):
        cell.execution_count = number if cell.execution_count is None else cell.execution_count
    notebook = nbformat.v4.new_notebook(cells=cells)
    data = to_bytes(clean(notebook) if cleaned else notebook)
    (folder / "next.ipynb").touch()
    return Lesson("bad", nbformat.reads(data.decode(), as_version=4), data, folder)


def broken_by(cells, folder, **options):
    """Return the names of all measures and rules that a lesson of `cells` breaks."""
    spoiled = lesson(cells, folder, **options)
    return {n for n in MEASURES if measure(spoiled, n)} | {n for n in RULES if broken(spoiled, n)}


def first(cells, pattern):
    """Return the first cell whose source matches."""
    return next(cell for cell in cells if re.search(pattern, cell.source))


def source(pattern, new):
    """Return a spoiler that rewrites the first cell matching `pattern`."""
    return lambda cells: setattr(first(cells, pattern), "source", new)


def sources(pattern, new):
    """Return a spoiler that rewrites every cell matching `pattern`."""
    return lambda cells: [setattr(c, "source", new) for c in cells if re.search(pattern, c.source)]


def output(new):
    """Return a spoiler that adds an output to the first code cell."""
    return lambda cells: cells[1].outputs.append(new)


def said(text, name="stdout"):
    """Return a spoiler that makes the first code cell print `text`."""
    return output(nbformat.v4.new_output("stream", name=name, text=text))


def prose(n, words):
    """Return a spoiler that adds `n` cells of `words` words."""
    return lambda cells: cells.extend(
        nbformat.v4.new_markdown_cell("word " * words) for _ in range(n)
    )


def no_outputs(cells):
    """Drop every output of the lesson."""
    for cell in cells:
        if cell.cell_type == "code":
            cell.outputs = []


def no_numbers(cells):
    """Drop what stands beside the pictures."""
    for cell in cells:
        if len(cell.get("outputs", [])) == 2:
            cell.outputs = cell.outputs[1:]


SPOILERS = {
    "cells": lambda cells: cells.extend(good_cells()),
    "% markdown cells": prose(8, 10),
    "code lines, most": source("math.pi", "1\n" * 31),
    "words a markdown cell, median": prose(20, 70),
    "words a markdown cell, p90": prose(5, 110),
    "words": prose(4, 300),
    "code cells in a row": lambda cells: cells.extend([code("1"), code("1"), code("1")]),
    "# headings": source("Section 1", "# Section\n\nMore."),
    "## headings": sources("Section", "Section\n\nMore."),
    "% code cells with output": no_outputs,
    "figures": no_outputs,
    "figures not at 72 dpi": output(picture(png(dpi=100))),
    "bytes of a figure": output(picture(png(size=220))),
    "bytes of the file": output(picture(png(size=500))),
    "functions": source("math.pi", "def f():\n    1\ndef g():\n    2\ndef h():\n    3"),
    "exercises": source("Your turn", "## Your turn\n\n1. One."),
    "outputs_are_clean": said("careful", "stderr"),
    "counts_are_in_order": lambda cells: setattr(cells[1], "execution_count", 7),
    "code_suits_nbval": source("math.pi", "math.pi;"),
    "ignored_outputs_are_few": lambda cells: cells[1].metadata.update(tags=["nbval-ignore-output"]),
    "pictures_have_numbers": no_numbers,
    "pictures_are_opaque": output(picture(png(channels=4))),
    "pictures_have_alt_texts": source("Section 0", "## Section 0\n\n![](next.ipynb) shows it."),
    "code_is_introduced": source("Section 0", "## Section 0"),
    "frame_is_complete": source("You need", "# Title\n\nOne sentence."),
    "imports_stand_in_one_cell": source("math.pi", "import cmath"),
    "summary_is_short": source("What you saw", "## What you saw\n\nMuch."),
    "links_lead_somewhere": source("What you saw", "## What you saw\n\n- [a](b.ipynb)"),
    "answers_are_folded": lambda cells: cells[-1].metadata.clear(),
    "headings_are_in_order": source("Section 1", "#### Section 1"),
}


def test_rules_pass_a_good_lesson(tmp_path):
    """The lesson that the others spoil breaks nothing."""
    assert broken_by(good_cells(), tmp_path) == set()


def test_rules_have_a_spoiler_each():
    """No rule is left untried."""
    assert set(SPOILERS) | {"file_is_clean"} == set(MEASURES) | set(RULES)


@pytest.mark.parametrize("name", SPOILERS)
def test_rule_fails_on_a_spoiled_lesson(name, tmp_path):
    """The spoiled lesson breaks the rule it was spoiled for."""
    cells = good_cells()
    SPOILERS[name](cells)
    assert name in broken_by(cells, tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "Traceback (most recent call last):",
        "<AxesImage at 0x7f01aa22bc10>",
        "/home/me/cat.png",
        "0.30000000000000004",
        "done in 3.2 s",
        "torch 2.11.0",
        "UserWarning: look",
        "Tuner(6 images, predicting)",
    ],
)
def test_outputs_are_clean_fails_on_each_forbidden_text(text, tmp_path):
    """Each thing that may not occur is found."""
    cells = good_cells()
    said(text)(cells)
    assert broken_by(cells, tmp_path) == {"outputs_are_clean"}


def test_outputs_are_clean_lets_ordinary_numbers_pass(tmp_path):
    """Rounded numbers, shapes and counts are what a lesson is made of."""
    cells = good_cells()
    said("(3, 64, 96) 0.9712 12 points, 3 seeds, F1 above 0.9: True")(cells)
    assert broken_by(cells, tmp_path) == set()


@pytest.mark.parametrize(
    ("tag", "is_told"),
    [
        ("![Hits and misses](next.ipynb)", True),
        ("![ ](next.ipynb)", False),
        ('<img src="next.ipynb" alt="Hits and misses">', True),
        ("<img alt='Hits' src='next.ipynb'/>", True),
        ('<img src="next.ipynb" alt="">', False),
        ('<img src="next.ipynb" data-alt="Hits">', False),
        ('<img\n  src="next.ipynb">', False),
    ],
)
def test_pictures_have_alt_texts_reads_both_ways_of_writing_them(tag, is_told, tmp_path):
    """A picture is a picture in Markdown and in HTML, and an empty text is none."""
    cells = good_cells()
    cells[0].source += f"\n\n{tag}"
    assert ("pictures_have_alt_texts" in broken_by(cells, tmp_path)) is not is_told


def test_file_is_clean_fails_on_metadata_a_browser_adds(tmp_path):
    """What Jupyter writes when a reader saves is found."""
    cells = good_cells()
    cells[2].metadata["editable"] = True
    assert "file_is_clean" in broken_by(cells, tmp_path, cleaned=False)


def test_measure_says_which_cell_and_number(tmp_path):
    """A failure can be acted upon."""
    cells = good_cells()
    SPOILERS["code lines, most"](cells)
    number = cells.index(first(cells, "1\n1")) + 1
    message = measure(lesson(cells, tmp_path), "code lines, most")
    assert message == f"bad, cell {number}: code lines, most is 31; it should be 0 to 30"


# The cleaner.


def test_clean_keeps_tags_and_folding_and_drops_the_rest():
    """Tags and source_hidden survive; timing, widget state and other metadata do not."""
    cell = code("1", hidden=True)
    cell.metadata.update(tags=["a"], execution={"iopub.execute_input": "now"}, scrolled=True)
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": {"state": 1}})
    cleaned = clean(notebook)
    assert set(cleaned.metadata) == {"kernelspec", "language_info"}
    assert cleaned.cells[0].metadata == {"tags": ["a"], "jupyter": {"source_hidden": True}}
    assert cleaned.cells[0].id == "cell-01"


def test_clean_joins_streams_and_drops_widget_views():
    """How prints arrive in pieces is chance, and a widget's id is random."""
    cell = code("1", "a\n")
    cell.outputs.append(nbformat.v4.new_output("stream", name="stdout", text="b\n"))
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "1f"}, "text/plain": "Tuner()"}
    cell.outputs.append(nbformat.v4.new_output("display_data", data=view))
    stream, widget = clean(nbformat.v4.new_notebook(cells=[cell])).cells[0].outputs
    assert stream.text == "a\nb\n"
    assert widget.data == {"text/plain": "Tuner()"}


def test_clean_twice_changes_nothing_more(tmp_path):
    """Cleaning is idempotent, to the byte."""
    once = lesson(good_cells(), tmp_path)
    assert to_bytes(clean(nbformat.reads(once.data.decode(), as_version=4))) == once.data
    assert figures(once)


def test_strip_png_drops_comments_and_keeps_pixels_and_resolution():
    """The name and version of the program that drew it do not reach the repository."""
    before = png(Software="Plotter 3.11.2", Author="me")
    after = strip_png(before)
    assert b"Plotter" in before
    assert b"Plotter" not in after
    with Image.open(io.BytesIO(before)) as a, Image.open(io.BytesIO(after)) as b:
        assert np.array_equal(np.asarray(a), np.asarray(b))
        assert round(b.info["dpi"][0]) == 72


def test_find_names_the_notebooks_that_exist(tmp_path):
    """A name that is none is a sentence, not a traceback."""
    (tmp_path / "01_a.ipynb").touch()
    assert find(["notebooks/01_a.ipynb"], folder=tmp_path) == [tmp_path / "01_a.ipynb"]
    with pytest.raises(SystemExit, match="no notebook 02_b; there are: 01_a"):
        find(["02_b"], folder=tmp_path)


def test_readme_lists_each_lesson_with_its_minutes():
    """The README's table names every lesson once, with the minutes that the lesson itself names."""
    readme = (NOTEBOOKS.parent / "README.md").read_text(encoding="utf-8")
    listed = dict(
        re.findall(r"^\| \[(\w+)\]\(notebooks/\1\.ipynb\) \| (\d+) \|", readme, re.MULTILINE)
    )
    said = {
        lesson.name: re.search(
            r"\*\*Takes\*\* about (\d+) minutes", lesson.notebook.cells[0].source
        )
        for lesson in map(read, find([]))
    }
    assert listed == {name: match and match[1] for name, match in said.items()}
