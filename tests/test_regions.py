"""Regions: polygons say what is labelled, and nothing outside them is learnt, found or scored."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import Point, Polygon

from pointlib import (
    ImagePointDataset,
    InputError,
    MemoryDataset,
    ModelInfo,
    Regions,
    build_model,
    draw_cells,
    evaluate,
    load_splits,
    read_regions,
    regions_path,
    resize,
    text_path,
    warp_points,
    write_image,
    write_points,
    write_regions,
)
from pointlib.comparison.judge import Predictions, count
from pointlib.dataset import PartOf
from pointlib.losses import mask_out, weighted_bce
from pointlib.study.suspects import label_errors
from pointlib.thresholds import find_peaks
from pointlib.train.crops import Shrunk, TrainingCrops, learn_range
from pointlib.train.validate import validate
from pointlib.tune.inputs import list_items
from pointlib.tune.state import open_tuning_set
from pointlib.windows import pieces_of, read_part

SQUARE = [[10, 10], [30, 10], [30, 30], [10, 30]]
HOLE = [[15, 15], [20, 15], [20, 20], [15, 20]]


def random_regions(seed):
    """Return Regions of two areas, the first with a hole, at random corners."""
    rng = np.random.default_rng(seed)
    first = [rng.uniform(-10, 60, (rng.integers(3, 12), 2)), rng.uniform(5, 40, (4, 2))]
    return Regions([first, [rng.uniform(0, 50, (5, 2))]])


@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_mask_is_what_contains_says_of_pixel_centres(seed):
    """The mask and the test of points follow one rule, holes and crossings included."""
    regions = random_regions(seed)
    y, x = np.mgrid[:40, :50]
    inside = regions.contains(np.column_stack([x.ravel(), y.ravel()]))
    assert (regions.mask((40, 50)) == inside.reshape(40, 50)).all()


@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_inside_is_inside_as_in_shapely(seed):
    """Shapely agrees for polygons that do not cross themselves, away from the edges."""
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
    ring = 30 + np.column_stack([np.cos(angles), np.sin(angles)]) * rng.uniform(5, 25, (9, 1))
    points, outline = rng.uniform(0, 60, (40, 2)), Polygon(ring)
    points = points[[outline.exterior.distance(Point(p)) > 1e-6 for p in points]]
    expected = [outline.contains(Point(p)) for p in points]
    assert Regions([[ring]]).contains(points).tolist() == expected


def test_neighbours_share_no_place():
    """Of two boxes side by side each place is in exactly one, edges too."""
    places = np.column_stack([np.linspace(0, 20, 41), np.full(41, 5.0)])
    left, right = Regions.box(-1, 0, 9.5, 10), Regions.box(9.5, 0, 21, 10)
    assert (left.contains(places) ^ right.contains(places)).all()


def test_share_counts_overlaps_once_and_holes_not():
    """The labelled share is that of the mask, also of an image that is reduced for it."""
    twice = Regions([[SQUARE, HOLE], [SQUARE, HOLE]])
    assert twice.share((40, 50)) == pytest.approx((20 * 20 - 25) / 2000)
    large = twice.warped(resize((40, 50), (4000, 5000)))
    assert large.share((4000, 5000)) == pytest.approx(375 / 2000, abs=0.002)


def test_moving_regions_moves_them_as_points():
    """A warped region contains the warped points."""
    regions, matrix = random_regions(3), resize((40, 50), (93, 61))
    points = np.random.default_rng(0).uniform(0, 50, (200, 2))
    moved = regions.warped(matrix).contains(warp_points(points, matrix))
    assert (moved == regions.contains(points)).all()


def test_files_keep_regions(tmp_path):
    """What is written is read again, and is QuPath's: pixels from the corner, closed rings."""
    path = tmp_path / "a.regions.json"
    write_regions(path, Regions([[SQUARE, HOLE]]))
    (feature,) = json.loads(path.read_text())["features"]
    ring = feature["geometry"]["coordinates"][0]
    assert ring[0] == ring[-1] == [10.5, 10.5]
    assert read_regions(path).outlines() == Regions([[SQUARE, HOLE]]).outlines()


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("{", "is not JSON"),
        ('{"type": "FeatureCollection", "features": []}', "has no polygon. Delete it"),
        ('{"type": "Point", "coordinates": [1, 2]}', "has a Point; expected GeoJSON of Polygon"),
        ('{"type": "Polygon", "coordinates": [[[1, 2], [3, 4]]]}', "three corners or more"),
        ('{"type": "Polygon", "coordinates": [[[1, 2], [3, 4], [1, "a"]]]}', "Draw it again"),
        ("[1, 2]", "has something else"),
    ],
)
def test_files_that_are_no_regions_are_refused(tmp_path, text, match):
    """The sentence says what the file has and what is expected."""
    path = tmp_path / "a.regions.json"
    path.write_text(text)
    with pytest.raises(InputError, match=match):
        read_regions(path)


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_pieces_cover_what_is_labelled_once(seed):
    """Each pixel that is labelled is labelled in one piece, at its place, and no other is."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(30, 90, 2).tolist())
    regions = random_regions(seed) if seed % 3 else None
    counted = np.zeros(shape, int)
    for piece in pieces_of(shape, regions, side=int(rng.integers(10, 50)), context=7):
        left, top, right, bottom = piece.box
        size = (bottom - top, right - left)
        labelled = np.ones(size, bool) if piece.regions is None else piece.regions.mask(size)
        counted[top:bottom, left:right] += labelled
    expected = np.ones(shape, bool) if regions is None else regions.mask(shape)
    assert (counted == expected).all()


def save(folder, *, n=1, shape=(120, 160), regions=None):
    """Write n drawn images with points, and the same regions for each."""
    for i in range(n):
        scene, path = draw_cells(shape, n=40, seed=i), folder / f"{i}.png"
        write_image(path, scene.image)
        write_points(text_path(path), scene.points, shape)
        if regions:
            write_regions(regions_path(path), regions)
    return folder


def test_dataset_has_the_points_inside_at_their_places(tmp_path):
    """An item is the labelled part with its surroundings; points outside are counted."""
    regions = Regions([[np.array(SQUARE) * 3]])
    whole = ImagePointDataset(save(tmp_path / "whole"))
    dataset = ImagePointDataset(save(tmp_path / "part", regions=regions))
    _, points, _ = dataset[0]
    assert dataset.names == ["0.png"]  # the surroundings reach the image's edges
    inside = regions.contains(whole[0][1])
    np.testing.assert_allclose(points, whole[0][1][inside])
    assert dataset.n_outside == (~inside).sum() > 0
    assert dataset.regions(0).contains(points).all()


def test_pieces_have_names_that_lists_and_splits_take(tmp_path):
    """A part of a large image is an item of its own, which can be asked for by name."""
    folder = save(tmp_path, shape=(900, 1000), regions=Regions.box(499.5, 399.5, 599.5, 459.5))
    dataset = ImagePointDataset(folder)
    (name,) = dataset.names
    assert name == "0.png#xywh=372,272,356,316"
    assert dataset.files == ["0.png"]
    assert dataset[0][0].shape[:2] == dataset.shape(0) == (316, 356)
    assert ImagePointDataset(folder, names=[name]).names == [name]
    with pytest.raises(InputError, match=r"0\.png is not cut there"):
        ImagePointDataset(folder, names=["0.png#xywh=0,0,5,5"])


def test_regions_without_a_pixel_of_the_image_are_refused(tmp_path):
    """Polygons in other units are no silent empty image."""
    folder = save(tmp_path, regions=Regions.box(5000, 5000, 6000, 6000))
    with pytest.raises(InputError, match="has no pixel of 0.png, 160 x 120"):
        ImagePointDataset(folder)


def test_an_image_is_cut_in_two_where_it_is_labelled(tmp_path):
    """With few images both halves have labelled pixels, and points stay in their regions."""
    save(tmp_path, n=2, regions=Regions.box(9.5, 9.5, 69.5, 109.5))
    train, val, how = load_splits(tmp_path)
    assert "cut in two" in how
    for part in (train, val):
        for i in range(2):
            regions = part.regions(i)
            assert regions.mask(part[i][0].shape[:2]).any()
            assert regions.contains(part[i][1]).all()


def crops_of(dataset, **options):
    """Return crops of 32 px of a dataset of grey images."""
    info = learn_range([dataset[0][0]], ModelInfo(n_channels=1))
    return TrainingCrops(dataset, info, size=32, **options)


@pytest.mark.parametrize("augment", [False, True])
def test_crops_are_valid_inside_only(augment):
    """What is shown as labelled in crops are pixels of the region: white here, black outside."""
    regions = Regions([[[[20, 20], [70, 25], [60, 80], [15, 60]]]])
    image = 200.0 * regions.mask((100, 110))[:, :, None]
    image[::2, ::2] += 50.0  # for a range of values
    points = np.array([[40.0, 40.0], [50.0, 30.0]])
    dataset = MemoryDataset([(image, points, ["point"] * 2)], regions=[regions])
    crops = crops_of(dataset, augment=augment)
    seen = 0
    for i in range(len(crops)):
        crop, _, valid = crops[i]
        seen += int(valid.sum())
        inner = valid[0] & (torch.nn.functional.avg_pool2d(valid.float(), 5, 1, 2)[0] == 1)
        assert (crop[0][inner] > 0.45).all()
    assert seen > 100 * len(crops)


def test_shrunk_images_have_shrunk_regions():
    """A dataset seen smaller moves regions as it moves points."""
    regions = Regions.box(9.5, 19.5, 49.5, 59.5)
    dataset = MemoryDataset(
        [(np.zeros((80, 100, 1)), [[30.0, 40.0]], ["point"])], regions=[regions]
    )
    small = Shrunk(PartOf(dataset, [0]), 0.5)
    assert small.shape(0) == (40, 50)
    assert small.regions(0).contains(small[0][1]).all()
    assert small.regions(0).share((40, 50)) == pytest.approx(regions.share((80, 100)), abs=0.01)


def test_nothing_is_learnt_outside():
    """The gradient of the loss is exactly 0 where the region is not."""
    logits = torch.randn(2, 1, 16, 16, requires_grad=True)
    valid = torch.from_numpy(Regions.box(3.5, 3.5, 9.5, 12.5).mask((16, 16)))
    weighted_bce(*mask_out(logits, torch.rand(2, 1, 16, 16), valid)).backward()
    inside = valid.expand_as(logits)
    assert (logits.grad[~inside] == 0).all()
    assert (logits.grad[inside] != 0).any()


def bright_spots(spots, shape=(60, 90)):
    """Return an image with a bright spot at each place, and a model that takes them as heights."""
    from pointlib import gaussian_max

    model = build_model(ModelInfo(n_channels=1, radius=3.0))
    model.network = torch.nn.Identity()
    return 255 * gaussian_max(spots, shape, sigma=2).numpy()[:, :, None], model


def test_the_tuner_leaves_out_a_folders_images_that_were_trained_in_part(tmp_path):
    """The model names pieces; their images are not for choosing thresholds."""
    regions = Regions.box(499.5, 399.5, 599.5, 459.5)
    save(tmp_path, n=2, shape=(900, 1000), regions=regions)
    trained = ["0.png#xywh=372,272,356,316"]
    assert [item.name for item in list_items(tmp_path, trained=trained)] == ["1.png"]


def test_a_piece_does_not_keep_its_picture_in_memory(tmp_path):
    """A cached piece of a JPEG or PNG holds its own pixels only."""
    save(tmp_path, shape=(900, 1000), regions=Regions.box(499.5, 399.5, 599.5, 459.5))
    assert read_part(tmp_path / "0.png", (100, 0, 200, 50)).base is None


def test_scores_count_inside_only():
    """Whatever a model finds outside the region changes no number."""
    inside, outside = [[20.0, 20.0], [30.0, 40.0]], [[60.0, 20.0], [80.0, 50.0], [70.0, 35.0]]
    regions = [Regions.box(-0.5, -0.5, 45.5, 59.5)]
    rows = []
    for spots in (inside, inside + outside):
        image, model = bright_spots(spots)
        dataset = MemoryDataset([(image, inside[:1], ["point"])], regions=regions)
        metrics = evaluate(model, dataset)
        row, chosen, _ = validate(model, dataset)
        judged, _ = count(
            Predictions(model, dataset),
            model.info,
            find_peaks,
            {"point": {"threshold": 0.5, "min_distance": 1.0}},
        )
        tuned = open_tuning_set(model, dataset)
        tuned.wait(60)
        found = [len(peaks.points) for peaks in tuned.candidates[0].values()]
        tuned.close()
        suspects = [(s.kind, round(s.x), round(s.y)) for s in label_errors(model, dataset)]
        rows.append(
            (metrics["pooled"], row["f1"], row["val_loss"], chosen, judged, found, suspects)
        )
    one, other = rows
    assert one[0]["tp"], one[0]["fp"] == (1, 1)
    assert one[6] == [("missed", 30, 40)]
    np.testing.assert_allclose(one[2], other[2], rtol=1e-5)
    assert str(one[:2] + one[3:]) == str(other[:2] + other[3:])
