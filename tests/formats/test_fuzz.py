"""Spoilt files of every format end well or in InputError; the driver itself finds what it should."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("resource", reason="processes cannot be limited here")
import fuzz

from pointlib.errors import InputError
from pointlib.formats import FORMATS

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # torch has threads
DRIVER = Path(__file__).with_name("fuzz.py")


def test_spoilt_files_of_every_format_end_in_input_error(capsys):
    """Sixteen cases of each format, by the driver as a developer runs it; the table is printed."""
    command = [sys.executable, DRIVER, "--runs", "16", "--seed", "5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    with capsys.disabled():
        print(f"\n{done.stdout}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.split("\n")) == len(fuzz.FORMATS) + 2


def test_make_case_follows_from_its_name():
    """One name is one case, byte for byte; the next number is another."""
    name = min(FORMATS)
    assert fuzz.make_case(f"3/{name}/17") == fuzz.make_case(f"3/{name}/17")
    assert fuzz.make_case(f"3/{name}/17") != fuzz.make_case(f"3/{name}/18")


def _raise(_source, _pictures, _form):
    raise KeyError("x")


def _write(source, _pictures, _form):
    (source.parent / "elsewhere").write_text("x")
    return []


def _hang(_source, _pictures, _form):
    while True:
        pass


def _grow(_source, _pictures, _form):
    return [bytearray(10_000_000_000)]


def _warn(_source, _pictures, _form):
    raise RuntimeWarning("overflow")


def _refuse(_source, _pictures, _form):
    raise InputError("no")


@pytest.mark.parametrize(
    ("read", "number", "expected"),
    [
        (_raise, 9, "KeyError: \"'x'\""),
        (_hang, 9, "killed by SIGXCPU"),
        pytest.param(
            _grow, 9, "MemoryError", marks=pytest.mark.skipif(sys.platform != "linux", reason="AS")
        ),
        (_warn, 9, "RuntimeWarning"),
        (_refuse, 0, "its own valid file is refused"),
        (_refuse, 9, "refused"),
    ],
)
def test_run_case_tells_what_goes_wrong(tmp_path, monkeypatch, read, number, expected):
    """A reader that breaks one of the rules is found, whatever the file."""
    monkeypatch.setattr(fuzz, "SECONDS", 1)
    monkeypatch.setitem(FORMATS, "txt", replace(FORMATS["txt"], read=read))
    assert fuzz.run_case(f"0/txt/{number}", tmp_path).startswith(expected)


def test_run_case_tells_of_writing_elsewhere(tmp_path, monkeypatch):
    """What a reader writes outside the target is found before it matters."""
    monkeypatch.setitem(FORMATS, "txt", replace(FORMATS["txt"], read=_write))
    assert fuzz.run_case("0/txt/9", tmp_path).endswith("elsewhere")


def test_report_tells_one_place_once():
    """The table counts, the same failure is named once with the case that repeats it."""
    counts = {"txt": fuzz.Counter(accepted=3, refused=4, failures=2)}
    text = fuzz.report(counts, {"0/txt/5": "KeyError: 'a' at b", "0/txt/7": "KeyError: 'c' at b"})
    assert text.split("\n")[1].split() == ["txt", "9", "3", "4", "2"]
    assert text.count("--repeat") == 1
    assert "2 times; --repeat 0/txt/5" in text
