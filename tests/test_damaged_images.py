"""A thousand damaged images of each kind: none hangs, none takes two gigabytes, none a traceback."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("resource", reason="processes cannot be limited here")
import damaged_images

DRIVER = Path(__file__).with_name("damaged_images.py")


@pytest.mark.parametrize("kind", damaged_images.KINDS)
def test_damaged_images_end_well_or_in_input_error(kind):
    """By the driver as a developer runs it: ten seconds and 2 GB an image at most."""
    command = [sys.executable, DRIVER, "--kind", kind, "--runs", "1000"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    n_read, n_refused = (int(part.split()[0]) for part in done.stdout.split(","))
    assert n_read + n_refused == 1000
    assert min(n_read, n_refused) > 20


def test_a_case_follows_from_its_name():
    """One name is one file, byte for byte; the next number is another."""
    assert damaged_images.make_case("png/3/17") == damaged_images.make_case("png/3/17")
    assert damaged_images.make_case("png/3/17") != damaged_images.make_case("png/3/18")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("while True: pass", "Timeout"),
        ("return bytearray(3_000_000_000)", "MemoryError"),
        ("raise KeyError(1)", "KeyError"),
    ],
)
def test_the_driver_finds_what_it_should(tmp_path, code, expected):
    """A reader that hangs, grows or raises anything else ends the run and is told."""
    script = (
        f"import sys; sys.path.insert(0, {str(DRIVER.parent)!r})\nimport damaged_images as driver\n"
        f"driver.SECONDS = 1\nn = []\ndef bad(path):\n    n.append(1)\n    if len(n) > 1:\n"
        f"        {code}\n"
        "driver.read_image = bad\ndriver.main()"
    )
    script = script.replace("driver.main()", "sys.argv[1:] = ['--runs', '3']\ndriver.main()")
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode != 0
    assert expected in done.stderr
