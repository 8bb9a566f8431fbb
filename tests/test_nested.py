"""Datasets in nested folders: an image's name carries its folder, from the lists to the scores."""

import numpy as np
import pytest

from pointlib import (
    ImagePointDataset,
    check_folder,
    compare_folders,
    load_splits,
    write_image,
    write_points,
)
from pointlib.cli import main
from pointlib.errors import InputError
from pointlib.images import list_images, relative_name
from pointlib.points import read_points, text_path
from pointlib.splits import part_of, read_lists
from pointlib.study.budget import unlabelled_images
from pointlib.tune.inputs import list_items

SHAPE = (40, 60)
NAMES = ["cam1/0001.png", "cam1/0002.png", "cam2/0001.png", "cam2/0002.png", "top.png"]


@pytest.fixture
def field(tmp_path):
    """Return a folder with images of equal names in two folders and one at the top, labelled."""
    for number, name in enumerate(NAMES):
        path = tmp_path / "field" / name
        shades = np.random.default_rng(number).integers(0, 255, SHAPE, dtype=np.uint8)
        write_image(path, shades)
        write_points(text_path(path), [(10 + number, 20), (30, 5)], SHAPE)
    return tmp_path / "field"


def test_a_link_that_leads_back_is_followed_once(field):
    """A folder that links to the one above ends, and each image is there once."""
    (field / "cam1" / "back").symlink_to(field, target_is_directory=True)
    assert [relative_name(path, field) for path in list_images(field)] == NAMES


def test_images_of_subfolders_belong_to_a_dataset(field):
    """Names carry their folder; hidden folders, masks and models are left out."""
    for place in (".old", "masks", "Overlays", "model"):
        write_image(field / place / "x.png", np.zeros(SHAPE, np.uint8))
    (field / "model" / "pointlib.json").write_text("{}")
    assert [relative_name(path, field) for path in list_images(field)] == NAMES
    dataset = ImagePointDataset(field)
    assert dataset.names == NAMES
    assert [dataset[i][1][0, 0] for i in range(5)] == pytest.approx([10, 11, 12, 13, 14], abs=1e-5)


def test_two_images_of_one_stem_are_refused_only_in_one_folder(field):
    """cam1/0001.png and cam2/0001.png share no text; cam1/0001.jpg does."""
    write_image(field / "cam1" / "0001.bmp", np.zeros(SHAPE, np.uint8))
    with pytest.raises(InputError, match=r"0001.png would share 0001\.txt. Rename one"):
        list_images(field)


def test_lists_name_images_with_their_folders(field):
    """train.txt and val.txt are read, and tell the tuner and the report which image is whose."""
    (field / "train.txt").write_text("cam1/0001.png\ncam1/0002.png\n")
    (field / "val.txt").write_text("cam2/0001.png\n")
    train, val, _ = load_splits(field)
    assert (train.names, val.names) == (NAMES[:2], NAMES[2:3])
    assert read_lists(field)["val"] == ["cam2/0001.png"]
    assert part_of([field / "cam2" / "0001.png"]) == "val"
    assert part_of([field / "cam1" / "0001.png", field / "cam1" / "0002.png"]) == "train"
    assert part_of([field / "cam2" / "0002.png"]) == ""
    (field / "val.txt").write_text("cam3/0001.png\n")
    with pytest.raises(InputError, match=r"cam3/0001\.png is listed but not in"):
        load_splits(field)


def test_check_looks_into_subfolders(field):
    """All images are counted, nothing is called elsewhere, and findings name the folder."""
    report = check_folder(field)
    assert (len(report.images), report.n_problems) == (5, 0)
    assert not any("elsewhere" in finding.kind for finding in report.findings)
    (field / "cam2" / "0001.txt").write_text("0.5,2\n")
    (field / "cam1" / "lost.txt").write_text("0.5,0.5\n")
    found = {(f.kind, f.file) for f in check_folder(field).findings if f.severity == "problem"}
    assert "cam2/0001.txt" in {file for _, file in found}
    assert ("text file without an image", "cam1/lost.txt") in found


def test_a_text_in_capitals_is_told_by_check_and_training(field):
    """i2.TXT beside i2.png, where others end in .txt: its image would silently be unlabelled."""
    (field / "cam1" / "0002.txt").rename(field / "cam1" / "0002.TXT")
    if (field / "cam1" / "0002.txt").exists():
        pytest.skip("capitals do not count on this disk")
    with pytest.raises(InputError, match=r"0002\.TXT ends in \.TXT, expected \.txt.*Rename it"):
        ImagePointDataset(field)
    found = [f for f in check_folder(field).findings if f.file == "cam1/0002.TXT"]
    assert [f.severity for f in found] == ["problem"]
    assert "ends in .TXT, expected .txt" in found[0].text


def test_check_passes_over_the_picture_that_convert_draws(field, tmp_path):
    """OUT/check.png beside OUT/images is no image elsewhere."""
    assert main(["convert", str(field), str(tmp_path / "new")]) == 0
    assert (tmp_path / "new" / "check.png").is_file()
    kinds = {finding.kind for finding in check_folder(tmp_path / "new").findings}
    assert "images or text files elsewhere" not in kinds


def test_two_nested_folders_are_compared_image_by_image(field, tmp_path):
    """Texts are found by folder and name: one missed point in one image only."""
    for number, name in enumerate(NAMES):
        points = [(10 + number, 20), (30, 5)][: 1 if name == NAMES[2] else 2]
        write_points(text_path(tmp_path / "yours" / name), points, SHAPE)
        write_image(tmp_path / "yours" / name, np.zeros(SHAPE, np.uint8))
    found = compare_folders(field, tmp_path / "yours", radius=3)
    rows = {row["name"]: row["fn"] for row in found["images"]}
    assert rows == {name: int(name == NAMES[2]) for name in NAMES}


def test_the_tuner_and_the_budget_name_folders(field):
    """Items of a folder have distinct names; what is not labelled is named with its folder."""
    (field / "cam2" / "0002.txt").unlink()
    assert [name for name, _ in unlabelled_images(field)] == ["cam2/0002.png"]
    assert [item.name for item in list_items(field)] == NAMES


def test_predictions_of_nested_folders_convert_back(field, tmp_path):
    """points.csv of predict names cam1/0001.png: it becomes a nested dataset again."""
    rows = "".join(f"{name},{10 + i},20,point,0.9\n" for i, name in enumerate(NAMES))
    (tmp_path / "pred").mkdir()
    (tmp_path / "pred" / "points.csv").write_text(f"image,x,y,label,score\n{rows}")
    options = ["--from", "csv", "--images", str(field)]
    assert main(["convert", str(tmp_path / "pred"), str(tmp_path / "back"), *options]) == 0
    for i, name in enumerate(NAMES):
        points, _ = read_points(text_path(tmp_path / "back" / "images" / name), SHAPE)
        np.testing.assert_allclose(points, [(10 + i, 20)], atol=1e-5)
