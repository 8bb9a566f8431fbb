"""Files on systems that refuse: renames that Windows holds up, links that are not allowed."""

import os

import numpy as np
import pytest

from pointlib import files
from pointlib.annotate.ledger import open_ledger
from pointlib.errors import InputError, describe
from pointlib.files import is_left, keep_copy, make_temporary, move, remove_leftovers, write_atomic
from pointlib.formats import convert
from pointlib.images import write_image
from pointlib.points import write_points


@pytest.fixture
def refusing(monkeypatch):
    """Return a function that lets the next `n` renames be refused, as where a file is open."""
    waits, real = [], os.replace

    def refuse(n):
        left = [n]

        def replace(source, target):
            if left[0]:
                left[0] -= 1
                raise PermissionError(13, "Permission denied")
            real(source, target)

        monkeypatch.setattr(os, "replace", replace)
        monkeypatch.setattr(files, "_WAITS", (0.1, 0.2, 0.4))
        monkeypatch.setattr(files.time, "sleep", waits.append)
        return waits

    return refuse


def test_a_rename_that_is_refused_for_a_moment_is_tried_again(tmp_path, refusing):
    """A virus scanner or a spreadsheet lets go after a moment: the file is written."""
    (tmp_path / "a.csv").write_text("old")
    waits = refusing(2)
    write_atomic(tmp_path / "a.csv", "new")
    assert (tmp_path / "a.csv").read_text() == "new"
    assert waits == [0.1, 0.2]


def test_a_rename_that_stays_refused_is_a_sentence(tmp_path, refusing):
    """What stood there is as it was, and nothing half is left beside."""
    (tmp_path / "a.csv").write_text("old")
    refusing(99)
    words = (
        r"a\.csv cannot be written: another program has it open.*Close it there and run this again"
    )
    with pytest.raises(InputError, match=words):
        write_atomic(tmp_path / "a.csv", "new")
    with pytest.raises(InputError, match="another program has it open"):
        keep_copy(tmp_path / "a.csv")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.csv": "old"}


def test_elsewhere_a_refused_rename_is_refused_at_once(tmp_path, refusing, monkeypatch):
    """On other systems it means a folder without permission, and says so."""
    waits = refusing(99)
    monkeypatch.setattr(files, "_WAITS", ())
    with pytest.raises(PermissionError) as caught:
        move(tmp_path / "a", tmp_path / "b")
    assert "Change the permissions" in describe(caught.value)
    assert waits == []


def test_a_text_that_another_program_holds_is_written_later(tmp_path, refusing):
    """The annotator says why, keeps the edit in its journal, and tries again."""
    write_image(tmp_path / "a.png", np.zeros((20, 30), np.uint8))
    ledger = open_ledger(tmp_path)
    point = {"id": "abcdef-1", "x": 3, "y": 4, "label": "point", "source": "hand"}
    refusing(10**6)
    edit = {"session": "abcdef", "edit": 1, "op": "add", "image": "a.png", "points": [point]}
    ledger.apply(edit)
    with pytest.raises(InputError, match=r"a\.txt cannot be written: another program"):
        ledger.flush()
    refusing(0)
    ledger.flush()
    ledger.end()
    assert len((tmp_path / "a.txt").read_text().splitlines()) == 1


def test_links_that_are_not_allowed_become_copies(tmp_path, monkeypatch):
    """As for most users of Windows: the dataset is whole, and it is told once."""
    for name in ("a", "b"):
        write_image(tmp_path / f"in/{name}.png", np.zeros((20, 30), np.uint8))
        write_points(tmp_path / f"in/{name}.txt", [(3, 4)], (20, 30))

    def refuse(*_):
        raise OSError(1314, "A required privilege is not held by the client")

    monkeypatch.setattr(os, "symlink", refuse)
    told = []
    convert(tmp_path / "in", tmp_path / "out", to="csv", link=True, log=told.append)
    images = sorted((tmp_path / "out/images").iterdir())
    assert [path.name for path in images] == ["a.png", "b.png"]
    assert not any(path.is_symlink() for path in images)
    assert sum("Links cannot be created here (A required privilege" in line for line in told) == 1


def test_sweep_takes_what_is_left_and_nothing_else(tmp_path):
    """Names that only look alike stay, whatever their age; so do a living process's files."""
    mine = make_temporary(tmp_path)
    for name in (".pointlib-notes.tmp.txt", "pointlib-x.tmp", ".pointlib", "x.tmp"):
        (tmp_path / name).write_text("mine")
        os.utime(tmp_path / name, (0, 0))
    (tmp_path / ".pointlib-abcdefgh.tmp").write_text("half")
    kept = {path.name for path in tmp_path.iterdir()}
    remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == kept
    os.utime(tmp_path / ".pointlib-abcdefgh.tmp", (0, 0))
    assert is_left(tmp_path / ".pointlib-abcdefgh.tmp")
    assert not is_left(mine)
    remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == kept - {".pointlib-abcdefgh.tmp"}
    remove_leftovers(tmp_path / "nowhere")
