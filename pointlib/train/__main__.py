"""``python -m pointlib.train``: the command `pointlib train`."""

import sys

from pointlib.cli import main

sys.exit(main(["train", *sys.argv[1:]]))
