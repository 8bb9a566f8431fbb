"""Datasets: what is used, how it is split, what a crop shows."""

import pickle

import numpy as np
import pytest

from pointlib.dataset import ImagePointDataset, MemoryDataset, PartOf
from pointlib.errors import InputError
from pointlib.images import read_image, write_image
from pointlib.model.point_model import ModelInfo
from pointlib.splits import load_splits, load_three, place_cut, split_by_crops, split_names
from pointlib.thresholds import find_peaks
from pointlib.train.crops import Shrunk, TrainingCrops


def test_dataset_tells_unlabelled_from_empty(make_folder):
    """No text file: left out and counted. An empty one: kept, with no points."""
    folder = make_folder(4)
    (folder / "dots_1.txt").unlink()
    (folder / "dots_2.txt").write_text("")
    dataset = ImagePointDataset(folder)
    assert dataset.names == ["dots_0.png", "dots_2.png", "dots_3.png"]
    assert dataset.n_unlabelled == 1
    image, points, labels = dataset[1]
    assert (image.shape, points.shape, labels.shape) == ((48, 64, 1), (0, 2), (0,))


def test_dataset_reads_points_in_pixels(make_folder):
    """What was written as points comes back as points; unnamed ones are of class `point`."""
    image, points, labels = ImagePointDataset(make_folder(1))[0]
    for x, y in points.round().astype(int):
        assert image[y, x, 0] > 120
    assert set(labels) == {"point"}


def test_dataset_takes_the_classes_it_is_told(make_folder):
    """Classes are the sorted labels; one configured class names unnamed points; others are checked."""
    labelled = make_folder(2, labels=("weed", "crop"), folder="labelled")
    assert ImagePointDataset(labelled).classes == ("crop", "weed")
    assert ImagePointDataset(labelled, classes=("weed", "crop", "soil")).classes[0] == "weed"
    assert set(ImagePointDataset(make_folder(1), classes=("cell",))[0][2]) == {"cell"}
    with pytest.raises(InputError, match="points labelled 'weed'.*Did you mean 'weeds'"):
        ImagePointDataset(labelled, classes=("crop", "weeds"))


def test_dataset_looks_into_images(make_folder):
    """A folder whose pictures lie in images/ is the same dataset."""
    folder = make_folder(2, folder="images")
    assert len(ImagePointDataset(folder.parent)) == len(ImagePointDataset(folder)) == 2


def test_dataset_refuses_what_it_cannot_use(make_folder, tmp_path):
    """A missing folder, no labels at all and a wrong name in a list are sentences."""
    folder = make_folder(2)
    with pytest.raises(InputError, match="dots_9.png is listed but not in .* Did you mean"):
        ImagePointDataset(folder, names=["dots_9.png"])
    (folder / "dots_0.txt").unlink()
    with pytest.raises(InputError, match="dots_0.png is listed but has no text file dots_0.txt"):
        ImagePointDataset(folder, names=["dots_0.png"])
    (folder / "dots_1.txt").unlink()
    with pytest.raises(InputError, match="none of the 2 images .* is labelled"):
        ImagePointDataset(folder)
    with pytest.raises(InputError, match="does not exist"):
        ImagePointDataset(tmp_path / "nowhere")


def test_split_names_keeps_groups_together():
    """No group is on both sides; each side gets something; the same seed splits the same."""
    names = [f"{i}.png" for i in range(20)]
    groups = [f"field {i % 4}" for i in range(20)]
    train, val = split_names(names, fraction=0.25, groups=groups, seed=1)
    assert sorted(train + val) == sorted(names)
    assert len(val) == 5
    assert {groups[names.index(n)] for n in train}.isdisjoint(groups[names.index(n)] for n in val)
    assert (train, val) == split_names(names, fraction=0.25, groups=groups, seed=1)
    assert val != split_names(names, fraction=0.25, seed=2)[1]


def test_split_names_refuses_what_cannot_be_split():
    """One image, a fraction of 1 and too few groups are sentences."""
    with pytest.raises(InputError, match="cannot be split"):
        split_names(["a.png"])
    with pytest.raises(InputError, match="fraction is 1; expected a number between 0 and 1"):
        split_names(["a", "b"], fraction=1)
    with pytest.raises(InputError, match="1 groups for 2 names"):
        split_names(["a", "b"], groups=["g"])


def test_split_by_crops_loses_no_point():
    """Each point is in one half, at the pixel it was at."""
    rng = np.random.default_rng(0)
    for shape in ((30, 50), (50, 30)):
        points = rng.uniform([-0.5, -0.5], [shape[1] - 0.5, shape[0] - 0.5], (200, 2))
        image = np.arange(shape[0] * shape[1]).reshape(shape).astype(float)
        labels = np.full(200, "point")
        parts = split_by_crops(MemoryDataset([(image, points, labels)]))
        values = []
        for part in parts:
            pixels, inside, _ = part[0]
            x, y = np.clip(
                np.floor(inside + 0.5).astype(int), 0, np.subtract(pixels.shape[1::-1], 1)
            ).T
            values += pixels[y, x, 0].tolist()
        x, y = np.floor(points + 0.5).astype(int).T
        assert sorted(values) == sorted(image[y, x])
        assert parts[0][0][0].size + parts[1][0][0].size == image.size


def test_place_cut_leaves_a_fifth_of_the_longer_side():
    """Wide and square images are cut along x, tall ones along y, at four fifths unless told."""
    assert place_cut((30, 50)) == place_cut((50, 50)) == (1, 40)
    assert place_cut((50, 30)) == (0, 40)
    image, points = np.zeros((30, 50), np.uint8), np.array([[39.4, 9.0], [39.5, 9.0]])
    data = MemoryDataset([(image, points, np.full(2, "point"))])
    train, val = split_by_crops(data)
    assert (train[0][1].tolist(), val[0][1].tolist()) == ([[39.4, 9.0]], [[-0.5, 9.0]])
    assert split_by_crops(data, fraction=0.4)[1][0][0].shape == (30, 20, 1)


def test_load_splits_follows_the_lists_and_says_how(make_folder):
    """train.txt and val.txt decide; without them a random split; below five images, crops."""
    folder = make_folder(6)
    _, _, how = load_splits(folder)
    assert "split at random" in how
    (folder / "train.txt").write_text("dots_3.png\r\ndots_1.png\n")
    (folder / "val.txt").write_text("\ufeffdots_0.png\n")
    train, val, how = load_splits(folder)
    assert (train.names, val.names) == (["dots_3.png", "dots_1.png"], ["dots_0.png"])
    (folder / "val.txt").write_text("dots_1.png\n")
    with pytest.raises(InputError, match="dots_1.png is in train.txt and"):
        load_splits(folder)
    train, val, how = load_splits(make_folder(3, folder="few"))
    assert "only 3 labelled images" in how
    assert (len(train), len(val)) == (3, 3)


def test_load_splits_leaves_the_test_images_alone(make_folder):
    """A test.txt without the other lists keeps its images out of both parts."""
    folder = make_folder(6)
    (folder / "test.txt").write_text("dots_2.png\n")
    train, val, _ = load_splits(folder)
    assert "dots_2.png" not in train.names + val.names


def test_load_three_holds_back_images_that_no_other_part_has(make_folder):
    """test.txt judges; without it a fifth of the training images, which then no longer train."""
    folder = make_folder(13)
    train, val, test, how = load_three(folder)
    assert how.endswith("2 of those for training are held back for testing")
    assert sorted(train.names + val.names + test.names) == ImagePointDataset(folder).names
    assert load_three(folder)[2].names == test.names
    (folder / "test.txt").write_text("dots_2.png\n")
    train, val, test, how = load_three(folder)
    assert how.endswith("1 for testing, as test.txt says")
    assert (test.names, "dots_2.png" in train.names + val.names) == (["dots_2.png"], False)


def test_load_three_says_where_there_are_too_few_to_hold_any_back(make_folder):
    """With six images, or three cut in two, the validation images judge as well, and it is said."""
    for n in (6, 3):
        _, val, test, how = load_three(make_folder(n, folder=f"of_{n}"))
        assert test is val
        assert "validation images also test" in how


def listed(folder, **lists):
    """Write lists of numbered images, as train=(1, 2); return the folder."""
    for part, numbers in lists.items():
        (folder / f"{part}.txt").write_text("".join(f"dots_{i}.png\n" for i in numbers))
    return folder


def test_load_splits_holds_back_a_part_of_train_where_only_test_is_listed(make_folder):
    """train.txt and test.txt: validation comes from train.txt, by the seed; test is untouched."""
    folder = listed(make_folder(14), train=range(10), test=range(10, 14))
    train, val, how = load_splits(folder, val_split=0.3)
    assert (
        how
        == "7 images for training and 3 for validation, held back from train.txt at random (seed 0)"
    )
    assert sorted(train.names + val.names) == [f"dots_{i}.png" for i in range(10)]
    assert load_splits(folder, val_split=0.3)[1].names == val.names
    assert any(load_splits(folder, val_split=0.3, seed=s)[1].names != val.names for s in (1, 2, 3))
    whole = listed(make_folder(6, folder="whole"), train=range(6))
    assert load_splits(whole)[2].startswith("5 images for training and 1 for validation, held back")


def test_load_splits_cuts_images_of_a_short_train_list_in_two(make_folder):
    """Three images in train.txt, the others in test.txt: each of the three is cut in two."""
    folder = listed(make_folder(9), train=(1, 4, 5), test=(0, 2, 3, 6, 7, 8))
    train, val, how = load_splits(folder)
    assert how == "only 3 images in train.txt: each is cut in two, for training and validation"
    assert train.names == val.names == ["dots_1.png", "dots_4.png", "dots_5.png"]


@pytest.mark.parametrize(
    ("lists", "n_train", "n_val", "said"),
    [
        ({"train": (0, 1, 2)}, 3, 7, "as train.txt says"),
        ({"val": (0, 1, 2)}, 7, 3, "as val.txt says"),
        ({"val": (0, 1), "test": (2, 3)}, 6, 2, "as val.txt says"),
        ({"train": (0, 1), "val": (2, 3)}, 2, 2, "say; 6 images that no list names are left out"),
        ({"train": range(6), "test": (6, 7)}, 5, 1, "; 2 images that no list names are left out"),
        ({"train": range(4), "val": (4,), "test": (5,)}, 4, 1, "; 4 images that no list names"),
    ],
)
def test_load_splits_says_what_lists_of_some_images_leave_out(
    make_folder, lists, n_train, n_val, said
):
    """Lists that name only some images: what the others are for is said, if only by silence."""
    train, val, how = load_splits(listed(make_folder(10), **lists))
    assert (len(train), len(val)) == (n_train, n_val)
    assert said in how


def test_load_splits_says_when_no_image_is_left_to_train(make_folder):
    """A val.txt, or val.txt and test.txt, that name all images."""
    folder = listed(make_folder(5), val=(0, 1, 2), test=(3, 4))
    with pytest.raises(
        InputError, match=r"with val.txt and test.txt of .* no image is left to train"
    ):
        load_splits(folder)


def test_groups_stay_together(make_folder):
    """No group of group.txt is on both sides, whatever the seed, held back or for testing too."""
    folder = make_folder(20)
    place = {f"dots_{i}.png": f"field {i % 5}" for i in range(20)}
    (folder / "group.txt").write_text(
        "".join(f"{name}, {group}\n" for name, group in place.items())
    )
    for seed in range(5):
        train, val, test, how = load_three(folder, seed=seed)
        sides = [{place[name] for name in part.names} for part in (train, val, test)]
        assert sum(map(len, sides)) == 5
        assert "groups of group.txt kept together" in how
    listed(folder, train=range(15), test=range(15, 20))
    train, val, how = load_splits(folder)
    assert {place[n] for n in train.names}.isdisjoint(place[n] for n in val.names)
    assert "held back from train.txt at random (seed 0), groups of group.txt kept together" in how


def test_groups_that_cannot_be_read_are_sentences(make_folder):
    """A line without a group, an image in two groups, one group only; unnamed images are told."""
    folder = make_folder(6)
    groups = folder / "group.txt"
    groups.write_text("dots_0.png,a\ndots_1.png\n")
    with pytest.raises(
        InputError, match="group.txt, line 2: 'dots_1.png' is not an image, a comma"
    ):
        load_splits(folder)
    groups.write_text("dots_0.png,a\ndots_0.png,b\n")
    with pytest.raises(InputError, match="has dots_0.png in two groups"):
        load_splits(folder)
    groups.write_text("dots_0.png,a\ndots_1.png,a\n")
    assert "(4 images that it does not name each on their own)" in load_splits(folder)[2]
    groups.write_text("".join(f"dots_{i}.png,a\n" for i in range(6)))
    with pytest.raises(InputError, match="cannot be split"):
        load_splits(folder)


@pytest.fixture
def crops(make_folder):
    """Return training crops of 40 px of a folder of blobs."""
    return TrainingCrops(
        ImagePointDataset(make_folder(4)), ModelInfo(n_channels=1, sigma=2.0), size=40
    )


def test_crops_are_a_function_of_seed_epoch_and_index(crops):
    """The same place in the same epoch gives the same crop; another epoch another one."""
    a, b = crops[5], crops[5]
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    crops.epoch = 1
    assert not np.array_equal(crops[5][0], a[0])


def test_crops_change_more_where_told_strong(make_folder):
    """With "strong" more crops are turned by odd angles, which leaves corners, and light varies more."""
    data, info = ImagePointDataset(make_folder(8)), ModelInfo(n_channels=1, sigma=2.0)
    found = []
    for how in (False, True, "strong"):
        crops = TrainingCrops(data, info, size=40, augment=how)
        parts = [crops[i] for i in range(len(crops))]
        # the background is grey 30 of 255, so what differs is light
        levels = [float(image[valid.expand_as(image)].median()) for image, _, valid in parts]
        found.append((np.mean([not valid.all() for *_, valid in parts]), np.std(levels)))
    assert found[0][0] == 0 < found[1][0] < found[2][0]
    assert found[0][1] < found[1][1] < found[2][1]


def test_crops_move_image_and_target_together(crops):
    """Where the target of an augmented crop peaks, the picture is bright."""
    bright = []
    for i in range(len(crops)):
        image, target, valid = crops[i]
        for x, y in find_peaks(target[0].numpy(), threshold=0.8)[0].round().astype(int):
            if valid[0, y, x]:
                bright.append(float(image[0, y, x]))
    assert len(bright) > 10
    assert np.min(bright) > 0.35


def test_crops_keep_some_without_points():
    """Most crops hold a point, some hold none, so that the background is learnt too."""
    image, points = np.zeros((400, 500), np.uint8), np.array([[20.0, 20.0], [25.0, 380.0]])
    data = MemoryDataset([(image, points, np.full(2, "point"))])
    crops = TrainingCrops(data, ModelInfo(n_channels=1), size=64)
    with_points = [bool((crops[i][1] > 0.9).any()) for i in range(len(crops))]
    assert 0.5 < np.mean(with_points) < 0.95


def test_crops_of_small_images_are_masked():
    """A crop larger than the image says where there was no image."""
    image = np.full((20, 30), 200, np.uint8)
    data = MemoryDataset([(image, np.zeros((0, 2)), np.zeros(0, str))])
    crops = TrainingCrops(data, ModelInfo(n_channels=1), size=64, augment=False)
    pixels, target, valid = crops[0]
    assert valid.sum() == 600
    assert (pixels[0][~valid[0]] == 0).all()
    assert not target.any()


def test_crops_take_your_own_dataset():
    """A plain list of (image, points, labels) is a dataset."""
    image = np.zeros((50, 70, 5), np.uint16)
    crops = TrainingCrops(
        [(image, np.array([[9.0, 9.0]]), np.array(["point"]))], ModelInfo(n_channels=5)
    )
    assert crops[0][0].shape == (5, 128, 128)


def test_crops_never_multiply_points():
    """Augmentation by mirrored copies would turn 6 points into more: a crop holds at most 6."""
    rng = np.random.default_rng(4)
    points = rng.uniform([8, 8], [52, 40], (6, 2))
    data = MemoryDataset([(np.zeros((48, 60), np.uint8), points, np.full(6, "point"))])
    crops = TrainingCrops(data, ModelInfo(n_channels=1, sigma=1.5), size=128)
    for epoch in range(3):
        crops.epoch = epoch
        for i in range(len(crops)):
            assert len(find_peaks(crops[i][1][0].numpy(), threshold=0.6, min_distance=1)[0]) <= 6


def test_shrunk_moves_image_and_points_together(make_folder):
    """At half the size each point lies on its blob, by the half-pixel rule."""
    dataset = ImagePointDataset(make_folder(1))
    image, points, _ = Shrunk(dataset, 0.5)[0]
    assert image.shape == (24, 32, 1)
    assert np.allclose(points, (dataset[0][1] + 0.5) / 2 - 0.5)
    for x, y in points.round().astype(int):
        assert image[y, x, 0] > 110


def test_dataset_of_empty_images_keeps_the_classes_it_is_told(make_folder):
    """A part with no point at all has the classes of the whole."""
    folder = make_folder(2)
    for i in range(2):
        (folder / f"dots_{i}.txt").write_text("")
    assert ImagePointDataset(folder, classes=("a", "b")).classes == ("a", "b")


def test_load_splits_never_trains_on_test_images(make_folder):
    """Few images or one list alone: what test.txt names is in neither part."""
    few = make_folder(4, folder="few")
    (few / "test.txt").write_text("dots_0.png\n")
    (few / "dots_3.txt").unlink()
    train, val, how = load_splits(few)
    assert train.names == val.names == ["dots_1.png", "dots_2.png"]
    assert how.endswith("1 images without a text file are left out")
    folder = make_folder(6, folder="many")
    (folder / "test.txt").write_text("dots_0.png\n")
    (folder / "val.txt").write_text("dots_1.png\n")
    train, val, how = load_splits(folder)
    assert (len(train), val.names) == (4, ["dots_1.png"])
    assert how == "4 images for training and 1 for validation, as val.txt says"
    (folder / "train.txt").write_text("dots_0.png\n")
    with pytest.raises(InputError, match="dots_0.png is in train.txt and test.txt"):
        load_splits(folder)
    (folder / "train.txt").write_text("\n")
    with pytest.raises(InputError, match="train.txt is empty"):
        load_splits(folder)


def test_one_deep_image_among_many_is_told(make_folder):
    """An image of another depth is found by its header, though no sample would have met it."""
    folder = make_folder(70)
    image = read_image(folder / "dots_41.png")
    write_image(folder / "dots_41.png", image.astype(np.uint16) * 256)
    with pytest.raises(InputError, match="mix uint16 and uint8 pixels, as in .*dots_41.png and"):
        ImagePointDataset(folder)


def test_lists_of_other_tools_are_none(make_folder):
    """A list called in capitals is refused only where it names images of the folder."""
    folder = make_folder(5)
    (folder / "Train.txt").write_text("/home/me/images/a.jpg\n")
    load_splits(folder)
    (folder / "Train.txt").write_text("dots_1.png\n")
    with pytest.raises(InputError, match="Train.txt is not read"):
        load_splits(folder)


def test_dataset_travels_to_other_processes(make_folder):
    """A dataset can be pickled, for loaders that start fresh processes."""
    dataset = ImagePointDataset(make_folder(2))
    again = pickle.loads(pickle.dumps(dataset))  # noqa: S301
    assert np.array_equal(again[1][0], dataset[1][0])


def test_part_of_keeps_names_and_classes():
    """Some items of a dataset are a dataset, with the classes of the whole."""
    items = [(np.zeros((4, 6), np.uint8), [[k, 1.0]], [label]) for k, label in enumerate("abc")]
    part = PartOf(MemoryDataset(items, names=["x", "y", "z"]), np.array([2, 0]))
    assert (len(part), part.names, part.classes) == (2, ["z", "x"], ("a", "b", "c"))
    assert [str(labels[0]) for _, _, labels in part] == ["c", "a"]
