"""``python -m pointlib.synthetic FOLDER`` draws the sample sets."""

import sys

from pointlib.synthetic.sets import main

main(*sys.argv[1:] or ["data"])
