"""The `pointlib` command: arguments only. A user's mistake is one sentence and exit status 2."""

from pointlib.cli.main import main as main
