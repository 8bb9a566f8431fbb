"""From a folder to a notebook in JupyterLab."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import nbformat
import pytest

from pointlib.annotate.launch import launch, write_notebook
from pointlib.errors import InputError


def sources(path):
    """Return the text of a notebook's cells."""
    return [cell.source for cell in nbformat.read(path, as_version=4).cells]


def edit(path, text):
    """Change the code cell as a person would, and save."""
    notebook = json.loads(path.read_text())
    notebook["cells"][1]["source"] = text
    path.write_text(json.dumps(notebook))


def test_notebook_is_valid_and_names_everything(make_folder, tmp_path):
    """The notebook is valid, of this kernel's kind, and its one code cell builds the annotator."""
    folder = make_folder(1, folder='it\'s a "folder"')
    for name in ("pointlib.json", "model.safetensors"):
        (tmp_path / name).write_text("{}")
    path = write_notebook(folder, classes=["seed'ling", "weed"], model=tmp_path)
    nbformat.validate(nbformat.read(path, as_version=4))
    text, code = sources(path)
    assert "Shift+Enter" in text
    called = {}
    exec(code.partition("\n\n")[2], {"Annotator": lambda *a, **k: called.update(k, folder=a[0])})  # noqa: S102
    assert called == {
        "folder": str(folder),
        "classes": ("seed'ling", "weed"),
        "model": str(tmp_path),
    }
    assert path.parent == folder / ".pointlib"


def test_notebook_of_ours_is_written_anew(make_folder):
    """While its cells are ours it follows the arguments, also after it was run and saved."""
    folder = make_folder(1)
    path = write_notebook(folder)
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[1].execution_count = 3
    notebook.cells.append(nbformat.v4.new_code_cell(""))  # Shift+Enter adds one
    nbformat.write(notebook, path)
    assert write_notebook(folder, classes=("a",)) == path
    assert "classes=('a',)" in sources(path)[1]


@pytest.mark.parametrize("damage", [lambda p: edit(p, "1 + 1"), lambda p: p.write_text("{")])
def test_notebook_that_was_changed_is_kept(make_folder, damage):
    """A notebook that was changed, or cannot be read, stays; ours gets the next number."""
    folder = make_folder(1)
    path = write_notebook(folder)
    damage(path)
    kept = path.read_text()
    for _ in range(2):
        assert write_notebook(folder).name == "annotate-2.ipynb"
    assert path.read_text() == kept


def test_notebook_of_a_folder_that_takes_no_files(make_folder):
    """Where nothing can be written the notebook stands elsewhere and names the folder."""
    folder = make_folder(1)
    (folder / ".pointlib").write_text("in the way")
    path = write_notebook(folder)
    assert folder not in path.parents
    assert repr(str(folder)) in sources(path)[1]


def test_notebook_checks_the_folder_first(make_folder, tmp_path):
    """A wrong folder, one without images and a wrong model are told before a browser opens."""
    folder = make_folder(1)
    with pytest.raises(InputError, match="Did you mean dots?"):
        write_notebook(tmp_path / "dotz")
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="none holds no image"):
        write_notebook(tmp_path / "none")
    with pytest.raises(InputError, match=r"model file .*pointlib.json does not exist"):
        write_notebook(folder, model=tmp_path)
    assert not (folder / ".pointlib").exists()


def test_launch_hands_over_every_option(make_folder, monkeypatch):
    """Port, browser and the caller's own options reach JupyterLab; the notebook is what opens."""
    given = []
    monkeypatch.setattr("signal.signal", lambda *_: None)  # pytest keeps its own Ctrl+C
    monkeypatch.setattr("jupyterlab.labapp.LabApp.launch_instance", given.extend)
    path = write_notebook(make_folder(1))
    launch(path, port=9999, browser=False, options=["--ip=0.0.0.0"])
    assert {"--ServerApp.port=9999", "--ServerApp.open_browser=False"} <= set(given)
    assert given[-1] == "--ip=0.0.0.0"
    assert "--LabApp.default_url=/lab/tree/annotate.ipynb" in given
    given.clear()
    launch(path)
    assert "--ServerApp.open_browser=True" in given
    assert not any("port" in argument for argument in given)


@pytest.fixture
def own_jupyter(tmp_path):
    """Return an environment whose Jupyter reads and writes nothing of this user's."""
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    return os.environ | {name: str(tmp_path / "jupyter" / name) for name in names}


@pytest.fixture
def free_port():
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def fetch(address, server):
    """Return what stands at an address; Jupyter names it a moment before it listens there."""
    while True:
        assert server.poll() is None
        try:
            with urllib.request.urlopen(address, timeout=60) as reply:  # noqa: S310 - our own server
                return reply.read()
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError):
                raise
            time.sleep(0.05)


def test_command_serves_the_notebook_until_ctrl_c(make_folder, own_jupyter, free_port):
    """`pointlib annotate FOLDER --no-browser` serves the hidden notebook; Ctrl+C ends it."""
    folder = make_folder(1)
    command = [sys.executable, "-m", "pointlib", "annotate", str(folder), "--no-browser"]
    server = subprocess.Popen(
        [*command, "--port", str(free_port)],
        env=own_jupyter,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with server:
        try:
            said = (
                re.search(r"(http://127[\d.:]+)/lab/tree/(\S+)\?token=(\w+)", s)
                for s in server.stderr
            )
            host, name, token = next(match for match in said if match).groups()
            address = f"{host}/api/contents/{name}?token={token}"  # the port, or the next free one
            content = json.loads(fetch(address, server))["content"]
            server.send_signal(signal.SIGINT)
            assert server.wait(60) == 0
        finally:
            server.kill()
    assert f"Annotator('{folder}')" in content["cells"][1]["source"]
