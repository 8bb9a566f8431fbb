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
# Each room may use those before it. The core is every flat file.
ROOMS = [
    "errors",
    "core",
    "synthetic",
    "model",
    "predict",
    "train",
    "evaluation",
    "study",
    "large",
    "widgets",
] + [
    *("check", "comparison", "formats", "annotate", "tune"),
    "cli",
]
ERRORS = {"errors", "files"}
IN_CORE = ("errors", "core", "model", "predict", "train")  # the library behind the lessons
NO_TORCH = [
    "cache",
    "counts",
    "points",
    "images",
    "tiff",
    "thresholds",
    "metrics",
    "matching",
    "sizes",
    "windows",
    "regions",
    "plots",
    "cli",
] + [
    *("sweep", "heatmaps", "dataset", "synthetic", "formats", "annotate", "tune"),
    *("check.folder", "check.sheet", "study.ceiling", "study.errors", "study.trust", "widgets"),
]
MAX_FLAT = 24
MAX_CORE_LINES = 6_000
MAX_SCRIPT_LINES = 1_500


def modules():
    """Yield (dotted name without the package's, file) of every module."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" and parts[1:] else parts), path


def room(name):
    """Return the room of a module: its folder, or what a flat file belongs to."""
    first = name.split(".")[0]
    if (PACKAGE / first).is_dir():
        return first
    return "errors" if first in ERRORS else "core"


def imported(tree):
    """Yield the dotted names of pointlib's modules that a file imports, wherever it does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "pointlib":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pointlib."):
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            found = [other for other in inner if is_module(other)]
            yield from (other.partition(".")[2] for other in found or [node.module])
        elif isinstance(node, ast.Import):
            names = (alias.name for alias in node.names)
            yield from (n.partition(".")[2] for n in names if n.startswith("pointlib."))


def is_module(name):
    """Tell whether a dotted name is a module or a folder of them."""
    path = PACKAGE.parent / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


def arrows():
    """Return {module: the modules it imports}; only `__main__` files may know the command line."""
    found = {}
    for name, path in modules():
        if path.name != "__main__.py":
            others = set(imported(ast.parse(path.read_text(encoding="utf-8"))))
            found[name] = others - {name, "__version__"}
    return found


def test_rooms_use_earlier_rooms_only():
    """No module imports from a later room, guards and functions included."""
    for name, others in arrows().items():
        for other in others:
            here, there = ROOMS.index(room(name)), ROOMS.index(room(other))
            assert there <= here, f"{name} imports {other}"


def test_no_module_imports_itself_by_way_of_others():
    """No circle anywhere; a package's own names count as the module that they come from."""
    graph, done, path = arrows(), set(), []

    def visit(name):
        assert name not in path, f"circle: {' -> '.join([*path[path.index(name) :], name])}"
        if name in done or name not in graph:
            return
        path.append(name)
        for other in sorted(graph[name]):
            visit(other)
        done.add(path.pop())

    for name in graph:
        visit(name)


def test_the_core_is_seen_at_once():
    """At most so many flat files; everything else lies in a room that says what a person does."""
    flat = list(PACKAGE.glob("*.py"))
    assert len(flat) <= MAX_FLAT
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    assert rooms == set(ROOMS) - {"errors", "core"}


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


def test_core_stays_small(capsys):
    """The core can be read in an evening; each room's count of lines of code is printed."""
    sizes = dict.fromkeys(ROOMS, 0)
    for name, path in modules():
        sizes[room(name)] += len(code_lines(path.read_text(encoding="utf-8")))
    n_core = sum(sizes[name] for name in IN_CORE)
    with capsys.disabled():
        print("\nlines of code:", ", ".join(f"{name} {size}" for name, size in sizes.items()))
        print(f"the core with model, predict and train: {n_core} (at most {MAX_CORE_LINES})")
    assert n_core <= MAX_CORE_LINES


def test_browser_side_stays_small(capsys):
    """Each widget's JavaScript can be read too; comments and blank lines do not count."""
    for path in sorted(PACKAGE.rglob("*.js")):
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        n_lines = sum(not line.startswith(("//", "/*", "*")) for line in lines if line)
        with capsys.disabled():
            print(f"\n{path.name}: {n_lines} lines of code (at most {MAX_SCRIPT_LINES})")
        assert n_lines <= MAX_SCRIPT_LINES


def test_functions_fit_a_screen():
    """No function is longer than 60 lines of code, docstrings aside."""
    for _, path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                length = node.end_lineno - body[0].lineno + 1 if body else 0
                assert length <= 60, f"{path.name}: {node.name} has {length} lines"


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
    from pointlib.cli.commands import app

    commands = {command.callback.__name__ for command in app.registered_commands}
    assert set(re.findall(r"\bpointlib (?!import)([a-z]+)", code)) <= commands
    for path in re.findall(r"\]\(((?!http)[^)#]+)", readme):
        assert (ROOT / path).exists(), path
