"""The public names: lessons and README take them from `pointlib` alone, and few of them load torch."""

import ast
import doctest
import importlib
import inspect
import io
import json
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

import pointlib

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "pointlib"
# The names that need a network, or draw what one learns from; all others come without torch.
TORCH = {
    "LOSSES",
    "ModelInfo",
    "affine",
    "build_model",
    "build_network",
    "compare",
    "compare_folder",
    "compare_folders",
    "cross_fit",
    "evaluate",
    "extrapolate",
    "fit",
    "flip",
    "focal",
    "image_results",
    "label_errors",
    "learning_curve",
    "load_model",
    "mse",
    "predict_candidates",
    "predict_folder",
    "predict_large",
    "predict_heatmap",
    "predict_points",
    "random_affine",
    "rank_at_random",
    "rank_by_uncertainty",
    "read_info",
    "resize",
    "save_model",
    "scale_image",
    "shrink",
    "train_folder",
    "warp_image",
    "warp_points",
    "weighted_bce",
    "weighted_mse",
}


def pieces():
    """Yield (where, Python code) of the lessons' cells and of the README's examples."""
    for path in sorted((ROOT / "notebooks").rglob("*.ipynb")):
        for number, cell in enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"]):
            source = "".join(cell["source"])
            if cell["cell_type"] == "code":
                yield (
                    f"{path.stem}, cell {number}",
                    re.sub(r"^[%!].*$", "", source, flags=re.MULTILINE),
                )
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for number, example in enumerate(re.findall(r"```python\n(.*?)```", text, re.DOTALL)):
        yield f"README, example {number}", re.sub(r"^[%!].*$", "", example, flags=re.MULTILINE)


def imports(code):
    """Yield (module, name) of what is imported from the kit."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pointlib"):
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.startswith("pointlib")]
            yield from ((name, "") for name in names)


@pytest.mark.parametrize(
    ("where", "code"), [pytest.param(*piece, id=piece[0]) for piece in pieces()]
)
def test_lessons_and_readme_use_public_names_only(where, code):
    """One place to import from: whoever copies a line need not know which module it is."""
    for module, name in imports(code):
        assert module == "pointlib", f"{where}: from {module}"
        assert name in pointlib.__all__, f"{where}: {name}"


def test_which_names_load_torch():
    """Annotating, checking and drawing start in a second: these names never import torch."""
    light = sorted(set(pointlib.__all__) - TORCH)
    code = (
        "import sys, pointlib\nassert len(sys.modules) and 'numpy' not in sys.modules\n"
        f"for name in {light}:\n    getattr(pointlib, name)\n"
        "    assert 'torch' not in sys.modules, name"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for module in sorted({pointlib._MODULES[name] for name in TORCH}):
        code = f"import sys, {module}; sys.exit('torch' not in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0, module


@pytest.mark.parametrize("name", pointlib.__all__)
def test_public_names_are_there_and_say_what_they_are(name):
    """Each is found, is what its module defines, and functions and classes have a docstring."""
    value = getattr(pointlib, name)
    assert name in dir(pointlib)
    if isinstance(value, types.ModuleType):
        assert name == "plots"
    elif inspect.isfunction(value) or inspect.isclass(value):
        assert value.__module__ == pointlib._MODULES[name]
        assert inspect.getdoc(value)


def test_no_public_name_is_a_module_too():
    """`pointlib.compare` must be the function, whatever was imported before."""
    modules = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert set(pointlib.__all__) & modules == {"plots"}
    for path in PACKAGE.rglob("*.py"):
        if path.name != "__main__.py":
            parts = path.relative_to(ROOT).with_suffix("").parts
            importlib.import_module(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    for name in set(pointlib.__all__) - {"plots"}:
        assert not isinstance(getattr(pointlib, name), types.ModuleType), name


def test_a_name_that_is_none_is_told():
    """As Python tells it of any module."""
    with pytest.raises(AttributeError, match="module 'pointlib' has no attribute 'fitt'"):
        _ = pointlib.fitt
    with pytest.raises(ImportError, match="cannot import name 'fitt' from 'pointlib'"):
        exec("from pointlib import fitt")  # noqa: S102


@pytest.mark.parametrize(
    ("line", "is_light"),
    [
        ("from pointlib.annotate import Annotator", True),
        ("from pointlib.tune import Tuner", True),
        ("from pointlib.train import fit, train_folder", False),
        ("from pointlib.predict import predict_folder, predict_heatmap, predict_points", False),
        ("from pointlib.model import ModelInfo, build_model, load_model", False),
        ("from pointlib.formats import FORMATS, convert", True),
    ],
)
def test_old_import_paths_go_on(line, is_light):
    """Those that users have in their notebooks."""
    code = f"import sys\n{line}\nsys.exit(2 * ('torch' in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == (0 if is_light else 2), done.stderr


def documented():
    """Yield the public names that are functions or classes, all but the error."""
    for name in pointlib.__all__:
        value = getattr(pointlib, name)
        if (inspect.isfunction(value) or inspect.isclass(value)) and name != "InputError":
            yield pytest.param(value, id=name)


@pytest.mark.parametrize("thing", list(documented()))
def test_examples_of_public_names_run(thing, tmp_path, monkeypatch):
    """Each function and class shows an example in its docstring that prints what it says."""
    monkeypatch.chdir(tmp_path)
    test = doctest.DocTestParser().get_doctest(
        inspect.getdoc(thing), {}, thing.__name__, inspect.getsourcefile(thing), 0
    )
    assert test.examples, "its docstring has no example"
    report = io.StringIO()
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    doctest.DocTestRunner(optionflags=flags).run(test, out=report.write)
    assert not report.getvalue()


@pytest.mark.parametrize("thing", list(documented()))
def test_public_names_are_annotated(thing):
    """Editors know what each parameter takes and what comes back."""
    signature = inspect.signature(thing)
    bare = [
        name
        for name, parameter in signature.parameters.items()
        if parameter.annotation is inspect.Parameter.empty
    ]
    assert not bare
    assert inspect.isclass(thing) or signature.return_annotation is not inspect.Signature.empty
