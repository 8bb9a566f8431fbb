"""Pictures with known points, and the sample sets drawn from them."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from pointlib.errors import InputError
from pointlib.images import read_image
from pointlib.points import label_state, read_points, text_path
from pointlib.synthetic import SETS, draw_cats, draw_cells, draw_field, draw_sample, draw_set, sets
from pointlib.synthetic.cats import _cat, _edge, _lens
from pointlib.synthetic.field import _plant
from pointlib.synthetic.scene import sample, turn

DATA = Path(__file__).resolve().parents[2] / "data"
SCENES = pytest.mark.parametrize("draw", [draw_cells, draw_field, draw_cats])


def centre_of_mass(patch, corner=(0, 0)):
    """Return x, y of the centre of mass of a patch whose first pixel is at `corner`."""
    return np.array(ndimage.center_of_mass(patch))[::-1] + corner


def clarity(scene):
    """Return how much the points' colour differs from that 8 pixels around, over the noise."""
    image = np.atleast_3d(scene.image).astype(float)
    y, x = np.indices(image.shape[:2])
    contrasts = []
    for point in scene.points:
        distance = np.hypot(x - point[0], y - point[1])
        ring, disc = image[(distance > 6) & (distance < 10)], image[distance < 1.5]
        contrasts.append(np.linalg.norm(disc.mean(axis=0) - ring.mean(axis=0)))
    step = np.diff(image, n=2, axis=1) / np.sqrt(6)
    return np.mean(contrasts) / (0.1 + 1.48 * np.median(np.abs(step)))


@SCENES
def test_draw_is_a_function_of_the_seed(draw):
    """The same seed gives the same picture and points, another seed another picture."""
    first, again, other = (draw((64, 90), seed=seed) for seed in (3, 3, 4))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (first.image != other.image).any()
    assert first.image.dtype == np.uint8
    assert first.image.shape[:2] == (64, 90)
    assert first.points.shape == (len(first.labels), 2)


@SCENES
@pytest.mark.parametrize("shape", [(32, 200), (75, 41)])
def test_draw_keeps_points_inside_and_apart(draw, shape):
    """Every point is at least a pixel inside, and no two are at the same place."""
    for seed in range(8):
        points = draw(shape, difficulty=seed / 7, seed=seed).points
        inner = np.array(shape[::-1]) - 2
        assert ((points >= 1) & (points <= inner)).all()
        assert len(np.unique(points, axis=0)) == len(points)


@SCENES
def test_draw_uses_every_subpixel_phase(draw):
    """Each tenth of a pixel holds its share of the points, along x and along y."""
    points = np.concatenate([draw((90, 120), seed=seed).points for seed in range(30)])
    counts = [np.histogram(points[:, axis] % 1, bins=10, range=(0, 1))[0] for axis in (0, 1)]
    assert np.min(counts) > 0.4 * len(points) / 10


def test_draw_cells_point_is_the_centroid_of_light():
    """The grey values of one cell alone balance at its point, within 0.02 pixels."""
    worst = []
    for seed in range(60):
        image, (point,), _ = draw_cells((64, 80), n=1, difficulty=0, seed=seed)
        if (np.abs(point - (39.5, 31.5)) < (23, 15)).all():
            worst.append(np.abs(centre_of_mass(image - 14.0) - point).max())
    assert len(worst) > 10
    assert max(worst) < 0.02


@pytest.mark.parametrize("kind", ["seedling", "round", "grass"])
def test_draw_field_leaves_balance_at_the_stem(kind):
    """The cover of a plant has its centre of mass at the stated place, within 0.02 pixels."""
    rng = np.random.default_rng(5)
    for stem in rng.uniform(20, 30, (40, 2)):
        patch, corner = sample(_plant(rng, kind, 1.0, 0.5), stem, 15)
        assert np.abs(centre_of_mass(patch[..., 3], corner) - stem).max() < 0.02


def test_draw_field_points_are_where_the_green_is():
    """In the finished picture the green of lone seedlings balances at their points on average."""
    errors = []
    for seed in range(6):
        image, points, _ = draw_field(n_weeds=0, difficulty=0, seed=seed)
        green = ((image @ np.array([-1.0, 2.0, -1.0])) / 60).clip(0, 1)
        for x, y in points:
            i, j = round(y), round(x)
            alone = np.sort(np.hypot(*(points - (x, y)).T))[1] > 26
            if alone and 13 < i < 226 and 13 < j < 306:
                window = green[i - 13 : i + 14, j - 13 : j + 14]
                errors.append(centre_of_mass(window, (j - 13 - x, i - 13 - y)))
    assert len(errors) > 40
    assert np.abs(np.mean(errors, axis=0)).max() < 0.1


def test_draw_cats_pupil_balances_at_its_point():
    """What a slit darkens in an eye has its centre of mass at the point, within 0.02 pixels."""
    rng = np.random.default_rng(6)
    for centre in rng.uniform(20, 30, (60, 2)):
        cat = _cat(rng, rng.uniform(18, 48), 1)

        def slit(x, y, cat=cat):
            v, u = turn(x, y, -cat.tilt)[::-1] / cat.size
            return _edge(cat.size, _lens(v, u, 0.16, cat.slit))

        patch, corner = sample(slit, centre, int(0.3 * cat.size) + 2)
        assert np.abs(centre_of_mass(patch, corner) - centre).max() < 0.02


@pytest.mark.parametrize("n", [1, 4, 7])
def test_draw_cats_shows_every_pupil(n):
    """Every pupil is dark in the finished picture and its iris beside it is not: none is hidden."""
    for seed in range(6):
        image, points, _ = draw_cats(n=n, difficulty=0, seed=seed)
        assert len(points) == 2 * n
        nearest = np.round(points).astype(int)
        assert image[nearest[:, 1], nearest[:, 0]].max() < 60
        around = ndimage.maximum_filter(image.max(axis=2), 13)
        assert around[nearest[:, 1], nearest[:, 0]].min() > 100


@SCENES
def test_draw_gets_harder(draw):
    """Points stand out less from what is around them, measured by the noise, step by step."""
    levels = [
        np.mean([clarity(draw((120, 160), difficulty=dial, seed=seed)) for seed in range(4)])
        for dial in (0, 0.3, 0.6, 1)
    ]
    assert all(easy > 1.2 * hard for easy, hard in pairwise(levels))


def test_draw_of_nothing_has_no_points():
    """No cells or cats are no points of the right shape; no weeds leave seedlings alone."""
    assert draw_cells((40, 60), n=0).points.shape == (0, 2)
    assert draw_cats((40, 60), n=0).points.shape == (0, 2)
    assert draw_cats((40, 60), n=0).labels.dtype.kind == "U"
    assert set(draw_field(n_weeds=0).labels) == {"seedling"}


def test_draw_counts_are_exact():
    """As many cells and weeds as asked for are there, also where they hardly fit."""
    assert len(draw_cells((40, 60), n=90, difficulty=0).points) == 90
    labels = draw_field((80, 100), n_weeds=33).labels
    assert (labels == "weed").sum() == 33


def test_draw_field_has_rows_and_two_classes():
    """Seedlings stand on lines a row spacing apart once the tilt is undone; weeds do not."""
    _, points, labels = draw_field(n_weeds=60, difficulty=0, seed=1)
    spread = {}
    for name in ("seedling", "weed"):
        x, y = points[labels == name].T
        tilts = np.linspace(-0.2, 0.2, 201)
        waves = np.exp(2j * np.pi * (x * np.cos(tilts[:, None]) + y * np.sin(tilts[:, None])) / 48)
        spread[name] = np.abs(waves.mean(axis=1)).max()
    assert spread["seedling"] > 0.9
    assert spread["weed"] < 0.5


@SCENES
def test_draw_names_what_it_cannot_draw(draw):
    """A wrong shape or difficulty is an error that says what is needed."""
    with pytest.raises(InputError, match=r"shape is \(20, 64\); expected \(H, W\), both 32"):
        draw((20, 64))
    with pytest.raises(InputError, match=r"shape is \(64, 64, 3\)"):
        draw((64, 64, 3))
    with pytest.raises(InputError, match=r"difficulty is 1\.5; expected a number from 0 to 1"):
        draw((64, 80), difficulty=1.5)


def test_draw_set_is_the_same_to_the_byte(tmp_path):
    """Drawn twice, every file of a set is the same."""
    for folder in ("a", "b"):
        draw_set("cats", tmp_path / folder, shape=(48, 64))
    names = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*.*"))
    assert len(names) == 30 + 30 + 4
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("name", SETS)
def test_shipped_sets_are_what_is_drawn(name, tmp_path):
    """`make data` would change nothing: no text by a byte, no picture by a pixel."""
    draw_set(name, tmp_path)
    files = [path for path in sorted((tmp_path / name).rglob("*.*")) if path.is_file()]
    assert len(files) > 60
    for path in files:
        shipped = DATA / path.relative_to(tmp_path)
        if path.suffix == ".png":
            assert np.array_equal(read_image(path), read_image(shipped)), shipped
        else:
            assert path.read_bytes() == shipped.read_bytes(), shipped


def test_draw_set_writes_lists_texts_and_unlabelled_images(tmp_path):
    """The lists name each labelled image once; some texts are empty; two images have none."""
    draw_set("cells", tmp_path, shape=(48, 64))
    home = tmp_path / "cells"
    listed = [(home / f"{part}.txt").read_text().split() for part in ("train", "val", "test")]
    assert [len(names) for names in listed] == [24, 8, 8]
    states = {path.name: label_state(path) for path in (home / "images").glob("*.png")}
    labelled = [name for name, state in states.items() if state != "unlabelled"]
    assert sorted(name for names in listed for name in names) == sorted(labelled)
    assert list(states.values()).count("unlabelled") == 2
    assert list(states.values()).count("empty") >= 1
    assert "Match radius: 6 px" in (home / "README.md").read_text()


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("index", [0, 3, 29])
def test_draw_sample_is_what_the_data_folder_holds(name, index):
    """The shipped picture and its points are those that the code draws."""
    scene = draw_sample(name, index)
    path = DATA / name / "images" / f"{name.rstrip('s')}_{index + 1:03d}.png"
    np.testing.assert_array_equal(read_image(path), scene.image)
    points, labels = read_points(text_path(path), scene.image.shape[:2])
    np.testing.assert_allclose(points, scene.points, atol=1e-5)
    assert [label or "point" for label in labels] == scene.labels.tolist()


def test_data_folder_stays_small():
    """The shipped sample sets take less than 10 MB, README, lists and models included."""
    sizes = [path.stat().st_size for name in SETS for path in (DATA / name).rglob("*")]
    assert 1e6 < sum(sizes) < 10e6


def test_main_draws_every_set(monkeypatch, tmp_path):
    """The command line draws all sets into the folder it is given."""
    drawn = []
    monkeypatch.setattr(sets, "draw_set", lambda name, folder: drawn.append((name, folder)))
    sets.main(tmp_path)
    assert drawn == [(name, tmp_path) for name in ("cells", "field", "cats")]
