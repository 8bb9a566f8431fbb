"""Running the command: exit statuses, and errors as one sentence.

About what surrounds a command. Not about any one: commands.py.
"""

import logging
import os
import sys
import warnings

import typer

from pointlib.cli.commands import app
from pointlib.errors import InputError, describe, one_line

STOPPED = 130  # the exit status of shells after Ctrl+C


def main(arguments=None):
    """Run the command line and return the exit status."""
    try:
        _prepare()
        status = app(args=arguments, standalone_mode=False, prog_name="pointlib") or 0
    except typer.Abort:
        status = STOPPED
    except InputError as error:
        print(f"pointlib: {one_line(error)}", file=sys.stderr)
        return 2
    except (Exception, SystemExit) as error:
        if type(error).__module__.split(".")[0] in ("click", "typer"):
            return _show_usage(error, sys.argv[1:] if arguments is None else arguments)
        if not (sentence := describe(error)):
            raise
        print(f"pointlib: {one_line(sentence)}", file=sys.stderr)
        return 2
    if status == STOPPED:
        print("pointlib: stopped", file=sys.stderr)
    return status


def _prepare():
    """Check that Python can run pointlib, and silence other libraries' messages."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not every terminal can show every name
            stream.reconfigure(errors="backslashreplace")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", "Glyph|constrained_layout not applied", UserWarning)
    if sys.flags.optimize > 1:
        raise InputError(
            "Python runs without docstrings, which some libraries need. Leave out -OO, or unset "
            "PYTHONOPTIMIZE."
        )
    try:
        os.getcwd()
    except FileNotFoundError as error:
        raise InputError("the working folder is gone. Change to another one.") from error


def _show_usage(error, arguments):
    """Print what is wrong with the arguments, and the arguments; return the exit status."""
    if not arguments:
        error.show()  # the whole help
        return error.exit_code
    command = error.ctx.command_path if getattr(error, "ctx", None) else "pointlib"
    message = error.format_message().rstrip(".")
    given = " ".join(["pointlib", *map(str, arguments)])
    sentence = one_line(f"{message}. Given: {given}. See {command} --help.")
    print(f"pointlib: {sentence}", file=sys.stderr)
    return error.exit_code
