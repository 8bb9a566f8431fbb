"""The journal and its lock: whole steps or none, one writer, nothing lost at any cut."""

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
import threading

import pytest

from pointlib import lock as locks
from pointlib.annotate import journal as journals
from pointlib.annotate.journal import Journal, read_journal
from pointlib.errors import InputError

STEP = [{"step": 1, "left": 1, "op": "add", "id": "a"}, {"step": 1, "left": 0, "op": "add"}]


@pytest.fixture
def journal(tmp_path):
    """Return a journal of its head and one step of one line; it is closed afterwards."""
    journal = Journal(tmp_path, "aaaaaa")
    journal.append([{"op": "add", "x": 0.1 + 0.2, "label": "Löwenzahn"}])
    yield journal
    journal.close(is_clean=True)


def side(tmp_path, name):
    """Return the path of a file of the side folder."""
    return tmp_path / ".pointlib" / name


def write_lock(tmp_path, *, age=0.0, **who):
    """Leave somebody's lock, last touched `age` seconds ago."""
    holder = {"host": "field-pc", "pid": 1, "session": "bbbbbb", "user": "maria"} | who
    path = side(tmp_path, "lock")
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(holder))
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime - age))
    return path


def fail_writes(monkeypatch, *, code=errno.ENOSPC, part=0.0):
    """Let os.write fail, or write only a part where `part` is above 0."""
    write = os.write

    def failing(handle, data):
        if not part:
            raise OSError(code, os.strerror(code))
        return write(handle, data[: int(part * len(data))])

    monkeypatch.setattr(os, "write", failing)


def interrupt(*_):
    """Stand in for Ctrl+C."""
    raise KeyboardInterrupt


def test_append_numbers_lines_and_keeps_floats_and_letters(journal, tmp_path):
    """Lines are numbered without gaps; numbers come back exactly, text as it was."""
    journal.append([{"op": "mark"}, {"op": "mark"}])
    lines = read_journal(journal.path)
    assert [line["n"] for line in lines] == [1, 2, 3, 4]
    assert lines[0]["op"] == "journal"
    assert lines[0]["id"] == journal.key
    assert lines[1]["x"] == 0.1 + 0.2
    assert lines[1]["label"] == "Löwenzahn"
    assert "Löwenzahn" in side(tmp_path, "journal.jsonl").read_text("utf-8")


def test_append_refuses_nan(journal):
    """What is no JSON elsewhere is not written."""
    with pytest.raises(ValueError, match="JSON"):
        journal.append([{"x": float("nan")}])
    assert journal.n == len(read_journal(journal.path)) == 2


def test_reopening_continues_the_numbers_and_the_key(journal, tmp_path):
    """A second opening has the same key and goes on counting."""
    journal.close(is_clean=True)
    again = Journal(tmp_path, "bbbbbb")
    again.append([{"op": "add"}])
    assert again.key == journal.key
    assert [line["n"] for line in read_journal(again.path)] == [1, 2, 3, 4]
    assert [line["op"] for line in again.lines] == ["journal", "add", "close"]
    again.close(is_clean=False)


@pytest.mark.parametrize("n_lines", [1, 2])
def test_cut_at_every_byte_is_repaired(tmp_path, n_lines):
    """Wherever the last step is cut, the steps before it stay and the tail is kept aside."""
    journal = Journal(tmp_path, "aaaaaa")
    journal.append([{"op": "add", "label": "Ü"}])
    start = journal.path.stat().st_size
    journal.append(STEP[-n_lines:])
    journal.close(is_clean=False)
    whole, cut = journal.path.read_bytes(), side(tmp_path, "journal.jsonl.cut")
    for size in range(start + 1, len(whole)):
        journal.path.write_bytes(whole[:size])
        again = Journal(tmp_path, "cccccc")
        again.close(is_clean=False)
        assert len(again.lines) == 2, size
        assert "half an edit" in again.repaired
        assert journal.path.read_bytes() == whole[:start]
        assert cut.read_bytes() == whole[start:size] + b"\n"
        cut.unlink()


def test_cut_to_nothing_begins_anew(tmp_path):
    """A journal cut within its first line starts again; the rest of that line is kept."""
    Journal(tmp_path, "aaaaaa").close(is_clean=False)
    path = side(tmp_path, "journal.jsonl")
    path.write_bytes(path.read_bytes()[:20])
    again = Journal(tmp_path, "bbbbbb")
    assert [line["op"] for line in read_journal(path)] == ["journal"]
    assert len(side(tmp_path, "journal.jsonl.cut").read_bytes()) == 21
    again.close(is_clean=False)


@pytest.mark.parametrize("junk", [b"\0\0\0\0", b"\0\n\0\n", b"{\n[1]\n\xff\n"])
def test_unreadable_end_of_several_lines_is_a_tail(journal, tmp_path, junk):
    """What a power cut leaves, zeros for instance, is a tail however many lines it has."""
    journal.close(is_clean=True)
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole + junk)
    assert len(read_journal(journal.path)) == 3
    again = Journal(tmp_path, "bbbbbb")
    again.close(is_clean=False)
    assert journal.path.read_bytes() == whole
    assert side(tmp_path, "journal.jsonl.cut").read_bytes() == junk + b"\n"


@pytest.mark.parametrize("bad", [b"{broken", b'{"n": 7, "op": "add"}', b"[]"])
def test_broken_line_in_the_middle_is_an_error_with_its_number(journal, tmp_path, bad):
    """A bad line with good ones after it is for the user to mend; the lock is given back."""
    journal.append([{"op": "add"}])
    journal.close(is_clean=True)
    lines = journal.path.read_bytes().split(b"\n")
    journal.path.write_bytes(b"\n".join([lines[0], bad, *lines[2:]]))
    with pytest.raises(InputError, match=r"journal\.jsonl, line 2: .*Fix it"):
        Journal(tmp_path, "bbbbbb")
    assert not side(tmp_path, "lock").exists()


def test_journal_of_a_newer_version_is_refused(tmp_path):
    """What a later version wrote is not guessed at."""
    path = side(tmp_path, "journal.jsonl")
    path.parent.mkdir()
    path.write_text('{"n": 1, "op": "journal", "version": 2, "id": "x"}\n')
    with pytest.raises(InputError, match="newer pointlib"):
        Journal(tmp_path, "aaaaaa")


@pytest.mark.parametrize("part", [0.0, 0.4])
def test_full_disk_leaves_the_journal_as_it_was(journal, monkeypatch, part):
    """No room, or room for a part only: refused, nothing written; with room it goes on."""
    before = journal.path.read_bytes()
    with monkeypatch.context() as patch:
        fail_writes(patch, part=part)
        with pytest.raises(InputError, match=r"Not saved: .*Free space"):
            journal.append(STEP)
    assert journal.path.read_bytes() == before
    journal.append(STEP)
    assert [line["n"] for line in read_journal(journal.path)] == [1, 2, 3, 4]


def test_part_that_cannot_be_cut_off_stops_writing(journal, monkeypatch, tmp_path):
    """Where even the half line cannot be taken back, nothing follows it; opening repairs it."""
    with monkeypatch.context() as patch:
        fail_writes(patch, part=0.5)
        patch.setattr(os, "ftruncate", lambda *_: fail(OSError(errno.EIO, "no")))
        with pytest.raises(InputError, match="Not saved"):
            journal.append(STEP)
    with pytest.raises(InputError, match="changed by another program"):
        journal.append(STEP)
    journal.close(is_clean=True)
    again = Journal(tmp_path, "bbbbbb")
    assert again.repaired
    assert len(again.lines) == 2
    again.close(is_clean=True)


def fail(error):
    """Raise an error from within an expression."""
    raise error


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_folder_that_cannot_be_written_is_opened_for_reading(journal, tmp_path, monkeypatch, code):
    """What is there is read, the reason is said, and edits are refused."""
    journal.close(is_clean=True)
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", lambda *_: fail(OSError(code, os.strerror(code))))
        other = Journal(tmp_path, "bbbbbb")
    assert os.strerror(code) in other.read_only
    assert len(other.lines) == 3
    assert other.key == journal.key
    with pytest.raises(InputError, match="not edited"):
        other.append(STEP)


def test_full_disk_at_opening_leaves_no_lock(tmp_path, monkeypatch):
    """Where not even the lock can be written, none is left behind, and later it opens."""
    with monkeypatch.context() as patch:
        fail_writes(patch)
        other = Journal(tmp_path, "aaaaaa")
    assert "No space left" in other.read_only
    assert not side(tmp_path, "lock").exists()
    again = Journal(tmp_path, "bbbbbb")
    assert again.read_only == ""
    again.close(is_clean=True)


def test_file_in_the_place_of_the_side_folder_is_said(tmp_path):
    """A file named .pointlib: nothing is overwritten, the folder can be looked at."""
    (tmp_path / ".pointlib").write_text("mine")
    journal = Journal(tmp_path, "aaaaaa")
    assert "cannot be written" in journal.read_only
    assert (tmp_path / ".pointlib").read_text() == "mine"
    assert len(journal.key) == 12


@pytest.mark.parametrize("harm", ["append", "replace", "remove"])
def test_journal_changed_by_others_stops_writing(journal, harm):
    """A journal that another program grew, replaced or removed is not written any more."""
    data = journal.path.read_bytes()
    if harm == "append":
        journal.path.write_bytes(data + b"x")
    else:
        journal.path.rename(journal.path.with_name("moved"))
    if harm == "replace":
        journal.path.write_bytes(data)
    with pytest.raises(InputError, match="Run this cell again"):
        journal.append(STEP)
    assert journal.read_only
    if harm != "remove":
        assert journal.path.read_bytes().startswith(data)


def test_lock_of_somebody_alive_is_respected_and_named(tmp_path):
    """A lock touched lately on another computer: read-only, with user, computer and process."""
    path = write_lock(tmp_path, age=5)
    before = path.read_bytes()
    journal = Journal(tmp_path, "aaaaaa")
    assert "maria on field-pc (process 1) is annotating" in journal.read_only
    journal.close(is_clean=True)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["lock"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"host": 3}'])
def test_unreadable_lock_counts_by_its_age(tmp_path, content):
    """A lock without a name is somebody's while it is young, and nobody's when it is old."""
    path = write_lock(tmp_path)
    path.write_text(content)
    assert "Somebody is annotating" in Journal(tmp_path, "aaaaaa").read_only
    os.utime(path, (0, 0))
    journal = Journal(tmp_path, "bbbbbb")
    assert journal.read_only == ""
    journal.close(is_clean=True)


def test_stale_lock_is_taken_over_and_given_back(tmp_path):
    """Nobody touched it for 20 s: it is ours, and gone after closing."""
    path = write_lock(tmp_path, age=locks.STALE + 1)
    journal = Journal(tmp_path, "aaaaaa")
    assert json.loads(path.read_bytes())["session"] == "aaaaaa"
    journal.close(is_clean=True)
    assert [p.name for p in path.parent.iterdir()] == ["journal.jsonl"]


def test_lock_of_an_ended_process_is_taken_over_at_once(tmp_path):
    """On this computer a process is known to have ended; its number may even be ours now."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for pid in (ended.pid, os.getpid()):
        write_lock(tmp_path, host=socket.gethostname(), pid=pid)
        journal = Journal(tmp_path, "aaaaaa")
        assert journal.read_only == ""
        journal.close(is_clean=True)


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="asks /proc")
def test_lock_of_a_killed_process_that_is_still_listed_is_taken_over(tmp_path):
    """A killed kernel that its server has not buried yet is dead all the same."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        write_lock(tmp_path, host=socket.gethostname(), pid=process.pid)
        journal = Journal(tmp_path, "aaaaaa")
        assert journal.read_only == ""
        journal.close(is_clean=True)


def test_deleted_journal_is_put_back_with_all_its_lines(journal, tmp_path):
    """What was acknowledged is in no other file: the open one is written anew."""
    data = journal.path.read_bytes()
    shutil.rmtree(tmp_path / ".pointlib")
    with pytest.raises(InputError, match="is gone"):
        journal.append(STEP)
    assert journal.path.read_bytes() == data
    assert not side(tmp_path, "lock").exists()


def test_who_finds_trouble_gives_the_lock_back(journal, tmp_path):
    """Nothing is written any more, so others, and this process again, need not wait."""
    with journal.path.open("ab") as file:
        file.write(b"x")
    with pytest.raises(InputError, match="another program"):
        journal.check()
    other = Journal(tmp_path, "bbbbbb")
    assert other.read_only == ""
    other.close(is_clean=True)


def test_interrupted_opening_leaves_no_lock(tmp_path, monkeypatch):
    """Ctrl+C while the lines are read: the next opening may write."""
    with monkeypatch.context() as patch:
        patch.setattr(journals, "read_steps", interrupt)
        with pytest.raises(KeyboardInterrupt):
            Journal(tmp_path, "aaaaaa")
    assert not side(tmp_path, "lock").exists()


def test_line_written_after_others_took_over_is_not_acknowledged(journal, monkeypatch):
    """A process that slept between check and write notices that; its step is moved aside."""
    write = os.write

    def late(handle, data):
        with journal.path.open("ab") as file:
            file.write(b'{"n": 3, "op": "open"}\n')
        return write(handle, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", late)
        with pytest.raises(InputError, match="another program"):
            journal.append(STEP)
    journal.close(is_clean=True)
    again = Journal(journal.path.parent.parent, "bbbbbb")
    assert [line["op"] for line in again.lines] == ["journal", "add", "open"]
    assert again.path.with_name("journal.jsonl.cut").read_text().count('"step": 1') == 2
    again.close(is_clean=True)


def test_who_lost_the_lock_stops_writing_and_leaves_it(journal, tmp_path):
    """A sleeping writer that was taken over writes nothing more and keeps off the new lock."""
    path = write_lock(tmp_path, user="jan")
    with pytest.raises(InputError, match=r"jan on field-pc .* took this folder over"):
        journal.append(STEP)
    journal.close(is_clean=True)
    assert len(read_journal(journal.path)) == 2
    assert json.loads(path.read_bytes())["user"] == "jan"


def test_of_two_who_take_over_at_once_one_writes(tmp_path, monkeypatch):
    """Whose lock is replaced while the dust settles, looks on only."""
    write_lock(tmp_path, age=60)
    monkeypatch.setattr(locks.time, "sleep", lambda _: write_lock(tmp_path, user="jan"))
    assert "jan on field-pc" in Journal(tmp_path, "aaaaaa").read_only


def test_beat_touches_the_lock(journal, tmp_path):
    """A heartbeat makes the lock young again."""
    path = side(tmp_path, "lock")
    os.utime(path, (0, 0))
    journal.beat()
    assert path.stat().st_mtime > 1e9


def test_copy_of_the_process_does_not_write(journal, monkeypatch):
    """A forked process has the open file, but the journal and its lock are not its own."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: -1)
        with pytest.raises(InputError, match="copy of the process"):
            journal.append(STEP)
        journal.close(is_clean=True)
    assert len(read_journal(journal.path)) == 2
    assert side(journal.path.parents[1], "lock").exists()


def test_check_from_another_thread_waits_for_a_line_on_its_way(journal, monkeypatch):
    """Looked at between the write and the note of its size, our own line is not somebody else's."""
    write, checks = os.write, []

    def slow(handle, data):
        written = write(handle, data)
        checks.append(threading.Thread(target=journal.check))
        checks[-1].start()
        checks[-1].join(0.2)
        return written

    monkeypatch.setattr(os, "write", slow)
    journal.append([{"op": "mark"}])
    checks[-1].join()
    assert journal.read_only == ""
    assert journal.append([{"op": "mark"}])[0]["n"] == 4
