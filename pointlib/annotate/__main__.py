"""``python -m pointlib.annotate``: the command `pointlib annotate`."""

import sys

from pointlib.cli import main

sys.exit(main(["annotate", *sys.argv[1:]]))
