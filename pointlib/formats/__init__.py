"""Other tools' files: `convert` converts between any two formats of `FORMATS`.

Not about reading a dataset for training (dataset.py).
"""

from pointlib.formats.conversion import convert
from pointlib.formats.table import FORMATS, find_format, formats_table, recognise

__all__ = ["FORMATS", "convert", "find_format", "formats_table", "recognise"]
