"""Spoil files of every format at random: reading them may end well or in InputError, no otherwise.

    python tests/formats/fuzz.py --minutes 60
    python tests/formats/fuzz.py --repeat 0/cvat/17 --keep somewhere

Each format writes files from random points. A case spoils bytes, values, keys, attributes, cells,
names or whole files of them and converts what is left in a process of its own, which has little
memory and a few seconds. It fails where another exception or a warning comes, where the process is
killed, where anything is opened for writing outside the case's folder, where a program is started
or a pickle loaded, and where the source has changed or half a target is left. What a case does
follows from its name SEED/FORMAT/NUMBER alone. Needs fork (Linux, macOS). Not about whether what
was read is right: the formats' own tests say that.
"""

import argparse
import contextlib
import json
import os
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
import xml.etree.ElementTree as ET
import zlib
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np

from pointlib.errors import InputError
from pointlib.formats import FORMATS as EVERY
from pointlib.formats import convert
from pointlib.formats.shared.base import Record
from pointlib.images import write_image

# maps need pictures with a place in the world, and are read by GDAL
FORMATS = {name: form for name, form in EVERY.items() if form.unit != "map"}
SECONDS = 10  # of CPU for one case
WAIT = 300  # seconds on the clock, for one that waits without computing
MEMORY = 1_500_000_000  # bytes on top of what the process has when it starts
N_SOURCES = 4  # of a format: points without classes, of one, of several, with scores
PICTURES = ("a.png", "b.png", "c d.png", "e.png")  # the last is not labelled
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
FORBIDDEN = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect")
FORBIDDEN += ("pickle.find_class", "os.fork", "ctypes.dlopen", "webbrowser.open")
CHANGING = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.chmod")

WORDS = ["", " ", "\n", "x", "é", "NaN", "inf", "-inf", "1e999", "1e308", "-1e308", "1e-320", "0"]
WORDS += ["-1", "0.5", "9" * 30, "9" * 5000, "1_0", "\u0663", "0x10", "true", "null", "a.png"]
WORDS += [
    "../../x.png",
    "/etc/passwd",
    "C:\\a.png",
    "a.png\x00",
    "\ud800",
    "x" * 70_000,
    "{}",
    "[]",
]
WORDS += ["<a>", "&a;", '"', "'", "1,2", "1;2", "\t", "__import__('os').abort()", "b.png", "e.png"]
VALUES = [None, True, False, 0, -1, 0.5, 1e308, -1e308, 10**400, float("nan"), float("inf"), [], {}]
VALUES += [[[]], [None], [1, 2], [[1, 2]], ["x", "y"], {"x": 1}, {"": {"": []}}, list(range(99))]
BYTES = [
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xc3",
    b"{",
    b"]",
    b"<",
    b"[" * 200_000,
    b"<a>" * 9_999,
]
BYTES += [
    b'<!DOCTYPE a [<!ENTITY b "c">]>',
    b"&b;",
    b"<!--",
    b"<![CDATA[",
    b"\r",
    b",",
    b'"',
    b"*a",
]
NUMBER = re.compile(rb"-?\d+\.?\d*")


def pick(rng, things):
    """Return one of some things."""
    return things[int(rng.integers(len(things)))]


def nasty(rng):
    """Return a text that is trouble for somebody, as bytes."""
    return pick(rng, WORDS).encode("utf-8", errors="surrogatepass")


# valid files


@cache
def source_files(name, number):
    """Return {path: bytes} of a valid data set in the format, the images among them."""
    form, rng = FORMATS[name], np.random.default_rng(number)
    labels = [[""], ["cell"], ["cell", "dot é"], ["cell", "dot"]][number % N_SOURCES]
    with tempfile.TemporaryDirectory() as temporary:
        folder, records = Path(temporary), []
        for i, picture in enumerate(PICTURES):
            shape = tuple(rng.integers(12, 60, 2).tolist())
            write_image(folder / "images" / picture, rng.integers(0, 255, shape).astype(np.uint8))
            points = rng.uniform(0, np.array(shape[::-1]) - 1, (int(rng.integers(1, 7)), 2))
            points = points[: len(points) if i != 1 else 0].round(rng.integers(0, 3))
            scores = rng.uniform(0, 1, len(points)) if number % N_SOURCES == 3 else None
            chosen = np.array([pick(rng, labels) for _ in points], dtype=str)
            records.append(Record(folder / "images" / picture, shape, points, chosen, scores))
        form.write(folder, records[:-1], form)
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


# spoiling one file


def spoil(rng, data):
    """Return the bytes of a file with something wrong in them."""
    ways = [spoil_bytes, spoil_bytes, spoil_number, spoil_json, spoil_xml, spoil_cells, spoil_cells]
    with contextlib.suppress(ValueError, LookupError, ET.ParseError):  # not of this kind
        return pick(rng, ways)(rng, data)
    return spoil_bytes(rng, data)


def spoil_bytes(rng, data):
    """Flip, cut, repeat, move or insert bytes."""
    start, stop = sorted(rng.integers(0, len(data) + 1, 2).tolist())
    near = min(len(data), start + int(rng.integers(1, 9)))
    head, middle, tail = data[:start], data[start:stop], data[stop:]
    ways = [
        lambda: head,
        lambda: head + tail,
        lambda: head + middle * int(rng.integers(2, 5)) + tail,
        lambda: tail + middle + head,
        lambda: head + pick(rng, BYTES) + data[near:],
        lambda: head + nasty(rng) + data[start:],
        lambda: head + rng.bytes(near - start) + data[near:],
        lambda: (
            head + bytes(b ^ (1 << int(rng.integers(8))) for b in data[start:near]) + data[near:]
        ),
    ]
    return pick(rng, ways)()


def spoil_number(rng, data):
    """Put something else in the place of one number."""
    found = pick(rng, list(NUMBER.finditer(data)) or [re.match(b"", data)])
    return data[: found.start()] + nasty(rng) + data[found.end() :]


def spoil_json(rng, data):
    """Change, drop, double, rename or bury a value of JSON."""
    tree = [json.loads(data)]
    places, boxes = [], [tree]
    while boxes:
        box = boxes.pop()
        for key in list(box) if isinstance(box, dict) else range(len(box)):
            places.append((box, key))
            if isinstance(box[key], (dict, list)):
                boxes.append(box[key])
    box, key = pick(rng, places)
    other, far = pick(rng, places)
    way = int(rng.integers(7))
    if way == 0 and box is not tree:
        del box[key]
    elif way == 1 and isinstance(box, dict):
        box[pick(rng, WORDS)[:99]] = box.pop(key)
    elif way == 2 and isinstance(box, list):
        box.extend([box[key]] * int(rng.integers(1, 50)))
    elif way == 3:
        box[key] = json.loads(json.dumps(other[far]))
    elif way == 4:
        for _ in range(int(rng.integers(1, 400))):
            box[key] = [box[key]]
    else:
        box[key] = pick(rng, VALUES if way == 5 else WORDS)
    return json.dumps(tree[0]).encode()


def spoil_xml(rng, data):
    """Change, drop, double, rename or bury an element or an attribute of XML."""
    root = ET.fromstring(data)  # noqa: S314  our own file
    elements = list(root.iter())
    one, other, way = pick(rng, elements), pick(rng, elements), int(rng.integers(8))
    keys = list(one.attrib)
    if way == 0 and keys:
        del one.attrib[pick(rng, keys)]
    elif way == 1 and keys:
        one.set(pick(rng, keys), pick(rng, WORDS))
    elif way == 2 and len(one):
        one.remove(pick(rng, one))
    elif way == 3 and len(one):
        one.extend([pick(rng, one)] * int(rng.integers(1, 50)))
    elif way == 4:
        one.tag, one.attrib = other.tag, dict(other.attrib)
    elif way == 5:
        one.append(ET.fromstring(ET.tostring(other)))  # noqa: S314
    elif way == 6:
        one.tag = pick(rng, ["x", "image", "points", "annotation", "skeleton", "track", "tag"])
    else:
        one.text = pick(rng, WORDS)
    return ET.tostring(root, encoding="unicode").encode("utf-8", errors="surrogatepass")


def spoil_cells(rng, data):
    """Change, drop, double or swap cells or lines of a table."""
    text = data.decode()
    mark = max(",\t; :", key=text.count)
    rows = [line.split(mark) for line in text.split("\n")]
    row, other, way = pick(rng, rows), pick(rng, rows), int(rng.integers(7))
    i, j = int(rng.integers(len(row))), int(rng.integers(len(other)))
    if way == 0:
        row[i], other[j] = other[j], row[i]
    elif way == 1:
        del row[i]
    elif way == 2:
        row.insert(i, pick(rng, WORDS))
    elif way == 3:
        rows.remove(row)
    elif way == 4:
        rows.extend([list(row)] * int(rng.integers(1, 50)))
    elif way == 5:
        row.reverse()
    else:
        row[i] = pick(rng, WORDS)
    return "\n".join(map(mark.join, rows)).encode("utf-8", errors="surrogatepass")


def spoil_files(rng, files, paths):
    """Drop, rename, exchange or empty a file, or put another format's in its place."""
    one, other, way = pick(rng, paths), pick(rng, paths), int(rng.integers(6))
    if way == 0:
        del files[one]
    elif way == 1:
        files[str(Path(one).with_name(pick(rng, ["x", "a", "classes"]) + Path(one).suffix))] = (
            files.pop(one)
        )
    elif way == 2:
        files[one], files[other] = files[other], files[one]
    elif way == 3:
        files[one] = b""
    elif way == 4:
        files[str(Path(one).with_suffix(pick(rng, [".txt", ".json", ".xml", ".csv"])))] = files[
            other
        ]
    else:
        strange = source_files(pick(rng, sorted(FORMATS)), int(rng.integers(N_SOURCES)))
        files[one] = pick(rng, [strange[path] for path in sorted(strange)])
    return files


def make_case(case):
    """Return {path: bytes} and the path to convert ("" for the folder) of a case by its name."""
    seed, name, number = case.split("/")
    rng = np.random.default_rng([int(seed), zlib.crc32(name.encode()), int(number)])
    files = dict(source_files(name, int(number) % N_SOURCES))
    data = [path for path in files if Path(path).name not in PICTURES] or list(files)
    named = pick(rng, data) if rng.random() < 0.3 and int(number) >= N_SOURCES else ""
    if int(number) >= N_SOURCES:  # the first ones stay as they were written
        for _ in range(int(rng.geometric(0.6))):
            if rng.random() < 0.1:
                files = spoil_files(
                    rng, files, [path for path in data if path in files] or [*files]
                )
            else:
                path = pick(rng, data if rng.random() < 0.95 else list(files))
                files[path] = spoil(rng, files.get(path, b""))
    return files, named if named in files else ""


# running one


def warm(names):
    """Convert a valid data set of each format here, so that its imports need not be done again."""
    for name in names:
        with tempfile.TemporaryDirectory() as root, contextlib.suppress(InputError):
            lay(source_files(name, 0), Path(root) / "source")
            convert(Path(root) / "source", Path(root) / "target", from_=name, picture=False)


def run_case(case, root):
    """Return "accepted", "refused" or what went wrong, of one case in a process of its own."""
    receive, send = os.pipe()
    if not (child := os.fork()):
        os.close(receive)
        with contextlib.suppress(BaseException), os.fdopen(send, "w", errors="replace") as pipe:
            try:
                pipe.write(_bounded(case, Path(root)))
            except BaseException as error:  # MemoryError, SystemExit and all
                pipe.write(_told(error))
        os._exit(0)
    os.close(send)
    with os.fdopen(receive, errors="replace") as pipe:
        found = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return f"killed by {signal.Signals(os.WTERMSIG(status)).name}; {SECONDS} s of CPU it has"
    return found or "ended without a word"


def _bounded(case, root):
    """Limit this process and watch what it opens, then convert."""
    case_files, named = make_case(case)
    sys.dont_write_bytecode, os.fsync = True, lambda _file: None  # nothing here need last
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    used = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
    resource.setrlimit(resource.RLIMIT_CPU, (used + SECONDS, used + 2 * SECONDS))
    with contextlib.suppress(OSError, ValueError):  # where there is no /proc, memory is not bounded
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY,) * 2)
    signal.alarm(WAIT)
    warnings.simplefilter("error")
    source, target, told = root / "in" / "source", root / "out" / "target", []
    lay(case_files, source)
    (root / "out").mkdir()
    before = tree(root)
    sys.addaudithook(lambda event, args: _watch(event, args, root / "out", told))
    for form in FORMATS.values():
        form.looks(source)
    try:
        convert(source / named, target, from_=case.split("/")[1], picture=False)
        outcome = "accepted"
    except InputError:
        outcome = "refused" if not list((root / "out").iterdir()) else "half a target is left"
    left = {path: data for path, data in tree(root).items() if target not in path.parents}
    left.pop(target, None)
    if told or left != before:
        return "; ".join(told) or "the source has changed"
    number = int(case.split("/")[2])
    return (
        "its own valid file is refused" if number < N_SOURCES and outcome == "refused" else outcome
    )


def _watch(event, args, allowed, told):
    """Note what must not happen: writing elsewhere, starting programs, loading pickles."""
    writes = event == "open" and isinstance(args[2], int) and args[2] & WRITING
    paths = [p for p in args[: 1 if writes else 2] if isinstance(p, (str, bytes, os.PathLike))]
    if event in FORBIDDEN:
        told.append(f"{event} {args!r:.200}")
    elif writes or event in CHANGING:
        for path in paths:
            place = Path(os.path.abspath(os.fsdecode(path)))
            if allowed not in (place, *place.parents) and str(place) != os.devnull:
                told.append(f"{event} {place}")


def _told(error):
    """Return an exception and where it came from, in one line."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "pointlib" in f.filename]
    where = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in frames[::-1][:4])
    return f"{type(error).__name__}: {str(error)[:200]!r} at {where}"


def lay(files, folder):
    """Write {path: bytes} into a folder; a file that stands where a folder must be is left out."""
    for path, data in files.items():
        with contextlib.suppress(FileExistsError, NotADirectoryError):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)


def tree(folder):
    """Return {path: bytes, or None of a folder} of everything below."""
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


# many


def fuzz(names, *, seed=0, n_runs=None, minutes=None):
    """Run cases of the formats in turn; return {format: Counter} and {case: what went wrong}.

    `n_runs` of each format, or for so many minutes.
    """
    counts, failures = {name: Counter() for name in names}, {}
    warm(names)
    end, number = time.monotonic() + 60 * (minutes or 0), 0
    while number < n_runs if minutes is None else time.monotonic() < end:
        for name in names:
            case = f"{seed}/{name}/{number}"
            with tempfile.TemporaryDirectory() as root:
                outcome = run_case(case, root)
            if outcome not in ("accepted", "refused"):
                failures[case] = outcome
                outcome = "failures"
            counts[name][outcome] += 1
        number += 1
    return counts, failures


def report(counts, failures):
    """Return the table of formats and what went wrong, the same place told once."""
    heads = ("runs", "accepted", "refused", "failures")
    lines = [f"{'format':14}" + "".join(f"{head:>10}" for head in heads)]
    for name, count in counts.items():
        cells = (count.total(), *(count[head] for head in heads[1:]))
        lines.append(f"{name:14}" + "".join(f"{cell:10,}" for cell in cells))
    places = {}
    for case, what in failures.items():
        places.setdefault((case.split("/")[1], re.sub(r"'.*'|\".*\"", "", what)), []).append(case)
    lines += [
        f"\n{failures[cases[0]]}\n  {len(cases)} times; --repeat {cases[0]}"
        for cases in places.values()
    ]
    return "\n".join(lines)


def main():
    """Read the arguments, run, print the table; status 1 where a case failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--runs", type=int, default=100, help="of each format, without --minutes")
    parser.add_argument("--formats", nargs="+", default=list(FORMATS), choices=list(FORMATS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeat", metavar="SEED/FORMAT/NUMBER", help="run this case alone")
    parser.add_argument("--keep", metavar="FOLDER", type=Path, help="write the files of --repeat")
    options = parser.parse_args()
    if options.repeat:
        files, named = make_case(options.repeat)
        if options.keep:
            lay(files, options.keep)
        with tempfile.TemporaryDirectory() as root:
            print(f"source/{named}: {run_case(options.repeat, root)}")
        return 0
    counts, failures = fuzz(
        options.formats, seed=options.seed, n_runs=options.runs, minutes=options.minutes
    )
    print(report(counts, failures))
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
