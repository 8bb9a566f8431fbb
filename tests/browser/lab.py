"""A real JupyterLab of this Python, apart from the user's own, and notebooks opened in it."""

import ast
import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat

from browser.harness import LIMIT, AnnotatorView
from pointlib.annotate.journal import read_journal
from pointlib.annotate.steps import replay

QUIET = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
OPTIONS = [
    "--no-browser",
    "--allow-root",
    "--ServerApp.port_retries=0",
    "--LabApp.expose_app_in_browser=True",
    "--ContentsManager.allow_hidden=True",
]


class Lab:
    """The server; `root` is its folder, with all that Jupyter and IPython keep in it.

    `settings` stand in place of JupyterLab's own: {plugin: {setting: value}}.
    """

    def __init__(self, root, browser, *, settings=None):
        self.root, self.token = root, secrets.token_hex(16)
        self.context = browser.new_context(viewport={"width": 1100, "height": 900})
        self.context.set_default_timeout(LIMIT)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = f"http://127.0.0.1:{free.getsockname()[1]}"
        home = root / "jupyter"
        (home / "config" / "labconfig").mkdir(parents=True)
        (home / "config" / "labconfig" / "page_config.json").write_text(json.dumps(QUIET))
        overrides = home / "config" / "labconfig" / "default_setting_overrides.json"
        overrides.write_text(json.dumps(settings or {}))
        names = {"JUPYTER_CONFIG_DIR": "config", "IPYTHONDIR": "ipython"}
        names |= {"JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime"}
        port, command = self.address.rpartition(":")[2], [sys.executable, "-m", "jupyterlab"]
        with (root / "server.log").open("wb") as log:
            self.server = subprocess.Popen(
                [*command, *OPTIONS, f"--port={port}", f"--IdentityProvider.token={self.token}"],
                env=os.environ | {name: str(home / part) for name, part in names.items()},
                cwd=root,
                stdout=log,
                stderr=log,
            )
        self._wait()

    def _wait(self):
        deadline = time.monotonic() + LIMIT / 1000
        while time.monotonic() < deadline and self.server.poll() is None:
            with contextlib.suppress(OSError):
                address = f"{self.address}/api/status?token={self.token}"
                with urllib.request.urlopen(address, timeout=5):  # noqa: S310 - our own server
                    return
            time.sleep(0.1)
        raise RuntimeError((self.root / "server.log").read_text())

    def close(self):
        """Stop the server and its kernels."""
        self.context.close()
        self.server.terminate()
        self.server.wait(60)

    def open(self, path):
        """Open the notebook at `path` on a page of its own and wait for its kernel."""
        return Notebook(self.context.new_page(), self, path)


class Notebook:
    """A notebook in JupyterLab."""

    def __init__(self, page, lab, path):
        self.page, self.lab, self.path = page, lab, path
        self.load()

    def load(self):
        """Go to the notebook, also again, and wait until its kernel is idle."""
        place = self.path.relative_to(self.lab.root).as_posix()
        self.page.goto(f"{self.lab.address}/lab/tree/{place}?reset&token={self.lab.token}")
        self.page.wait_for_function(
            "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
        )

    def close(self):
        """End the kernel and close the page."""
        self.do("shell.currentWidget.sessionContext.shutdown()")
        self.page.close()

    def run_all(self):
        """Run all cells, to the end."""
        self.do("commands.execute('notebook:run-all-cells')")

    def do(self, expression):
        """Evaluate an expression of the JupyterLab app, and wait for it."""
        return self.page.evaluate(f"async () => {{ await window.jupyterapp.{expression}; }}")

    def read(self, expression):
        """Return an expression of `n`, the notebook as shown."""
        return self.page.evaluate(
            f"() => {{ const n = window.jupyterapp.shell.currentWidget.content; return {expression}; }}"
        )

    def start(self, code):
        """Have the kernel run code; do not wait for it."""
        code = json.dumps({"code": code})
        kernel = "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"
        self.page.evaluate(f"() => {{ {kernel}.requestExecute({code}); }}")

    def ask(self, expression):
        """Return what a Python expression of JSON's kinds is in the kernel."""
        text = f"__import__('json').dumps({expression})"
        content = json.dumps({"code": "", "silent": True, "user_expressions": {"it": text}})
        kernel = "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"
        reply = self.page.evaluate(f"async () => (await {kernel}.requestExecute({content}).done)")
        answer = reply["content"]["user_expressions"]["it"]
        assert answer["status"] == "ok", answer
        return json.loads(ast.literal_eval(answer["data"]["text/plain"]))

    def wait(self, holds):
        """Wait until `holds()`; the page goes on meanwhile."""
        deadline = time.monotonic() + LIMIT / 1000
        while not holds():
            assert time.monotonic() < deadline
            self.page.wait_for_timeout(20)

    def view(self, folder, number=0):
        """Return the annotator shown here, with its first image."""
        return self.arrive(LabView(self.page, folder, number))

    def arrive(self, view):
        """Wait until a view has its first image, bring it into sight, and return it."""
        view.until(view.READY)
        view.stage.scroll_into_view_if_needed()
        view.stage.focus()
        return view


class LabView(AnnotatorView):
    """An annotator's display in JupyterLab; what it knows of Python is what is on disk."""

    def __init__(self, page, folder, number=0):
        super().__init__(page, None, number)
        self.folder = folder

    def kept(self, name="a.png"):
        """Return the points of an image, by what the journal says."""
        annotation = replay(read_journal(self.folder / ".pointlib" / "journal.jsonl")).get(name)
        return [(point.x, point.y) for point in annotation.points.values()] if annotation else []


def write_notebook(path, *cells):
    """Write a notebook of code cells."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, path)
    return path
