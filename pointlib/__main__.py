"""``python -m pointlib`` is the `pointlib` command."""

import sys

from pointlib.cli import main

sys.exit(main())
