"""From a folder of images to JupyterLab with the annotator in it: a ready notebook, and the server.

Not about annotating itself: widget.py. The notebook lies in `.pointlib/` and belongs to whoever
changes it: it is written anew only while its cells are as they were written here.
"""

import itertools
import json
import signal
import tempfile
from pathlib import Path

from pointlib.files import need_file, write_atomic
from pointlib.images import image_folder, list_images

INTRODUCTION = """\
**Click into the grey cell below and press Shift+Enter: the annotator opens.** \
Press `?` in it for all keys. What you click is saved as you go, beside the images."""
CODE = "from pointlib.annotate.widget import Annotator\n\nAnnotator({arguments})"


def write_notebook(folder, *, classes=None, model=None):
    """Write the notebook that shows the annotator on a folder of images.

    Parameters
    ----------
    folder : str or Path
        Images, or a folder that holds them in `images/`.
    classes, model : optional
        As `Annotator` takes them.

    Returns
    -------
    Path
        `.pointlib/annotate.ipynb` beside the images; `annotate-2.ipynb`, `-3`, ... where a notebook
        of that name was changed by hand; in a temporary folder where nothing can be written there.
    """
    folder = image_folder(folder).resolve()
    list_images(folder)  # none, or two of one stem: told here, not in the browser
    arguments = [repr(str(folder))]
    if classes is not None:
        arguments.append(f"classes={tuple(classes)!r}")
    if model is not None:
        for name in ("pointlib.json", "model.safetensors"):
            need_file(Path(model) / name, "model file")
        arguments.append(f"model={str(Path(model).resolve())!r}")
    content = _notebook(CODE.format(arguments=", ".join(arguments)))
    try:
        return _write_unless_changed(folder / ".pointlib", content)
    except OSError:  # read-only: to look at, the annotator says so itself
        return _write_unless_changed(Path(tempfile.mkdtemp(prefix="pointlib-")), content)


def launch(notebook, *, port=None, browser=True, options=()):
    """Open a notebook in JupyterLab, of this very Python, and stay until Ctrl+C.

    `port`: default 8888 or the next free one. `options`: more arguments for JupyterLab.
    """
    from jupyterlab.labapp import LabApp

    with tempfile.TemporaryDirectory(prefix="pointlib-") as layout:  # not last week's other tabs
        arguments = [
            f"--ServerApp.root_dir={notebook.parent}",  # from here `.pointlib` is not hidden
            f"--LabApp.default_url=/lab/tree/{notebook.name}",
            f"--LabApp.workspaces_dir={layout}",
            "--ServerApp.answer_yes=True",  # Ctrl+C once is enough: every click is on disk
            "--ServerApp.allow_root=True",  # as in containers; it listens to this machine only
            "--log-level=WARN",
            f"--ServerApp.open_browser={browser}",
            *([] if port is None else [f"--ServerApp.port={port}"]),
        ]
        # without a terminal Jupyter's own handler is absent, and half of it would live on
        signal.signal(signal.SIGINT, lambda *_: signal.raise_signal(signal.SIGTERM))
        LabApp.launch_instance([*arguments, *options])


def _notebook(code):
    """Return the notebook as JSON; its metadata remember what the cells were."""
    cells = [
        {"cell_type": "markdown", "id": "what-to-do", "metadata": {}, "source": INTRODUCTION},
        {"cell_type": "code", "id": "annotator", "metadata": {}, "source": code},
    ]
    cells[1] |= {"execution_count": None, "outputs": []}
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    metadata = {"kernelspec": kernel, "pointlib": {"cells": _sources(cells)}}
    whole = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1)


def _write_unless_changed(folder, content):
    """Write to the first of annotate.ipynb, annotate-2.ipynb, ... that nobody has changed."""
    folder.mkdir(exist_ok=True)
    names = itertools.chain(["annotate.ipynb"], map("annotate-{}.ipynb".format, itertools.count(2)))
    path = next(folder / name for name in names if _is_ours(folder / name))
    write_atomic(path, content)
    return path


def _is_ours(path):
    """Return whether nothing stands at `path`, or cells just as they were written."""
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        return notebook["metadata"]["pointlib"]["cells"] == _sources(notebook["cells"])
    except FileNotFoundError:
        return True
    except (ValueError, KeyError, TypeError):  # no notebook of ours, or half of one
        return False


def _sources(cells):
    """Return the text of the cells; the empty one that Shift+Enter adds does not count."""
    return [text for cell in cells if (text := "".join(cell["source"])).strip()]
