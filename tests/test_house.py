"""The house itself: who imports whom, what a laptop must not wait for, lists that must agree."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "pointlib"
LEVELS = [
    {"blame"},
    {"files"},
    {"tiff"},
    {"points", "images", "losses", "network", "rules", "lock", "kernels"},
    {"gaussians", "model"},
    {"heatmaps", "thresholds", "metrics", "synthetic", "plots", "augment", "config"}
    | {"journal", "steps", "texts", "previews", "line"},
    {"formats", "dataset", "crops", "predict", "report", "blobs", "store", "launch", "survey"}
    | {"sweep", "anatomy", "trust", "leaderboard", "rehearsal"},
    {"validate", "evaluate", "ghosts", "ledger", "desk", "ceiling", "sources", "inputs"}
    | {"beside", "insights", "snapshot", "sheet", "prepare", "suspects"},
    {"check", "train", "annotate", "findings", "trial", "judge", "budget"},
    {"compare"},
    {"cli", "console"},
    {"tune"},
]
LEVEL = {name: i for i, names in enumerate(LEVELS) for name in names}
NO_TORCH = ["points", "images", "thresholds", "metrics", "plots", "formats", "cli", "annotate"] + [
    *("sweep", "anatomy", "trust", "line", "inputs", "sources", "findings", "tune", "check"),
    *("survey", "sheet", "gaussians", "ceiling"),
]
CORE = {
    "blame",
    "files",
    "tiff",
    "points",
    "images",
    "gaussians",
    "kernels",
    "heatmaps",
    "losses",
} | {
    *("thresholds", "sweep", "rules", "metrics", "dataset", "augment", "plots", "synthetic"),
    *("config", "lock", "cli", "network", "model", "train", "crops", "validate", "prepare"),
    *("rehearsal", "predict"),
}  # the library behind the lessons; the rest are applications on top of it
MAX_CORE_LINES = 4_750
MAX_SCRIPT_LINES = 1_500


def modules():
    """Yield (module name, file) for each module and each part of a subpackage."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if name not in ("__init__", "__main__"):
            yield name, path


def imported(tree):
    """Yield the names of pointlib's modules that a file imports, but for `if __name__` blocks."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "pointlib":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pointlib."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            names = (alias.name for alias in node.names)
            yield from (n.split(".")[1] for n in names if n.startswith("pointlib."))


@pytest.mark.parametrize(("name", "path"), list(modules()), ids=lambda v: getattr(v, "stem", v))
def test_modules_import_lower_levels_only(name, path):
    """A module imports lower levels only."""
    for other in set(imported(ast.parse(path.read_text()))) - {name, "__version__"}:
        assert LEVEL[other] < LEVEL[name], f"{name} imports {other}"


@pytest.mark.parametrize("name", NO_TORCH)
def test_modules_come_without_torch(name):
    """Annotating on a laptop starts in a second: these never import torch."""
    code = f"import sys, pointlib.{name}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def code_lines(text):
    """Return the lines that are neither blank, nor comment, nor docstring."""
    documented = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(
            node
        ):
            documented |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines = enumerate(text.splitlines(), start=1)
    return [line for i, line in lines if i not in documented and line.strip()[:1] not in ("", "#")]


def test_package_stays_small(capsys):
    """The core can be read in an evening; the counts of lines of code are printed."""
    sizes = {path: len(code_lines(path.read_text())) for _, path in modules()}
    n_core = sum(
        size for path, size in sizes.items() if path.parent == PACKAGE and path.stem in CORE
    )
    with capsys.disabled():
        print(f"\npointlib: {sum(sizes.values())} lines of code without docstrings")
        print(f"its core: {n_core} (at most {MAX_CORE_LINES})")
    assert n_core <= MAX_CORE_LINES


def test_browser_side_stays_small(capsys):
    """Each widget's JavaScript can be read too; comments and blank lines do not count."""
    for path in sorted((PACKAGE / "static").glob("*.js")):
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        n_lines = sum(not line.startswith(("//", "/*", "*")) for line in lines if line)
        with capsys.disabled():
            print(f"\n{path.name}: {n_lines} lines of code (at most {MAX_SCRIPT_LINES})")
        assert n_lines <= MAX_SCRIPT_LINES


def test_functions_fit_a_screen():
    """No function is longer than 40 lines of code, docstrings aside."""
    for _, path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                length = node.end_lineno - body[0].lineno + 1 if body else 0
                assert length <= 40, f"{path.name}: {node.name} has {length} lines"


def test_every_public_function_is_documented():
    """Modules, public classes and functions have docstrings."""
    for _, path in modules():
        tree = ast.parse(path.read_text())
        assert ast.get_docstring(tree), path.name
        for node in tree.body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{path.name}: {node.name}"


def packages(lines):
    """Return {name: requirement} of lines such as `numpy>=1.26`."""
    found = (re.match(r"([A-Za-z0-9_.-]+)(>=[\d.]+)$", line.strip()) for line in lines)
    return {m[1].lower(): m[2] for m in found if m}


def test_three_lists_of_packages_agree():
    """pyproject.toml and environment.yml name the same ranges; the lock satisfies each name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = packages(project["project"]["dependencies"] + project["dependency-groups"]["dev"])
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    listed = packages([line for line in conda if isinstance(line, str)] + conda[-1]["pip"])
    listed.pop("python")
    assert listed == wanted
    locked = re.findall(
        r"^([A-Za-z0-9_.-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE
    )
    assert set(wanted) <= {name.lower() for name in locked}


def test_lock_has_hashes_and_no_addresses():
    """The lock pins versions and hashes and names no server."""
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text
    n_pins = len(re.findall(r"^[A-Za-z0-9_.-]+==", text, re.MULTILINE))
    assert n_pins > 50
    assert text.count("--hash=sha256:") >= n_pins


def test_readme_names_only_commands_there_are():
    """Each `make x` and `pointlib x` in the README exists."""
    readme = (ROOT / "README.md").read_text()
    targets = re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    code = "\n".join(re.findall(r"^```.*?^```|`[^`\n]+`", readme, re.MULTILINE | re.DOTALL))
    assert set(re.findall(r"\bmake ([a-z]+)", code)) <= set(targets)
    from pointlib.cli import app

    commands = {command.callback.__name__ for command in app.registered_commands}
    assert set(re.findall(r"\bpointlib ([a-z]+)", code)) <= commands
    for path in re.findall(r"\]\(((?!http)[^)#]+)", readme):
        assert (ROOT / path).exists(), path
