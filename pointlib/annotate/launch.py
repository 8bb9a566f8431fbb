"""From a folder of images to JupyterLab with the annotator: a generated notebook and the server.

Not about annotating itself: widget.py. The notebook lives in `.pointlib/`. It is overwritten
only if its cells are unchanged, so that nobody loses edits.
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


def write_notebook(folder, *, classes=None, model=None, learn=False):
    """Write the notebook that opens the annotator on a folder of images.

    Parameters
    ----------
    folder : str or Path
        Images, or a folder that holds them in `images/`.
    classes, model, learn : optional
        As for `Annotator`.

    Returns
    -------
    Path
        `.pointlib/annotate.ipynb` beside the images; `annotate-2.ipynb`, `-3`, ... if a notebook
        of that name was changed by hand; in a temporary folder if that one cannot be written.
    """
    folder = image_folder(folder).resolve()
    list_images(folder)  # raises if there is none, or two share a stem: here, not in the browser
    arguments = [repr(str(folder))]
    if classes is not None:
        arguments.append(f"classes={tuple(classes)!r}")
    if model is not None:
        for name in ("pointlib.json", "model.safetensors"):
            need_file(Path(model) / name, "model file")
        arguments.append(f"model={str(Path(model).resolve())!r}")
    if learn:
        arguments.append("learn=True")
    content = _notebook(CODE.format(arguments=", ".join(arguments)))
    try:
        return _write_unless_changed(folder / ".pointlib", content)
    except OSError:  # read-only: images can still be viewed, and the annotator says so
        return _write_unless_changed(Path(tempfile.mkdtemp(prefix="pointlib-")), content)


def launch(notebook, *, port=None, browser=True, options=()):
    """Open a notebook in this Python's JupyterLab, and block until Ctrl+C.

    `port`: default 8888 or the next free one. `options`: more arguments for JupyterLab.
    """
    from jupyterlab.labapp import LabApp

    with tempfile.TemporaryDirectory(prefix="pointlib-") as layout:  # no tabs of old sessions
        arguments = [
            f"--ServerApp.root_dir={notebook.parent}",  # from here `.pointlib` is not hidden
            f"--LabApp.default_url=/lab/tree/{notebook.name}",
            f"--LabApp.workspaces_dir={layout}",
            "--ServerApp.answer_yes=True",  # Ctrl+C once is enough: every click is on disk
            "--ServerApp.allow_root=True",  # as in containers; it listens on this machine only
            "--log-level=WARN",
            f"--ServerApp.open_browser={browser}",
            *([] if port is None else [f"--ServerApp.port={port}"]),
        ]
        # without a terminal Jupyter has no handler of its own, and part of it would keep running
        signal.signal(signal.SIGINT, lambda *_: signal.raise_signal(signal.SIGTERM))
        LabApp.launch_instance([*arguments, *options])


def _notebook(code):
    """Return the notebook as JSON; its metadata record the original cells."""
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
    """Write to the first of annotate.ipynb, annotate-2.ipynb, ... that is unchanged."""
    folder.mkdir(exist_ok=True)
    names = itertools.chain(["annotate.ipynb"], map("annotate-{}.ipynb".format, itertools.count(2)))
    path = next(folder / name for name in names if _is_ours(folder / name))
    write_atomic(path, content)
    return path


def _is_ours(path):
    """Return whether `path` is free, or holds a notebook whose cells are unchanged."""
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        return notebook["metadata"]["pointlib"]["cells"] == _sources(notebook["cells"])
    except FileNotFoundError:
        return True
    except (ValueError, KeyError, TypeError):  # not a notebook of ours, or an incomplete one
        return False


def _sources(cells):
    """Return the text of the cells; the empty one that Shift+Enter adds is ignored."""
    return [text for cell in cells if (text := "".join(cell["source"])).strip()]
