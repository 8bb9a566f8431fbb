"""Bad input: each is a sentence and exit status 2, and nothing that was there is lost.

The table is bad_inputs.py. Here too: what a table cannot hold, such as a full disk, a folder that
may not be written, and a kill in the middle of a write.
"""

import errno
import json
import os
import pydoc
import re
import shlex
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from bad_inputs import CASES, INFO, edit, labelled
from conftest import blobs
from IPython.core.interactiveshell import InteractiveShell

import pointlib.files
from pointlib.cli import main
from pointlib.config import load_config
from pointlib.dataset import ImagePointDataset, MemoryDataset
from pointlib.errors import InputError
from pointlib.evaluation.score import evaluate
from pointlib.heatmaps import draw_classes, gaussian_max
from pointlib.images import read_image, to_channels, to_display, write_image
from pointlib.matching import match_points
from pointlib.model.folder import load_model
from pointlib.points import boxes_to_points, check_points, masks_to_points, to_pixels, write_points
from pointlib.predict.folder import predict_folder
from pointlib.predict.points import predict_points
from pointlib.splits import split_names
from pointlib.thresholds import find_peaks
from pointlib.train.loop import fit, train_folder

SHAPE = (32, 48)
NOBODY = 65534
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
SETTINGS = {
    "train": {
        "dataset_path": "dots",
        "num_epochs": 1,
        "batch_size": 16,
        "crop_size": 32,
        "output": "new-model",
    },
    "infer": {"image_path": "dots"},
}


@pytest.fixture(scope="session")
def fine(tmp_path_factory):
    """Return the folder that the table describes, with nothing wrong in it."""
    folder = tmp_path_factory.mktemp("fine")
    (folder / "dots").mkdir()
    rows = ["image,x,y\n"]
    for i in range(6):
        image, points = blobs(SHAPE, seed=i)
        write_image(folder / f"dots/dots_{i}.png", image)
        write_points(folder / f"dots/dots_{i}.txt", points, SHAPE)
        rows += [f"dots_{i}.png,{x:.2f},{y:.2f}\n" for x, y in points]
    (folder / "dots/points.csv").write_text("".join(rows))
    (folder / "config.json").write_text(json.dumps(SETTINGS, indent=1))
    settings = load_config(folder / "config.json", overrides=["train.output=model"]).train
    train_folder(settings, log=lambda _: None)
    return folder


@pytest.fixture
def here(fine, tmp_path, monkeypatch):
    """Return a copy of the folder, and work in it."""
    folder = tmp_path / "work"
    shutil.copytree(fine, folder)
    monkeypatch.chdir(folder)
    return folder


def snapshot(folder):
    """Return {path: bytes} of all files in a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def lost(folder, before):
    """Return the files whose bytes are neither where they were nor in a copy beside them."""
    now = snapshot(folder)
    copies = {content for path, content in now.items() if ".bak" in str(path)}
    return [path for path, content in before.items() if now.get(path) != content not in copies]


def sentence(capsys):
    """Return the only line on stderr, which is pointlib's."""
    *others, line = capsys.readouterr().err.splitlines()
    assert line.startswith("pointlib: ")
    assert all(re.match(r"dots_\d\S* left out: ", other) for other in others)
    return line


def test_table_has_distinct_names():
    """The table is as long as it looks."""
    assert len({case.name for case in CASES}) == len(CASES) > 350


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_one_sentence(case, here, capsys):
    """A sentence says what came and what is needed; exit status 2; all files are as they were."""
    case.spoil()
    before = snapshot(here)
    assert main(shlex.split(case.command)) == 2
    line = sentence(capsys)
    assert re.search(case.came, line), line
    assert re.search(case.needed, line), line
    assert len(line) < 600
    assert not lost(here, before)


@pytest.mark.parametrize(
    "command", ["train", "predict", "evaluate model dots", "convert dots/points.csv new"]
)
def test_folder_of_the_table_is_fine(command, here, capsys):
    """What the cases spoil works where nothing is spoilt; the tests test the spoiling."""
    before = snapshot(here)
    assert main(shlex.split(command)) == 0
    assert not capsys.readouterr().err
    assert not lost(here, before)


WRITES = [
    ("train", "model", "new-model"),
    ("predict", "points.csv", "predictions"),
    ("evaluate model dots", "metrics.json", "evaluation"),
    ("convert dots/points.csv new", "dots", "new"),
]


@pytest.mark.parametrize(("command", "word", "output"), WRITES)
def test_full_disk_is_a_sentence(command, word, output, here, monkeypatch, capsys):
    """On a full disk the sentence names the file and says to free space; older files stay."""
    assert main(shlex.split(command)) == 0
    shutil.move(output, "older") if output == "new" else None
    before = snapshot(here)
    monkeypatch.setattr(pointlib.files.os, "fsync", full_disk)
    assert (
        main([*shlex.split(command), *(["--set", "train.seed=1"] if command == "train" else [])])
        == 2
    )
    line = sentence(capsys)
    assert re.search(f"{word}.*No space left on device. Free some space", line)
    assert not lost(here, before)
    monkeypatch.undo()
    monkeypatch.chdir(here)
    assert main(shlex.split(command)) == 0


def full_disk(*_args):
    """Do what a write does on a full disk."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("limit", "command"), [(200_000, "train"), (1_000_000, "train"), (200, "predict")]
)
def test_file_that_may_not_grow_is_a_sentence(limit, command, here):
    """A limit that cuts a file short is a sentence, and what was there is as it was."""
    before = snapshot(here)

    def limited():
        import resource  # where there is fork

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        return main([command])

    assert in_child(limited) == 512
    assert re.search(
        "pointlib: .*(Free some space|larger files)", (here.parent / "stderr").read_text()
    )
    assert not lost(here, before)
    assert main([command]) == 0


def in_child(call, *, deadly=None):
    """Return how a copy of this process ends that makes a call: a signal, or 256 times its status.

    `deadly` is (a function's name, n): its call number n, from 0, is a kill.
    """
    sys.stdout.flush()
    if child := os.fork():
        return os.waitpid(child, 0)[1]
    torch.set_num_threads(1)  # those of the parent are not here
    with open("../stdout", "w") as sys.stdout, open("../stderr", "w") as sys.stderr:
        status = 70
        try:
            with pytest.MonkeyPatch.context() as patch:
                if deadly:
                    patch.setattr(deadly[0], kills_at(*deadly))
                status = call()
        finally:
            sys.stderr.flush()
            os._exit(status)


def kills_at(name, number):
    """Return the function of that name, whose call of that number kills the process."""
    place, _, attribute = name.rpartition(".")
    real, calls = getattr(pydoc.locate(place), attribute), []

    def deadly(*args, **kwargs):
        calls.append(args)
        if len(calls) > number:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)

    return deadly


AGAIN = "train --set train.output=model --set train.seed=3"  # another training onto model/
KILLS = [
    (AGAIN, "os.fsync", 0),  # in the checkpoint
    (AGAIN, "os.replace", 0),
    (AGAIN, "os.chmod", 0),  # before the weights
    (AGAIN, "os.replace", 1),  # while the model is replaced
    (AGAIN, "os.replace", 2),
    (AGAIN, "shutil.rmtree", 0),
    ("predict", "os.fsync", 0),
    ("predict", "os.replace", 1),
    ("convert dots/points.csv new", "shutil.copyfile", 3),
    ("convert dots/points.csv new", "pointlib.formats.conversion.move", 0),
]


@needs_fork
@pytest.mark.parametrize(("command", "function", "number"), KILLS)
def test_killed_in_the_middle_of_a_write(command, function, number, here):
    """Killed before a call that writes: what was there is whole, and the next run works."""
    before = snapshot(here)
    assert in_child(lambda: main(shlex.split(command)), deadly=(function, number)) == signal.SIGKILL
    load_model("model" if Path("model").exists() else "model.bak")
    assert not lost(here, before)
    assert main(shlex.split(command)) == 0
    load_model("model")
    assert not lost(here, before)


@needs_fork
@pytest.mark.parametrize("number", range(4))
def test_killed_while_older_predictions_are_replaced(number, here):
    """What stood where predictions go is there, or beside it as a copy, whenever the kill comes."""
    for name in ("points.csv", "counts.csv", "text/dots_0.txt"):
        path = Path("predictions", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    before = snapshot(here)
    status = in_child(lambda: main(["predict", "--text"]), deadly=("os.replace", number))
    assert status == signal.SIGKILL
    assert not lost(here, before)


SHUT = [
    ("predict", ".", 0o555, r"work cannot be written to; name another output"),
    ("train", ".", 0o555, r"work cannot be written to; name another output"),
    ("evaluate model dots", ".", 0o555, "cannot be written to; name another output"),
    ("convert dots/points.csv new", ".", 0o555, "cannot be written to; name another target"),
    ("train", "config.json", 0, "config.json: Permission denied. Change the permissions"),
    ("train", "dots", 0, r"dots\S*: Permission denied. Change the permissions"),
    ("train", "dots/dots_0.png", 0, "dots_0.png cannot be read .*Permission denied"),
    ("train", "dots/dots_0.txt", 0, "dots_0.txt: Permission denied. Change the permissions"),
    (
        "predict",
        "model/model.safetensors",
        0,
        "model.safetensors: Permission denied. Change the permissions",
    ),
    (
        "predict",
        "model/pointlib.json",
        0,
        "pointlib.json: Permission denied. Change the permissions",
    ),
]


@needs_fork
@pytest.mark.parametrize(("command", "path", "mode", "words"), SHUT)
def test_no_permission_is_a_sentence(command, path, mode, words, open_folder):
    """A file that may not be read and a folder that may not be written are sentences."""
    before = snapshot(open_folder)
    main(["version"])

    def without_rights():
        if os.geteuid() == 0:  # whom no permission binds
            os.setresuid(NOBODY, NOBODY, NOBODY)
        return main(shlex.split(command))

    usual = Path(path).stat().st_mode
    Path(path).chmod(mode)
    try:
        status = in_child(without_rights)
    finally:
        Path(path).chmod(usual)
    assert status == 512
    assert re.fullmatch(f"pointlib: .*{words}.*\n", (open_folder.parent / "stderr").read_text())
    assert not lost(open_folder, before)


@needs_fork
def test_no_permission_for_a_subfolder_is_a_sentence(open_folder):
    """Images in a subfolder that may not be looked into do not go missing unheard."""
    Path("dots/sub").mkdir()
    Path("dots/sub").chmod(0)
    Path(".").chmod(0o777)

    def without_rights():
        if os.geteuid() == 0:
            os.setresuid(NOBODY, NOBODY, NOBODY)
        return main(["predict"])

    assert in_child(without_rights) == 512
    words = r"pointlib: .*dots/sub: Permission denied. Change the permissions.*\n"
    assert re.fullmatch(words, (open_folder.parent / "stderr").read_text())
    Path("dots/sub").chmod(0o755)


@pytest.fixture
def open_folder(fine, monkeypatch):
    """Return a copy of the folder in a place that everybody can look into, and work in it."""
    with tempfile.TemporaryDirectory() as top:
        Path(top).chmod(0o755)
        shutil.copytree(fine, Path(top) / "work")
        (Path(top) / "work").chmod(0o755)
        monkeypatch.chdir(Path(top) / "work")
        yield Path(top) / "work"
        monkeypatch.undo()


IMAGE, POINT = np.zeros(SHAPE, np.uint8), np.zeros((1, 2))
GOOD = MemoryDataset([(IMAGE, POINT, [""])] * 6)
FROM_PYTHON = [
    (lambda: check_points(np.zeros((2, 5))), r"points has shape \(2, 5\); expected \(N, 2\). Use points.T"),
    (lambda: check_points([[1, np.nan]]), r"points\[0\] is \[1.0, nan\]; expected finite"),
    (lambda: check_points(np.array([[1, "b"]], object)), "not a table of numbers"),
    (lambda: check_points([[1, 2], [3]]), "not a table of numbers"),
    (lambda: check_points([[40, 40]], shape=SHAPE), "outside the image of width 48 and height 32"),
    (lambda: to_pixels(POINT, 32), r"shape is 32; expected \(H, W\)"),
    (lambda: to_pixels(POINT, (32, 48, 3)), r"expected \(H, W\). Use image.shape"),
    (lambda: boxes_to_points([[5, 5, 1, 1]]), "expected x_min, y_min, x_max"),
    (lambda: masks_to_points(np.zeros((3, 3))), "expected whole numbers"),
    (lambda: find_peaks(np.zeros((1, 3, 3))), r"expected \(H, W\). Use heatmap\[0\]"),
    (lambda: find_peaks(np.array([[None]], object)), "dtype object; expected numbers"),
    (lambda: find_peaks(np.zeros((3, 3)), min_distance=-1), "expected 0 or more pixels"),
    (lambda: gaussian_max(POINT, SHAPE, sigma=-1), "sigma is -1; expected a number above 0"),
    (lambda: draw_classes(POINT, ["b"], SHAPE, classes=["a"], sigma=2), "label 'b' is not among"),
    (lambda: match_points(POINT, POINT, radius=np.nan), "radius is nan; expected a number of pixels"),
    (lambda: match_points(POINT, np.zeros((2, 5)), radius=3), "found.T"),
    (lambda: to_channels(np.zeros(5), 3), r"shape \(5,\); expected \(H, W\)"),
    (lambda: to_display(np.zeros((2, 2, 2, 2))), r"expected \(H, W\)"),
    (lambda: write_image("a.png", np.zeros((4, 4), np.float32)), "cannot write float32.*TIFF all"),
    (lambda: read_image(None), "the path of the image is of type NoneType; expected text"),
    (lambda: load_model(5), "the path of the model folder is of type int; expected text"),
    (lambda: MemoryDataset([]), "there is no image; expected at least one"),
    (lambda: MemoryDataset([(IMAGE, POINT)]), r"item 0 is a tuple; expected \(image, points, labels\)"),
    (lambda: MemoryDataset([(IMAGE, POINT, ["a", "b"])]), "item 0 has 1 points and 2 labels"),
    (lambda: MemoryDataset([([[1, 2]], POINT, [""])]), "image of item 0 is a list; expected an array"),
    (lambda: MemoryDataset([(IMAGE.astype(object), POINT, [""])]), "dtype object; expected numbers"),
    (lambda: ImagePointDataset("dots", names=["x"]), "x is listed but not in dots. Known: dots_0"),
    (lambda: split_names(["a", "b"], fraction=2), "fraction is 2; expected"),
    (lambda: fit("dots", "dots"), "first of the training part is a str; expected"),
    (lambda: fit(None, None), "the training part has no image"),
    (lambda: fit(GOOD, []), "the validation part has no image"),
    (lambda: predict_points(load_model("model"), "dots/dots_0.png"), "image is a str; expected an array"),
    (lambda: predict_points(load_model("model"), IMAGE.astype(object)), "dtype object; expected numbers"),
    (lambda: predict_points(load_model("model"), IMAGE, threshold="high"), "threshold is 'high'; expected a number"),
    (lambda: predict_folder(load_model("model"), "dots", "out", threshold=-1), "threshold is -1; expected"),
    (lambda: predict_folder(load_model("model"), [], "out"), "there is no image; expected"),
    (lambda: evaluate(load_model("model"), GOOD, radius=-1), "radius is -1; expected"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "words"), FROM_PYTHON)
def test_what_python_gives_is_checked(call, words, here):
    """Arrays and datasets that do not fit raise InputError, a ValueError, with a sentence."""
    before = snapshot(here)
    with pytest.raises(InputError, match=words):
        call()
    assert snapshot(here) == before


@pytest.mark.usefixtures("here")
def test_one_bad_image_does_not_stop_the_others(capsys):
    """Of a folder, the images that can be read are predicted; the others are named."""
    Path("dots/dots_3.png").write_bytes(b"")
    assert main(["predict"]) == 0
    out, err = capsys.readouterr()
    assert "5 images" in out or "1 unreadable" in out
    assert re.fullmatch(r"dots_3.png: left out: .*empty \(0 bytes\).*\n", err)
    assert "dots_3.png,,,unreadable," in Path("predictions/counts.csv").read_text()


@pytest.mark.usefixtures("here")
def test_long_and_strange_names_are_predicted(capsys):
    """Names of 255 bytes, of signs and with a line end are predicted, written and shown in a line."""
    names = ["n" * 251, "-rf", "a\nb", "a\x1b[2Jb", "bee \U0001f41d 'q\""]
    for i, name in enumerate(names):
        Path(f"dots/dots_{i}.png").rename(f"dots/{name}.png")
    assert main(["predict", "--text", "--overlays"]) == 0
    out, err = capsys.readouterr()
    assert not err
    assert "\x1b" not in out
    assert r"a\nb.png: " in out
    assert all(Path(f"predictions/text/{name}.txt").is_file() for name in names)
    assert all(Path(f"predictions/overlays/{name}.png").is_file() for name in names)


@pytest.mark.usefixtures("here")
def test_linked_subfolders_are_predicted_once():
    """A link to a folder of images is a subfolder; one that leads back is no second copy."""
    Path("elsewhere").mkdir()
    Path("dots/dots_0.png").rename("elsewhere/dots_0.png")
    Path("dots/sub").symlink_to("../elsewhere")
    Path("dots/loop").symlink_to("..")
    assert main(["predict"]) == 0
    listed = Path("predictions/counts.csv").read_text().split("\n")[1:-1]
    assert sorted(Path(line.split(",")[0]).name for line in listed) == [
        *(f"dots_{i}.png" for i in range(6))
    ]


@needs_fork
@pytest.mark.usefixtures("here")
def test_reader_that_leaves_does_not_end_the_work():
    """After `| head` the tables are written all the same, and nothing stands on stderr."""
    reader, writer = os.pipe()
    os.close(reader)

    def unheard():
        sys.stdout = os.fdopen(writer, "w")
        return main(["predict"])

    assert in_child(unheard) == 0
    assert len(Path("predictions/counts.csv").read_text().splitlines()) == 7
    assert not Path("../stderr").read_text()


@needs_fork
@pytest.mark.usefixtures("here")
def test_terminal_that_cannot_write_a_name_gets_its_number():
    """A name that the terminal's encoding lacks is spelt out, and is no traceback."""
    Path("dots/dots_0.png").rename("dots/caf\xe9.png")

    def ascii_only():
        sys.stdout = open("../ascii", "w", encoding="ascii")  # noqa: SIM115
        return main(["predict"])

    assert in_child(ascii_only) == 0
    assert r"caf\xe9.png: " in Path("../ascii").read_text(encoding="ascii")


@needs_fork
@pytest.mark.usefixtures("here")
def test_working_folder_that_is_gone_is_a_sentence():
    """As on a cluster whose scratch folders are cleared."""
    Path("gone").mkdir()

    def nowhere():
        os.chdir("gone")
        Path("../gone").rmdir()
        return main(["predict"])

    assert in_child(nowhere) == 512
    assert re.search("working folder is gone. Change to another", Path("../stderr").read_text())


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("images", [5, [1], {"train": [[1]]}, {"train": 5}])
def test_training_record_of_a_stranger_is_passed_over(images, capsys):
    """What a model folder says of its training may be anything; evaluation does without it."""
    edit(INFO, training={"images": images})()
    assert main(["evaluate", "model", "dots"]) == 0
    assert not capsys.readouterr().err


@pytest.mark.usefixtures("here")
def test_check_draws_names_that_look_like_formulas(capsys):
    """Labels with dollars and of other scripts are drawn, and no library's warning is shown."""
    labelled("$\\foo{$", "\u871c\u8702")()
    assert main(["check", "dots"]) == 0
    assert not capsys.readouterr().err


@pytest.mark.usefixtures("here")
def test_foreign_checkpoint_is_kept_aside():
    """What stands at the checkpoint's place and is none is kept, and training starts anew."""
    torch.save([1, 2], "new-model.checkpoint")
    before = Path("new-model.checkpoint").read_bytes()
    assert main(["train"]) == 0
    assert Path("new-model.checkpoint.bak").read_bytes() == before


@pytest.mark.usefixtures("here")
def test_image_called_train_has_a_text_and_no_list():
    """In a flat folder train.txt beside train.png holds that image's points."""
    for suffix in (".png", ".txt"):
        Path(f"dots/dots_0{suffix}").rename(f"dots/train{suffix}")
    assert main(["train"]) == 0


@pytest.mark.usefixtures("here")
def test_model_can_be_read_by_whoever_may_read_new_files():
    """The weights have the permissions of any new file, as a shared folder needs."""
    Path("fresh").touch()
    assert Path("model/model.safetensors").stat().st_mode == Path("fresh").stat().st_mode


@pytest.mark.usefixtures("here")
def test_fault_of_ours_has_its_traceback(monkeypatch):
    """An exception that nobody expects and no code of the user's raised is not hidden."""
    monkeypatch.setattr("pointlib.train.loop.load_splits", lambda *_a, **_k: None)
    with pytest.raises(TypeError, match="unpack"):
        main(["train"])


SHORT = [
    RuntimeError("DefaultCPUAllocator: can't allocate memory: 8 TB"),
    ImportError("libtorch_cpu.so: failed to map segment from shared object"),  # under ulimit -v
    OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("error", SHORT, ids=lambda error: type(error).__name__)
def test_short_memory_is_a_sentence(error, monkeypatch, capsys):
    """Memory that is not there is told with what to lower."""

    def short(*_args, **_kwargs):
        raise error

    monkeypatch.setattr("pointlib.train.loop.train_folder", short)
    assert main(["train"]) == 2
    assert re.search("not enough memory.*Lower train.batch_size", sentence(capsys))


def test_bad_input_in_a_notebook_is_one_sentence(capsys):
    """A cell that fails for what the user gave shows the sentence, and no way to it."""
    shell = InteractiveShell.instance()
    shell.run_cell("from pointlib.check.folder import check_folder; check_folder('not there')")
    said = capsys.readouterr().out
    assert "InputError: dataset folder not there does not exist." in said
    assert "Traceback" not in said
    InteractiveShell.clear_instance()
