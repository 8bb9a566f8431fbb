"""Break pointlib on purpose, one line at a time: a suite that cannot fail is decoration.

    python tests/mutants.py              all of them (minutes); a Markdown table, exit 1 if one lives
    python tests/mutants.py tie half     those whose name holds one of the words

Each mutant is applied to a copy of the package in a temporary folder; then the tests and the
lessons that should notice run against it. A mutant that nothing notices marks a missing test.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from run_notebooks import ENVIRONMENT

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("pointlib", "tests", "notebooks", "pyproject.toml")
LINKED = ("data", "media")
SECONDS = 600  # a mutant that hangs is noticed too
NBVAL = [
    *("--nbval", "--nbval-current-env", "--nbval-cell-timeout=120"),
    *("--nbval-sanitize-with", "tests/nbval_sanitize.cfg"),
]


class Mutant(NamedTuple):
    """One line of pointlib, changed, and who should notice."""

    name: str
    file: str
    old: str  # must occur exactly once in the file
    new: str
    targets: tuple  # what pytest is given: "tests/test_x.py::test_y" or "notebooks/02_x.ipynb"


MUTANTS = []


def source(mutant, folder=ROOT):
    """Return the path and the text that `mutant` changes; the old line must occur once."""
    path = folder / "pointlib" / mutant.file
    text = path.read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        raise SystemExit(
            f"{mutant.name}: {mutant.old!r} occurs {text.count(mutant.old)} times in {mutant.file}; "
            "expected once. Bring the table in tests/mutants.py up to date."
        )
    return path, text


def copy_project(folder):
    """Copy what the tests need into `folder`, without caches."""
    skip = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=skip)
        else:
            shutil.copy(ROOT / name, folder / name)
    for name in filter(lambda name: (ROOT / name).exists(), LINKED):
        (folder / name).symlink_to(ROOT / name)


def passes(target, folder):
    """Return whether pytest passes on `target` with the package of `folder`."""
    # Without byte code: two mutants of one length in one second would share a cache file.
    environment = ENVIRONMENT | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", target]
    try:
        done = subprocess.run(
            command + (NBVAL if target.endswith(".ipynb") else []),
            cwd=folder,
            env={**os.environ, **environment},
            capture_output=True,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        return False
    if done.returncode not in (
        0,
        1,
        2,
    ):  # 2: an import failed, noticed; 3..5: pytest itself could not run
        raise SystemExit(f"pytest could not run {target}:\n{done.stdout.decode()[-2000:]}")
    return done.returncode == 0


def noticed_by(mutant, folder):
    """Apply `mutant` to the copy in `folder`, and return the targets that fail."""
    path, text = source(mutant, folder)
    path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        return [target for target in mutant.targets if not passes(target, folder)]
    finally:
        path.write_text(text, encoding="utf-8")


def main(arguments=None):
    """Run the table; return the exit status."""
    parser = argparse.ArgumentParser(description="Break pointlib on purpose; something must fail.")
    parser.add_argument("words", nargs="*", help="only mutants whose name holds one of these")
    words = parser.parse_args(arguments).words
    chosen = [m for m in MUTANTS if not words or any(word in m.name for word in words)]
    for mutant in chosen:
        source(mutant)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_project(folder)
        targets = sorted({target for mutant in chosen for target in mutant.targets})
        if sick := [target for target in targets if not passes(target, folder)]:
            raise SystemExit(f"fails without any mutant: {', '.join(sick)}")
        print("| Mutant | File | Noticed by |\n|---|---|---|", flush=True)
        survivors = [mutant.name for mutant in chosen if not _row(mutant, folder)]
    print(f"\n{len(chosen) - len(survivors)} of {len(chosen)} noticed")
    if survivors:
        print(f"survived: {'; '.join(survivors)}", file=sys.stderr)
    return bool(survivors)


def _row(mutant, folder):
    """Print the mutant's line of the table; return whether anything noticed it."""
    found = noticed_by(mutant, folder)
    print(f"| {mutant.name} | {mutant.file} | {', '.join(found) or '**survived**'} |", flush=True)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
