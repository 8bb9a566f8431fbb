"""Find things by their centres: from clicks to a detector, in notebooks.

Data flows one way, a module a step::

    images + clicks -> points -> heatmaps -> model -> heatmaps -> points -> metrics

All public names come from here: ``from pointlib import fit, find_peaks, plots``. The table of them
is `__init__.pyi`; each is imported when it is first used, so ``import pointlib`` takes no time, and
torch is loaded only by the names that need it. The coordinate convention stands in points.py.
"""

import ast
import importlib
import os
from pathlib import Path

__version__ = "0.1.0"

# Idle threads of torch sleep instead of spinning: 5 times faster where another program also wants
# the processor, no slower where none does. Read once, when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _read_table():
    """Return {public name: its module}, from the table that editors read as well."""
    table = Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    imports = [node for node in ast.parse(table).body if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module for node in imports for alias in node.names}


_MODULES = _read_table()
__all__ = sorted(_MODULES)  # noqa: PLE0605 - a list, only not spelt out


def __getattr__(name):
    """Import a public name when it is first asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module 'pointlib' has no attribute {name!r}")
    if _MODULES[name] == __name__:
        return importlib.import_module(f"{__name__}.{name}")
    globals()[name] = getattr(importlib.import_module(_MODULES[name]), name)
    return globals()[name]


def __dir__():
    return sorted({*globals(), *_MODULES})
