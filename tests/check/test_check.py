"""What a folder holds and what is wrong with it: every kind of finding, text, picture, status."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from conftest import blobs

from pointlib.check import folder as check_module
from pointlib.check import survey as survey_module
from pointlib.check.folder import check_folder
from pointlib.check.sheet import describe_check, draw_sheet, summary, write_sheet
from pointlib.cli import main
from pointlib.config import TrainConfig
from pointlib.errors import InputError
from pointlib.images import write_image
from pointlib.points import text_path, write_points
from pointlib.regions import Regions, regions_path, write_regions
from pointlib.splits import load_splits
from pointlib.synthetic import draw_cells
from pointlib.train.prepare import describe_data

SHAPE = (48, 64)
WRONG = {  # text of dots_1.txt: kind of finding, line
    "0.5,0.5\n1.2,0.5\n": ("point outside its image", 2),
    "0.5,0.5\nnan,0.5\n": ("unreadable text file", 2),
    "0 0.5 0.5 0.1 0.1\n": ("unreadable text file", 1),
    "0.5,0.5,weed\n0.4,0.4\n": ("unreadable text file", 2),
    "0.5;0.5\n": ("unreadable text file", 1),
}


@pytest.fixture(autouse=True)
def one_sigma(monkeypatch):
    """Measure the ceiling at one sigma instead of four: most tests do not look at it."""
    monkeypatch.setattr(check_module, "SIGMAS", (1.0,))


@pytest.fixture
def folder(make_folder):
    """Return a folder of six labelled images with nothing wrong."""
    return make_folder(6)


def found(folder, kind, **options):
    """Return the findings of a kind, as (severity, file)."""
    findings = check_folder(folder, **options).findings
    return [(f.severity, f.file) for f in findings if f.kind == kind]


@pytest.mark.parametrize("image", [np.full(SHAPE, np.nan, np.float32), np.full(SHAPE, 1e300)])
def test_image_without_a_number_is_a_problem(image, folder):
    """All pixels NaN, or beyond what is computed with, is no image that a training could take."""
    (folder / "dots_3.png").unlink()
    tifffile.imwrite(folder / "dots_3.tif", image)
    assert found(folder, "unreadable image") == [("problem", "dots_3.tif")]


def test_labels_that_are_scores_are_a_problem(folder):
    """A class of its own for nearly every point is told once, and not as so many rare classes."""
    for number in range(6):
        relabel(folder, number, [f"0.{number}{k}" for k in range(5)])
    assert found(folder, "labels that are not classes") == [("problem", "dots_0.txt")]
    assert not found(folder, "rare class")


def test_list_that_nobody_reads_is_a_problem(folder):
    """A list in capital letters would hold nothing back for a test."""
    (folder / "Test.txt").write_text("dots_1.png\n")
    assert found(folder, "list that is not read") == [("problem", "Test.txt")]


def relabel(folder, number, label, *, n=5):
    """Give the points of an image other labels."""
    points = blobs(SHAPE, n=n, seed=number)[1]
    labels = np.resize(np.array(label, dtype=str), n)
    write_points(folder / f"dots_{number}.txt", points, SHAPE, labels=labels)


def snapshot(folder):
    """Return what stands in a folder: names, contents, times."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return [(path.name, path.read_bytes(), path.stat().st_mtime_ns) for path in paths]


def test_a_rare_class_in_images_not_looked_at_has_a_radius(tmp_path):
    """Two classes of unlike sizes and a third in one image of forty: a report, not an error."""
    rng, (y, x) = np.random.default_rng(0), np.mgrid[:96, :128]
    for i in range(40):
        points = rng.uniform([15, 15], [112, 80], (6, 2))
        labels = np.array(["big"] * 3 + ["small"] * 3)
        if i == 1:
            labels[5] = "rare"
        wide = np.where(labels == "big", 9, 2.5)
        near = np.hypot(x - points[:, 0, None, None], y - points[:, 1, None, None])
        image = 60 + 120 * (near < wide[:, None, None]).any(axis=0) + rng.normal(0, 3, x.shape)
        write_image(tmp_path / f"{i:02d}.png", image.clip(0, 255).astype(np.uint8))
        write_points(tmp_path / f"{i:02d}.txt", points, (96, 128), labels=labels)
    report = check_folder(tmp_path)
    assert set(report.radius) == {"big", "rare", "small"}
    assert report.radius["big"] > 2 * report.radius["small"]
    assert len(draw_sheet(report)) > 10_000


def test_good_folder_has_no_finding(folder):
    """Six labelled images of a kind: nothing to say, all points counted, sigma chosen."""
    report = check_folder(folder)
    assert report.findings == []
    assert report.n_problems == 0
    assert report.classes == {"point": 30}
    assert report.radius == round(report.size.diameter["point"] / 2, 1)
    assert all(seen.decoded for seen in report.images)


@pytest.mark.parametrize(
    "lists",
    [
        {},
        {"train": (0, 2, 4)},
        {"val": (1,)},
        {"test": (5, 0)},
        {"train": range(6), "test": (6, 7)},
        {"train": (1, 2), "test": (6, 7)},
    ],
)
def test_check_chooses_the_sigma_of_a_training(make_folder, lists):
    """Sigma is the one that describe_data finds in the part that would be trained on."""
    folder = make_folder(8, labels=("a", "b"))
    for part, numbers in lists.items():
        (folder / f"{part}.txt").write_text("".join(f"dots_{i}.png\n" for i in numbers))
    train = load_splits(folder)[0]
    assert check_folder(folder).sigma == describe_data(train, TrainConfig())[0].sigma


@pytest.mark.parametrize("labels", [("",), ("a", "b")])
def test_check_chooses_the_sigma_of_few_images(make_folder, labels):
    """Fewer than five images are cut in two to train: sigma is that of the part that trains."""
    folder = make_folder(3, labels=labels)
    rng = np.random.default_rng(0)
    for text in folder.glob("*.txt"):
        points, names = rng.uniform(0, [47, 47], (20, 2)), np.resize(labels, 20)
        points[10:, 0] = np.linspace(52, 63, 10)  # nearer to each other where nothing trains
        points[10:, 1] = 20 + 3 * (np.arange(10) % 2)
        write_points(text, points, SHAPE, labels=names)
    sigma = check_folder(folder).sigma
    assert sigma == describe_data(load_splits(folder)[0], TrainConfig())[0].sigma
    (folder / "train.txt").write_text("dots_0.png\ndots_1.png\n")
    assert check_folder(folder).sigma < sigma


def test_sigma_is_told_without_neighbours_and_not_without_training_images(make_folder):
    """One point an image has a sigma, but no neighbour; lists that name nothing there have none."""
    folder = make_folder(6)
    for text in folder.glob("*.txt"):
        text.write_text("0.5,0.5\n")
    report = check_folder(folder)
    assert f"choose sigma {report.sigma:g} px; match radius {report.radius:g}" in describe_check(
        report
    )
    assert "nearest neighbour" not in describe_check(report)
    folder = make_folder(6, folder="listed")
    (folder / "train.txt").write_text("gone.png\n")
    report = check_folder(folder)
    assert "nearest neighbour" in describe_check(report)
    assert "nan px" not in describe_check(report)
    assert draw_sheet(report)[:4] == b"\x89PNG"


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_unreadable_image_is_a_problem(folder, content):
    """An empty, a foreign and a cut-off file are named, and the others still looked at."""
    path = folder / "dots_3.png"
    path.write_bytes(path.read_bytes()[:-200] if content is None else content)
    assert found(folder, "unreadable image") == [("problem", "dots_3.png")]
    assert sum(seen.usable for seen in check_folder(folder).images) == 5


def test_cut_off_image_is_found_where_few_are_decoded(folder, monkeypatch):
    """A PNG without its end is decoded even where there is no time for the others."""
    monkeypatch.setattr(survey_module, "PIXEL_BYTES", 1)
    path = folder / "dots_3.png"
    path.write_bytes(path.read_bytes()[:-200])
    assert found(folder, "unreadable image") == [("problem", "dots_3.png")]
    assert sum(seen.decoded for seen in check_folder(folder).images) == 1
    assert sum(seen.decoded for seen in check_folder(folder, every_pixel=True).images) == 5


def test_survey_keeps_the_order_whatever_the_lots(folder, monkeypatch):
    """Each image is seen once, in order, and told of once, however many a thread takes at once."""
    paths, told = survey_module.files_directly(folder)[0], []
    for lots in (1, 2, 4, 1000):
        monkeypatch.setattr(survey_module, "BATCHES", lots)
        seen = survey_module.survey(paths, on_image=lambda *which: told.append(which))
        assert [one.path for one in seen] == paths
        assert told[-6:] == [(path.name, k, 6) for k, path in enumerate(paths, start=1)]
    assert len(told) == 4 * 6
    assert survey_module.survey([]) == []


@pytest.mark.parametrize(("text", "expected"), WRONG.items())
def test_wrong_text_is_a_problem_with_its_line(folder, text, expected):
    """The reader's own sentence is kept; kind and line are told."""
    (folder / "dots_1.txt").write_text(text)
    finding = check_folder(folder).findings[0]
    assert (finding.kind, finding.line) == expected
    assert finding.severity == "problem"
    assert finding.file == "dots_1.txt"


def test_texts_of_any_bytes_are_survived(folder, monkeypatch):
    """Latin-1, a huge text, a folder and a broken link in a text's place are each a problem."""
    monkeypatch.setattr(survey_module, "TEXT_BYTES", 1000)
    for name in ("dots_2.txt", "dots_3.txt"):
        (folder / name).unlink()
    (folder / "dots_0.txt").write_bytes("0.5,0.5,käfer\n".encode("latin-1"))
    (folder / "dots_1.txt").write_text("0.5,0.5\n" * 1000)
    (folder / "dots_2.txt").mkdir()
    os.symlink("nowhere", folder / "dots_3.txt")
    expected = [("problem", f"dots_{i}.txt") for i in range(4)]
    assert found(folder, "unreadable text file") == expected


def test_links_and_folders_named_as_images_are_survived(folder):
    """A link to nothing is unreadable; a folder is no image."""
    os.symlink("nowhere.png", folder / "link.png")
    (folder / "folder.png").mkdir()
    assert found(folder, "unreadable image") == [("problem", "link.png")]
    assert len(check_folder(folder).images) == 7


def test_forbidden_file_is_a_finding(folder, monkeypatch):
    """What the system refuses to open does not end the check."""

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(survey_module, "open_image", refuse)
    report = check_folder(folder)
    assert [f.kind for f in report.findings[:6]] == ["unreadable image"] * 6
    assert "nothing labelled" in {f.kind for f in report.findings}


def test_unlabelled_and_empty_are_notes(folder):
    """No text file and an empty one are different things, and neither is wrong."""
    (folder / "dots_1.txt").unlink()
    (folder / "dots_2.txt").write_text("")
    assert found(folder, "not labelled yet") == [("note", "dots_1.png")]
    assert found(folder, "labelled, nothing there") == [("note", "dots_2.png")]
    assert check_folder(folder).n_problems == 0


def test_folder_without_a_label_is_a_problem(folder):
    """Images alone cannot be trained on."""
    for path in folder.glob("*.txt"):
        path.unlink()
    assert found(folder, "nothing labelled") == [("problem", "")]


def test_two_images_of_one_stem_are_a_problem(folder):
    """They would share one text file."""
    shutil.copy(folder / "dots_1.png", folder / "dots_1.bmp")
    assert found(folder, "two images with one stem") == [("problem", "dots_1.png")]


def test_text_without_image_is_a_problem_where_it_holds_points(folder):
    """Points without an image are lost work; other texts and the lists are not."""
    (folder / "gone.txt").write_text("0.5,0.5\n")
    (folder / "classes.txt").write_text("seedling\n")
    (folder / "train.txt").write_text("dots_1.png\n")
    expected = [("problem", "gone.txt"), ("note", "classes.txt")]
    assert found(folder, "text file without an image") == expected


def test_doubled_points_are_a_note(folder):
    """Two clicks on one place: of one class doubled, of two classes a doubt."""
    (folder / "dots_0.txt").write_text("0.5,0.5,a\n0.516,0.5,a\n0.9,0.9,b\n")  # a pixel apart
    (folder / "dots_1.txt").write_text("0.5,0.5,a\n0.501,0.5,a\n0.9,0.9,b\n")
    (folder / "dots_2.txt").write_text("0.5,0.5,a\n0.501,0.5,b\n0.9,0.9,b\n")
    assert found(folder, "doubled point") == [("note", "dots_1.txt")]
    assert found(folder, "place with two classes") == [("note", "dots_2.txt")]


def test_points_with_and_without_class_are_a_problem(folder):
    """The smaller side is named."""
    relabel(folder, 2, "weed")
    kind = "points with and without a class"
    assert found(folder, kind) == [("problem", "dots_2.png")]
    for number in (0, 1, 3, 4):
        relabel(folder, number, "weed")
    assert found(folder, kind) == [("problem", "dots_5.png")]


@pytest.mark.parametrize("label", ["seeedling", "Seedling", "sedling"])
def test_misspelt_label_is_a_note(make_folder, label):
    """A label once against hundreds of nearly the same name."""
    folder = make_folder(3, labels=("seedling",))
    relabel(folder, 0, "seedling", n=400)
    relabel(folder, 1, ["seedling"] * 4 + [label])
    assert found(folder, "label like another") == [("note", "dots_1.txt")]


def test_rare_class_is_a_note_and_a_common_one_is_not(make_folder):
    """Fewer than one in a hundred of the most common class."""
    folder = make_folder(3, labels=("weed", "seedling"))
    relabel(folder, 0, "seedling", n=400)
    relabel(folder, 1, ["weed", "thistle"], n=5)
    relabel(folder, 2, "weed")
    assert found(folder, "rare class") == [("note", "dots_1.txt")]


def test_mixed_depths_are_a_problem_of_labelled_images(folder):
    """Training refuses 8 and 16 bits together; an unlabelled image does not hurt."""
    for name in ("dots_1", "other"):
        write_image(folder / f"{name}.png", blobs(SHAPE)[0].astype(np.uint16) * 257)
    expected = [("problem", "dots_1.png"), ("note", "other.png")]
    assert found(folder, "other depth") == expected
    with pytest.raises(InputError, match="mix uint16 and uint8"):
        describe_data(load_splits(folder, val_split=0.01)[0], TrainConfig())


@pytest.mark.parametrize(("n_channels", "severity"), [(3, "note"), (5, "problem")])
def test_other_channels_are_a_problem_where_they_cannot_be_converted(folder, n_channels, severity):
    """Grey and colour turn into each other, five bands do not."""
    (folder / "dots_1.png").unlink()
    image = np.repeat(blobs(SHAPE)[0][:, :, None], n_channels, axis=2)
    write_image(folder / "dots_1.tif", image)
    assert found(folder, "other channels") == [(severity, "dots_1.tif")]


def test_sizes_far_apart_and_blank_images_are_notes(folder):
    """A panorama among thumbnails, a black picture."""
    write_image(folder / "wide.png", np.zeros((40, 600), np.uint8))
    assert found(folder, "sizes far apart")[1] == ("note", "wide.png")
    assert found(folder, "blank image") == [("note", "wide.png")]
    (folder / "wide.txt").write_text("0.5,0.5\n")
    assert found(folder, "blank image") == [("problem", "wide.png")]


def test_crowded_image_is_a_note(folder):
    """Ten times the usual number of points is seldom meant."""
    relabel(folder, 4, "", n=100)
    assert found(folder, "far more points than usual") == [("note", "dots_4.png")]


def test_lists_are_checked_against_the_folder(folder):
    """Names that are not there, that have no text, that stand in two lists, lists that are empty."""
    (folder / "dots_5.txt").unlink()
    (folder / "train.txt").write_text("dots_0.png\ndots_1.png\ndots_5.png\nmissing.png\n")
    (folder / "val.txt").write_text("dots_1.png\n")
    (folder / "test.txt").write_text("\n")
    assert found(folder, "listed, but not there") == [("problem", "train.txt")] * 2
    assert found(folder, "image in two lists") == [("problem", "dots_1.png")]
    assert found(folder, "unreadable list") == [("problem", "test.txt")]
    (folder / "group.txt").write_text("dots_0.png: a\n")
    lists = [("problem", "test.txt"), ("problem", "group.txt")]
    assert found(folder, "unreadable list") == lists


def test_text_of_an_image_called_test_is_no_list(folder):
    """test.txt beside test.png holds its points."""
    for suffix in ("png", "txt"):
        (folder / f"dots_5.{suffix}").rename(folder / f"test.{suffix}")
    report = check_folder(folder)
    assert report.findings == []
    assert report.classes == {"point": 30}


def test_list_without_a_class_is_a_note(make_folder):
    """What no list image shows cannot be learnt or scored."""
    folder = make_folder(6, labels=("a", "b"))
    relabel(folder, 3, "a")
    (folder / "val.txt").write_text("dots_3.png\n")
    assert found(folder, "list without a class") == [("note", "val.txt")]


def test_copy_is_a_problem_where_it_leaks_into_another_list(folder):
    """The same bytes under two names: a note, but in train and test a score too good."""
    shutil.copy(folder / "dots_1.png", folder / "dots_2.png")
    assert found(folder, "copy of another image") == [("note", "dots_2.png")]
    (folder / "train.txt").write_text("dots_1.png\n")
    (folder / "test.txt").write_text("dots_2.png\n")
    assert found(folder, "copy of another image") == [("problem", "dots_2.png")]


def test_files_that_are_not_looked_at_are_notes(folder):
    """Pictures of other kinds, and texts in a subfolder."""
    (folder / "photo.heic").write_bytes(b"x")
    (folder / "labels").mkdir()
    (folder / "labels" / "a.txt").write_text("")
    assert found(folder, "file of another format") == [("note", "photo.heic")]
    assert found(folder, "images or text files elsewhere") == [("note", "labels")]


def test_images_beside_an_images_folder_are_a_note(folder):
    """With an images/ there, only that is looked at."""
    shutil.copytree(folder, folder / "images")
    assert found(folder, "images or text files elsewhere") == [("note", folder.name)]


@pytest.mark.parametrize(("text", "closing"), [(None, "1 problem"), ("0.5,0.5\n", "2 problems")])
def test_folder_without_images_is_a_problem(tmp_path, text, closing):
    """An empty folder, and one of texts alone."""
    if text:
        (tmp_path / "a.txt").write_text(text)
    report = check_folder(tmp_path)
    assert report.findings[0].kind == "no image"
    assert np.isnan(report.sigma)
    assert describe_check(report).endswith(f"{closing}, 0 notes")


def test_problems_come_first_and_twice_the_same(folder):
    """Problems before notes, kinds together, whatever threads do."""
    (folder / "dots_1.txt").unlink()
    (folder / "dots_4.png").write_bytes(b"")
    (folder / "dots_5.txt").write_text("2,2\n")
    reports = [check_folder(folder) for _ in range(2)]
    severities = [f.severity for f in reports[0].findings]
    assert severities == sorted(severities, reverse=True)
    assert describe_check(reports[0]) == describe_check(reports[1])
    assert draw_sheet(reports[0]) == draw_sheet(reports[1])


def test_ceiling_falls_where_points_stand_closer_than_the_distance(tmp_path):
    """Points 6 px apart: all found at a distance of sigma, half at most at twice the gap."""
    y, x = np.mgrid[5:90:6, 5:120:6]
    write_image(tmp_path / "a.png", np.full((96, 128), 7, np.uint8))
    write_points(tmp_path / "a.txt", np.stack([x.ravel(), y.ravel()], 1), (96, 128))
    report = check_folder(tmp_path, radius=12)
    best = {(s, d): best.f1 for s, d, best in report.ceilings}
    assert best[report.sigma, report.sigma] == 1
    assert best[report.sigma, 12.0] < 0.7
    assert report.radius == 12


def test_report_has_a_ceiling_for_each_sigma_and_distance(folder, monkeypatch):
    """Four sigmas about the one chosen, three distances from none to the radius."""
    monkeypatch.setattr(check_module, "SIGMAS", (0.5, 1.0, 1.5, 2.0))
    report = check_folder(folder)
    sigmas = {s for s, _, _ in report.ceilings}
    assert len(report.ceilings) == 12
    assert min(sigmas) == pytest.approx(report.sigma / 2)
    assert {d for _, d, _ in report.ceilings} == {0.0, report.sigma, report.radius}


def test_text_folds_long_kinds(make_folder):
    """Five files of a kind are named, the others counted; the closing line counts kinds."""
    folder = make_folder(9)
    for path in folder.glob("dots_[1-8].txt"):
        path.unlink()
    text = describe_check(check_folder(folder))
    assert "dots_5.png ... and 3 more; all in check.json" in text
    assert text.endswith("0 problems, 1 note")


def test_names_that_no_terminal_prints_are_survived(folder, capsys):
    """Bytes that are no UTF-8 and a dollar sign in a name reach text and picture."""
    os.rename(folder / "dots_1.png", os.fsencode(folder) + b"/caf\xe9 $x_1$.png")
    report = check_folder(folder)
    print(describe_check(report))
    assert r"caf\udce9 $x_1$.png" in capsys.readouterr().out
    assert draw_sheet(report)[:4] == b"\x89PNG"


def test_line_ends_in_names_break_no_line(folder):
    """A name is one line of the text, whatever it holds."""
    os.rename(folder / "dots_1.png", folder / "a\nb.png")
    assert "    a\\nb.png" in describe_check(check_folder(folder)).splitlines()


def test_sheet_keeps_other_files_as_copies(folder, tmp_path):
    """The same report again leaves no copy; another one keeps the first."""
    output = tmp_path / "out"
    for _ in range(2):
        write_sheet(check_folder(folder), output)
    assert sorted(path.name for path in output.iterdir()) == ["check.json", "check.png"]
    (folder / "dots_1.txt").unlink()
    write_sheet(check_folder(folder), output)
    assert (output / "check.json.bak").exists()
    data = json.loads((output / "check.json").read_text(), parse_constant=pytest.fail)
    assert data["findings"][0]["kind"] == "not labelled yet"
    assert data["n_unlabelled"] == 1


@pytest.mark.parametrize(
    ("content", "status"), [("0.5,0.5\n", 0), ("", 0), ("0.5 0.5\n", 1), (None, 0)]
)
def test_status_tells_problems_from_notes(folder, tmp_path, monkeypatch, content, status):
    """0: nothing wrong, 1: a problem; the dataset is as it was, the output beside it."""
    monkeypatch.chdir(tmp_path)
    text = folder / "dots_1.txt"
    text.unlink() if content is None else text.write_text(content)
    before = snapshot(folder)
    assert main(["check", str(folder)]) == status
    assert snapshot(folder) == before
    assert (tmp_path / "check" / "check.png").is_file()


def test_status_two_where_there_is_nothing_to_check(folder, tmp_path, monkeypatch, capsys):
    """No folder, a file, no image, an output inside the dataset: the command could not run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert main(["check", str(tmp_path / "nowhere")]) == 2
    assert main(["check", str(folder / "dots_1.png")]) == 2
    assert main(["check", str(tmp_path / "empty")]) == 2
    assert main(["check", str(folder), "--output", str(folder / "out")]) == 2
    assert "is inside" in capsys.readouterr().err


def test_check_inside_the_dataset_writes_nothing(folder, monkeypatch, capsys):
    """`pointlib check .` reports, and says why it leaves no files."""
    monkeypatch.chdir(folder)
    before = snapshot(folder)
    assert main(["check", "."]) == 0
    assert snapshot(folder) == before
    assert "nothing written" in capsys.readouterr().out


def test_check_does_not_wait_for_torch(folder, tmp_path):
    """Seconds and half a gigabyte are not spent on what a check does not need."""
    code = (
        "import sys; from pointlib.cli import main\n"
        "main(['check', *sys.argv[1:]]); print({'torch'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, folder, "--output", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("set()\n")
    assert (tmp_path / "out" / "check.png").is_file()


def test_lists_without_a_class_are_told(make_folder):
    """A list that holds no point of a class of ten or more is a note; of a complete one nothing is said."""
    folder = make_folder(6, labels=("bee", "drone"))
    path = folder / "dots_5.txt"
    path.write_text(path.read_text().replace("drone", "bee"))
    (folder / "val.txt").write_text("dots_5.png\n")
    (folder / "train.txt").write_text("".join(f"dots_{i}.png\n" for i in range(5)))
    told = [f for f in check_folder(folder).findings if f.kind == "list without a class"]
    assert [(f.severity, f.file, f.text) for f in told] == [
        ("note", "val.txt", "no point of class drone")
    ]


def test_regions_are_counted_and_shown(tmp_path):
    """The report says how much is labelled, and that points outside are not used."""
    for i in range(3):
        scene, path = draw_cells((120, 160), n=40, seed=i), tmp_path / "set" / f"{i}.png"
        write_image(path, scene.image)
        write_points(text_path(path), scene.points, (120, 160))
    regions = Regions.box(-0.5, -0.5, 79.5, 119.5)
    write_regions(regions_path(tmp_path / "set" / "0.png"), regions)
    report = check_folder(tmp_path / "set")
    outside = int((~regions.contains(draw_cells((120, 160), n=40, seed=0).points)).sum())
    facts = summary(report)
    assert (facts["n_with_regions"], facts["n_outside"]) == (1, outside)
    assert facts["labelled_share"] == pytest.approx(5 / 6)
    assert facts["n_points"] == 120 - outside
    assert f"83.3% of the pixels of the labelled images, by the regions of 1; {outside} points" in (
        describe_check(report)
    )
    kinds = {finding.kind for finding in report.findings}
    assert "points outside the regions" in kinds
    assert main(["check", str(tmp_path / "set"), "--output", str(tmp_path / "sheet")]) == 0
    assert (tmp_path / "sheet" / "check.png").stat().st_size > 10_000


def test_regions_that_cannot_be_read_are_a_problem(tmp_path):
    """The finding names the file of the regions."""
    scene = draw_cells((40, 60), n=5)
    write_image(tmp_path / "a.png", scene.image)
    write_points(tmp_path / "a.txt", scene.points, (40, 60))
    (tmp_path / "a.regions.json").write_text("{")
    (finding,) = (f for f in check_folder(tmp_path).findings if f.severity == "problem" and f.file)
    assert (finding.kind, finding.file) == ("unreadable regions", "a.regions.json")
