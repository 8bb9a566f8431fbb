"""What the command prints: lines, errors of single images, progress bars.

About the terminal only. Not about what is said: commands.py.
"""

import os
import sys
from contextlib import contextmanager

from pointlib.errors import one_line, spell_out


@contextmanager
def progress(unit=" images"):
    """Yield a progress bar, and what moves it: called with (name, number done, number of all)."""
    from tqdm import tqdm

    with tqdm(unit=unit, leave=False, disable=None) as bar:

        def show(_, n_done, n_all):
            bar.total = n_all
            bar.update(n_done - bar.n)

        yield bar, show


def say(text):
    """Print a text, with what a terminal cannot show spelt out."""
    try:
        print("\n".join(map(spell_out, str(text).split("\n"))), flush=True)
    except BrokenPipeError:  # the reader is gone, as after `| head`; the work goes on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say_image(name, n_points, error):
    """Print an image's count, or to stderr why it is left out."""
    if error is None:
        say(f"{spell_out(name)}: {n_points} points")
    else:
        print(f"{spell_out(name)}: left out: {one_line(error)}", file=sys.stderr, flush=True)


def say_only_image(name, n_points, error):
    """Print the count of the one image there is; raise why it cannot be read."""
    if error:
        raise error
    say(f"{spell_out(name)}: {n_points} points")


def say_counts(name, n_true, n_found):
    """Print an image's true and found count."""
    say(f"{spell_out(name)}: {n_true} true, {n_found} found")
