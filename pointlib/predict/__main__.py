"""``python -m pointlib.predict``: the command `pointlib predict`."""

import sys

from pointlib.cli import main

sys.exit(main(["predict", *sys.argv[1:]]))
