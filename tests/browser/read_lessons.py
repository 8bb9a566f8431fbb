"""Every lesson in JupyterLab, Run All, as a reader would: `make test-all`.

What a reader sees is written to runs/lessons/NAME/, bright and dark, in pages to look at. Not
collected by `make test`, which runs the same cells without a browser.
"""

import re
import shutil

import pytest
from run_notebooks import ENVIRONMENT, NOTEBOOKS

from browser.lab import Lab

ROOT = NOTEBOOKS.parent
OUT = ROOT / "runs" / "lessons"
# Cells out of sight exist on the page too, and a page is as long as the lesson.
SETTINGS = {"@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"}}
WIDTH, PAGE = 1100, 1600  # px
THEMES = {"bright": "JupyterLab Light", "dark": "JupyterLab Dark"}
WIDGET = "application/vnd.jupyter.widget-view+json"
CELLS = """n.model.toJSON().cells.filter((c) => c.cell_type === "code").map((c) => ({
  count: c.execution_count,
  bad: c.outputs.filter((o) => o.output_type === "error" || o.name === "stderr"),
  text: c.outputs.map((o) => [o.text, o.data?.["text/plain"]].flat(2).join("")).join("\\n"),
  widgets: c.outputs.filter((o) => o.data && "WIDGET" in o.data).length,
}))""".replace("WIDGET", WIDGET)
# Of each widget on the page: how large it is, and what it says.
DRAWN = """[...n.node.querySelectorAll(".jp-OutputArea-output")]
  .filter((e) => e.querySelector(":scope > .jupyter-widgets, :scope > .lm-Widget"))
  .map((e) => [e.clientWidth, e.clientHeight, e.innerText.slice(0, 200)])"""
IMAGES = """[...n.node.querySelectorAll("img")].filter((e) => !e.complete || !e.naturalWidth)
  .map((e) => e.src.slice(0, 100))"""
HEIGHT = (
    'Math.max(...[...n.node.querySelectorAll(".jp-Cell")].map((e) => e.offsetTop + e.offsetHeight))'
)


@pytest.fixture(scope="module")
def course(tmp_path_factory, browser):
    """Serve a copy of lessons and sample data, so that nothing here changes."""
    root = tmp_path_factory.mktemp("course")
    skip = shutil.ignore_patterns(".ipynb_checkpoints", ".pointlib")  # what users left there
    for name in ("notebooks", "data", "media"):
        shutil.copytree(ROOT / name, root / name, ignore=skip)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        lab = Lab(root, browser, settings=SETTINGS)
    yield lab
    lab.close()


@pytest.fixture
def lesson(course, request):
    """Open a lesson, run it to the end, and collect what the browser's console complains of."""
    notebook = course.open(course.root / "notebooks" / f"{request.param}.ipynb")
    notebook.problems = []
    notebook.page.on("pageerror", lambda error: notebook.problems.append(f"{error}\n{error.stack}"))
    notebook.do("commands.execute('application:toggle-left-area')")
    try:
        notebook.run_all()
        yield notebook
    finally:
        notebook.close()


def photograph(notebook, folder):
    """Write what a reader would scroll through, in pages."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, theme in THEMES.items():
        notebook.do(f"commands.execute('apputils:change-theme', {{theme: '{theme}'}})")
        notebook.page.set_viewport_size({"width": WIDTH, "height": PAGE})
        notebook.page.wait_for_timeout(500)
        height = notebook.read(HEIGHT)
        notebook.page.set_viewport_size({"width": WIDTH, "height": height + 150})
        notebook.read("n.outerNode.scrollTop = 0")
        notebook.page.wait_for_timeout(1500)  # ms; only pictures hang on it
        for number, top in enumerate(range(0, height + 150, PAGE), 1):
            clip = {"x": 0, "y": top, "width": WIDTH, "height": min(PAGE, height + 150 - top)}
            notebook.page.screenshot(path=folder / f"{name}_{number:02}.png", clip=clip)
    notebook.page.set_viewport_size({"width": WIDTH, "height": 900})


@pytest.mark.parametrize("lesson", sorted(p.stem for p in NOTEBOOKS.glob("*.ipynb")), indirect=True)
def test_reader_sees_all_of_it(lesson):
    """Run All reaches the end: no red cell, no warning, every widget and picture drawn."""
    photograph(lesson, OUT / lesson.path.stem)
    cells = lesson.read(CELLS)
    assert [cell["count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert [cell["bad"] for cell in cells if cell["bad"]] == []
    assert not re.search(r"\w*Warning\b|Traceback", "\n".join(cell["text"] for cell in cells))
    drawn = lesson.read(DRAWN)
    assert len(drawn) == sum(cell["widgets"] for cell in cells)
    for width, height, text in drawn:
        assert width > 100
        assert height > 20
        assert not re.search(r"Loading widget|\w+Error\b", text)
    assert lesson.read(IMAGES) == []
    assert lesson.problems == []
