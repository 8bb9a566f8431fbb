"""What each format of the table must keep, to its own rounding: a new one is tested by being there.

Written against what a Format declares, and against nothing else that is known of one.
"""

import contextlib
import json
import random
import re
import tempfile
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from pointlib.errors import InputError
from pointlib.formats import FORMATS as EVERY
from pointlib.formats import convert, recognise
from pointlib.formats.shared.base import Format, Pictures, Record
from pointlib.points import check_points

SHAPES = {"high.png": (61, 40), "wide.png": (37, 90), "square.png": (48, 48), "later.png": (20, 30)}
POINTS = np.array([(10.5, 20.25), (30, 30.75), (-0.5, 36.5), (3, 4)])  # of wide.png
EASY = [Record("wide.png", None, POINTS, np.array(["cell", "dot", "cell", "cell"]))]
# maps need pictures with a place in the world: test_maps.py
FORMATS = {name: form for name, form in EVERY.items() if form.unit != "map"}
PAIRS = list(product(FORMATS, repeat=2))


def write(folder, records, form):
    """Write images and records, with their shapes and paths, as convert does; return `folder`."""
    (folder / "images").mkdir(parents=True)
    for name, (height, width) in SHAPES.items():
        shades = np.random.default_rng(1).integers(60, 200, (height, width), dtype=np.uint8)
        Image.fromarray(shades).save(folder / "images" / name)
    full = [r._replace(image=folder / "images" / r.image, shape=SHAPES[r.image]) for r in records]
    form.write(folder, full, form)
    return folder


def read(folder, form):
    """Return {image name: Record} of what a format's reader says of a folder."""
    pictures = Pictures(folder)
    return {record.image.name: record for record in form.read(folder, pictures, form)}


def classes(labels):
    """Return labels as the kit takes them: no class is the class `point`."""
    return np.array([label or "point" for label in labels], dtype=object)


def slack(form, shape):
    """Return how far (px, x and y) a format's own rounding may move a point."""
    if form.decimals is None:
        return np.full(2, 1e-6)
    pixels = {"pixels": (1, 1), "fraction": shape[::-1], "percent": np.array(shape[::-1]) / 100}
    return 0.5 * 10.0**-form.decimals * np.array(pixels[form.unit]) * 1.001 + 1e-6


def assert_same(found, record, form):
    """Hold what was read beside what was written, by what the format says that it carries."""
    shape = SHAPES[record.image.name if isinstance(record.image, Path) else record.image]
    check_points(found.points, shape=shape)
    names = classes(record.labels) if "labels" in form.carries else classes(found.labels)
    apart = cdist(
        record.points / slack(form, shape), found.points / slack(form, shape), "chebyshev"
    )
    if "labels" in form.carries:
        apart[names[:, None] != classes(found.labels)[None]] = np.inf
    if form.merges:  # no point from nowhere, none gone without another one in its place
        assert (apart <= 1).any(axis=0).all()
        assert (apart <= 1).any(axis=1).all()
        return
    assert len(found.points) == len(record.points)
    rows, columns = linear_sum_assignment(np.minimum(apart, 1e6))
    assert (apart[rows, columns] <= 1).all()
    if "scores" in form.carries and record.scores is not None:
        assert np.allclose(np.sort(found.scores), np.sort(record.scores), rtol=0, atol=1e-3)


def assert_kept(found, records, form):
    """Hold all images: those with points, and those without where the format can say it."""
    expected = {Path(r.image).name: r for r in records}
    if "empty" not in form.carries:
        expected = {name: r for name, r in expected.items() if len(r.points)}
    assert set(found) == set(expected)
    for name, record in expected.items():
        assert_same(found[name], record, form)


@st.composite
def datasets(draw):
    """Draw Records of some images: anywhere on them, none or several, classes and scores or not."""
    named, scored = draw(st.booleans()), draw(st.booleans())
    records = []
    for name in draw(st.sets(st.sampled_from(["high.png", "wide.png", "square.png"]), min_size=1)):
        height, width = SHAPES[name]
        n_points = draw(st.integers(0, 5))
        place = st.tuples(st.floats(-0.5, width - 0.5), st.floats(-0.5, height - 0.5))
        points = draw(st.lists(place, min_size=n_points, max_size=n_points))
        words = st.sampled_from(["cell", "dot", "two words", "Zelle-ä"] if named else [""])
        labels = draw(st.lists(words, min_size=n_points, max_size=n_points))
        scores = draw(st.lists(st.integers(0, 1000), min_size=n_points, max_size=n_points))
        scores = np.array(scores) / 1000 if scored and n_points else None
        table = np.array(points, dtype=float).reshape(-1, 2)
        records.append(Record(name, None, table, np.array(labels, dtype=str), scores))
    return records


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_written_is_read(name):
    """Points anywhere, on non-square images, come back to the format's own rounding."""

    @settings(deadline=None, max_examples=25, database=None)
    @given(datasets())
    def holds(records):
        with tempfile.TemporaryDirectory() as top:
            folder = write(Path(top) / "a", records, FORMATS[name])
            assert_kept(read(folder, FORMATS[name]), records, FORMATS[name])

    holds()


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_any_format_becomes_any_other(first, second):
    """Through each pair the points are what they were in the first, to the second's rounding."""

    @settings(deadline=None, max_examples=2, database=None)
    @given(datasets())
    def holds(records):
        with tempfile.TemporaryDirectory() as top:
            folder = write(Path(top) / "a", records, FORMATS[first])
            before = list(read(folder, FORMATS[first]).values())
            assume(before)  # where the first cannot say "nothing there", nothing may be left
            options = {"from_": first, "to": second, "link": True, "picture": False}
            convert(folder, Path(top) / "b", **options)
            assert_kept(read(Path(top) / "b", FORMATS[second]), before, FORMATS[second])

    holds()


@pytest.mark.parametrize("name", FORMATS)
def test_images_that_nobody_looked_at_stay_so(tmp_path, name):
    """Unlabelled is not empty, and the loss of "nothing there" is told before (LESSONS 18)."""
    empty = Record("high.png", None, np.empty((0, 2)), np.empty(0, dtype=str))
    write(tmp_path / "kit", [*EASY, empty], FORMATS["txt"])
    told = []
    found = convert(tmp_path / "kit", tmp_path / "new", from_="txt", to=name, log=told.append)
    records = read(tmp_path / "new", FORMATS[name])
    kept = "empty" in FORMATS[name].carries
    assert set(records) == {"wide.png", "high.png"} if kept else {"wide.png"}
    assert kept != any("1 images are empty" in sentence for sentence in told)
    assert (found.n_labelled, found.n_empty, found.n_unlabelled) == (1, 1, 2)


@pytest.mark.parametrize("name", FORMATS)
def test_losses_are_told_before_anything_is_written(tmp_path, name):
    """What does not survive is in the sentences, and in no other format's; --dry-run too."""
    form, scores = FORMATS[name], np.array([0.5, 0.25, 0.125, 1])
    write(tmp_path / "all", [EASY[0]._replace(scores=scores)], FORMATS["csv"])
    found = convert(tmp_path / "all", tmp_path / "new", from_="csv", to=name, dry_run=True)
    assert not (tmp_path / "new").exists()
    told = " ".join(found.lost)
    assert ("Lost: the classes" in told) == ("labels" not in form.carries)
    assert ("Lost: the scores" in told) == ("scores" not in form.carries)
    moves = max(slack(form, SHAPES["wide.png"])) > 0.01
    assert ("Lost: the finest digits" in told) == moves


@pytest.mark.parametrize("name", FORMATS)
def test_format_is_recognised(tmp_path, name):
    """What a format wrote looks like that format and no other, unless it never says so."""
    folder = write(tmp_path / "a", EASY, FORMATS[name])
    if FORMATS[name].looks is Format.__dataclass_fields__["looks"].default:
        pytest.skip(f"{name} cannot be told from others")
    assert recognise(folder).name == name


@pytest.mark.parametrize("name", FORMATS)
def test_declaration_is_what_its_numbers_mean(name):
    """from_points undoes to_points, and the place of (0, 0) follows axes, unit, convention."""
    form, shape = FORMATS[name], (100, 200)
    assert np.allclose(form.to_points(form.from_points(POINTS, shape), shape), POINTS)
    shift = 0.5 if form.convention == "corner" else 0
    size = {"pixels": (1, 1), "fraction": (200, 100), "percent": (2, 1)}[form.unit]
    expected = (np.array([10.5, 20.25]) + shift) / size
    found = form.from_points([(10.5, 20.25)], shape)[0]
    assert np.allclose(found, expected if form.axes == "xy" else expected[::-1])
    assert form.about
    assert form.carries <= {"labels", "empty", "scores", "regions"}


# hostile files: whatever they hold, an InputError comes or nothing does


WORDS = ["", "nan", "1e999", "-1e308", "9" * 400, "../../x.png", "\0", "\ud800", "0", "-7", "é"]
SHAPELESS = [
    None,
    True,
    3,
    -1.5,
    1e308,
    "",
    "x",
    "9" * 30,
    [],
    {},
    [[1]],
    [None],
    {"a": 1},
    [1, "b"],
]
WRONG = ["[]", "{}", "3", '"x"', "null", "[[1]]", '[{"a":1}]', "<a/>", "<a><b/></a>", ",,,\n", "\0"]


def damage(data, rng):
    """Return bytes with one thing wrong: cut off, swapped, doubled, or a word replaced."""
    if not data:
        return rng.randbytes(20)
    kind, at = rng.randrange(7), rng.randrange(len(data))
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + rng.randbytes(rng.randrange(1, 9)) + data[at + 1 :]
    if kind == 2:
        return data[:at] + data[rng.randrange(len(data)) :]
    if kind == 3:
        return rng.choice(WRONG).encode()
    spots = list(re.finditer(rb'(?<=")[^"<>]*(?=")|[-+.\w]+', data))
    spot = rng.choice(spots) if spots else re.search(b"", data)
    word = rng.choice(WORDS).encode(errors="surrogatepass")
    return data[: spot.start()] + word + data[spot.end() :]


def reshape(value, rng):
    """Return JSON of which one part is of another kind."""
    parts = list(value.items() if isinstance(value, dict) else enumerate(value or []))
    if not parts or rng.random() < 0.15:
        return rng.choice(SHAPELESS)
    key, part = rng.choice(parts)
    new = reshape(part, rng) if isinstance(part, (dict, list)) else rng.choice(SHAPELESS)
    if isinstance(value, list):
        return value[:key] + [new] + value[key + 1 :]
    return (
        {k: v for k, v in value.items() if k != key} if rng.random() < 0.2 else value | {key: new}
    )


def spoil(path, rng):
    """Damage a file, half of the JSON ones in their shape."""
    data = path.read_bytes()
    if path.suffix in (".json", ".geojson", ".pnt") and rng.random() < 0.6:
        path.write_text(json.dumps(reshape(json.loads(data), rng)))
    else:
        path.write_bytes(damage(data, rng))


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files_are_sentences(tmp_path, name):
    """Every reader meets damaged files with an InputError, or reads them; and looks never fails."""
    folder = write(tmp_path / "a", EASY, FORMATS[name])
    pictures = {path.read_bytes() for path in (folder / "images").glob("*.png")}
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    own = [path for path in files if path.read_bytes() not in pictures]
    assert own
    rng = random.Random(name)  # noqa: S311 - the same damage each time
    options = {"from_": name, "dry_run": True, "picture": False}
    for _ in range(60):
        path = rng.choice(own)
        before = path.read_bytes()
        spoil(path, rng)
        for form in FORMATS.values():
            assert form.looks(folder) in (True, False)
            assert form.looks(path) in (True, False)
        for source in (folder, path):
            with contextlib.suppress(InputError):
                convert(source, tmp_path / "new", **options)
        path.write_bytes(before)
    assert_kept(read(folder, FORMATS[name]), EASY, FORMATS[name])


@pytest.mark.parametrize("name", FORMATS)
def test_a_folder_of_nothing_is_a_sentence(tmp_path, name):
    """A folder without a file of the format raises InputError, or tells of no point."""
    for image in SHAPES:
        Image.new("L", (9, 7)).save(tmp_path / image)
    with contextlib.suppress(InputError):
        assert convert(tmp_path, tmp_path / "new", from_=name, dry_run=True).n_points == 0
