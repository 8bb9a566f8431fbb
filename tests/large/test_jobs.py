"""Jobs: stops, kills and the number of processes change nothing in what is written."""

import csv
import os
import signal

import numpy as np
import pytest
import tifffile

from pointlib.cli import main
from pointlib.errors import InputError
from pointlib.images import write_image
from pointlib.large import folders, is_large, jobs, pool, predict_large
from pointlib.model.folder import load_model, save_model
from pointlib.model.point_model import ModelInfo, build_model
from pointlib.predict.folder import predict_folder
from pointlib.synthetic import draw_cells

pytest.importorskip("zarr")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with a model of random weights, and a picture of two by two pieces."""
    place = tmp_path_factory.mktemp("large")
    model = build_model(ModelInfo(n_channels=1, thresholds={"point": 0.05}, sigma=2.0))
    save_model(model.eval(), place / "model")
    image = np.tile(draw_cells((700, 600), n=300, seed=0).image, (2, 2))
    tifffile.imwrite(place / "a.tif", image, tile=(256, 256))
    return place


def bytes_of(output):
    """Return the two tables of a job."""
    return [(output / name).read_bytes() for name in ("points.csv", "counts.csv")]


def rows(path):
    """Return a csv file's rows as dicts."""
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def expected(place):
    """Return the tables of an uninterrupted job of one process."""
    summary = predict_large(place / "model", place / "a.tif", place / "one")
    assert summary["n_points"] > 50
    assert not (place / "one" / jobs.PARTS).exists()
    return bytes_of(place / "one")


@pytest.mark.parametrize("options", [{"workers": 2}, {"piece": 2048}, {"piece": 100}])
def test_processes_and_pieces_change_nothing(place, expected, tmp_path, options):
    """Two workers, and pieces of any size, write the same bytes."""
    predict_large(place / "model", place / "a.tif", tmp_path, **options)
    assert bytes_of(tmp_path) == expected


def test_a_stopped_job_goes_on(place, expected, tmp_path):
    """Stopped after a piece, the same call does only the rest."""

    def stop(done, _):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_large(place / "model", place / "a.tif", tmp_path, on_piece=stop)
    assert not (tmp_path / "points.csv").exists()
    told = []
    predict_large(
        place / "model", place / "a.tif", tmp_path, on_piece=lambda *now: told.append(now)
    )
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert bytes_of(tmp_path) == expected


def test_other_settings_start_anew(place, tmp_path):
    """Pieces of another threshold are not taken for those of this one."""

    def stop(done, _):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_large(place / "model", place / "a.tif", tmp_path, on_piece=stop, threshold=0.9)
    told = []
    predict_large(
        place / "model", place / "a.tif", tmp_path, on_piece=lambda *now: told.append(now)
    )
    assert told[0] == (0, 4)
    (left,) = (tmp_path / jobs.PARTS).iterdir()  # the other job may still go on
    assert len(list(left.iterdir())) == 1


def test_a_job_that_goes_on_with_other_pieces_starts_anew(place, expected, tmp_path):
    """As many pieces, cut elsewhere: none is taken for another."""
    image = np.tile(draw_cells((500, 600), n=200, seed=0).image, (8, 1))
    tifffile.imwrite(tmp_path / "tall.tif", image, tile=(256, 256))

    def stop(done, _):
        if done:
            raise KeyboardInterrupt

    given = place / "model", tmp_path / "tall.tif", tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        predict_large(*given, piece=2048, on_piece=stop)
    predict_large(*given, piece=3072)
    predict_large(*given[:2], tmp_path / "fresh")
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "fresh")
    assert expected


def test_a_killed_worker_costs_nothing_but_its_piece(place, expected, tmp_path):
    """One of two processes is killed after the first piece; the result is the same."""
    killed = []

    def kill(done, _):
        if done and not killed:
            (child, *_) = pool.multiprocessing.active_children()
            os.kill(child.pid, signal.SIGKILL)
            killed.append(child.pid)

    predict_large(place / "model", place / "a.tif", tmp_path, workers=2, on_piece=kill)
    assert killed
    assert bytes_of(tmp_path) == expected


def test_workers_that_always_end_are_an_error(place, tmp_path, monkeypatch):
    """Rounds without a piece end in a sentence, not in an endless loop."""
    monkeypatch.setattr(pool, "LOST", 1)
    monkeypatch.setattr(pool, "_begin", _end)
    with pytest.raises(InputError, match="1 times in a row: probably the memory"):
        predict_large(place / "model", place / "a.tif", tmp_path, workers=2)


def _end(*_):
    os._exit(1)


def test_a_region_has_the_points_of_the_whole_inside(place, expected, tmp_path):
    """The network sees what is around the region too: places and scores are the same."""
    region = (210, 340, 900, 1250)
    predict_large(place / "model", place / "a.tif", tmp_path, region=region)
    x0, y0, x1, y1 = region
    inside = [
        row
        for row in rows(place / "one" / "points.csv")
        if x0 <= float(row["x"]) < x1 and y0 <= float(row["y"]) < y1
    ]
    assert expected
    assert rows(tmp_path / "points.csv") == inside
    with pytest.raises(InputError, match=r"the region 9,9,4,4 has no pixel of the picture, 1200 x"):
        predict_large(place / "model", place / "a.tif", tmp_path, region=(9, 9, 4, 4))


def test_points_of_a_level_are_in_pixels_of_the_largest(place, tmp_path):
    """A level of half the size: places are twice as far, about the pixels' centres."""
    full = np.tile(draw_cells((350, 300), n=80, seed=3).image, (2, 2))
    large = full.repeat(2, axis=0).repeat(2, axis=1)
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        file.write(large, subifds=1, tile=(256, 256), metadata={"axes": "YX"})
        file.write(full, subfiletype=1, tile=(256, 256))
    tifffile.imwrite(tmp_path / "half.tif", full, tile=(256, 256))
    predict_large(place / "model", tmp_path / "half.tif", tmp_path / "half")
    predict_large(place / "model", tmp_path / "a.ome.tif", tmp_path / "level", level=1)
    half, level = (rows(tmp_path / name / "points.csv") for name in ("half", "level"))
    assert len(half) == len(level) > 10
    for one, other in zip(half, level, strict=True):
        for axis in "xy":
            assert float(other[axis]) == pytest.approx(2 * float(one[axis]) + 0.5, abs=2e-3)
    assert rows(tmp_path / "level" / "counts.csv")[0]["width"] == str(large.shape[1])


def test_the_command_line_predicts_large_pictures_in_pieces(place, expected, tmp_path, capsys):
    """`pointlib predict` takes pieces by itself beyond 1,280 px; --region and --workers are taken."""
    chosen = [
        "--set",
        f"infer.model={place / 'model'}",
        "--set",
        f"infer.image_path={place / 'a.tif'}",
    ]
    assert is_large(place / "a.tif", load_model(place / "model").info)
    assert main(["predict", *chosen, "--set", f"infer.output={tmp_path}"]) == 0
    assert bytes_of(tmp_path) == expected
    options = ["--region", "210,340,900,1250", "--workers", "2"]
    assert main(["predict", *chosen, "--set", f"infer.output={tmp_path}", *options]) == 0
    assert len(rows(tmp_path / "points.csv")) < len(expected[0].splitlines())
    assert main(["predict", *chosen, "--region", "1,2,3,4", "--text"]) == 2
    assert "--text and --overlays are for images" in capsys.readouterr().err
    assert main(["predict", *chosen, "--region", "1,2,3"]) == 2
    assert "expected x0,y0,x1,y1 in pixels" in capsys.readouterr().err


def test_small_pictures_are_no_job(place, tmp_path):
    """An image that goes through the network as a whole is predicted as before."""
    write_image(tmp_path / "a.png", np.zeros((90, 90), np.uint8))
    assert not is_large(tmp_path / "a.png", load_model(place / "model").info)
    assert not is_large(tmp_path, load_model(place / "model").info)


# --- folders of many images ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Return a folder of 23 images, one of them broken and one in a subfolder."""
    folder = tmp_path_factory.mktemp("many")
    for i in range(22):
        scene = draw_cells((64, 80), n=i % 5, seed=i)
        write_image(folder / ("deep" if i == 9 else ".") / f"{i:02d}.png", scene.image)
    (folder / "13b.png").write_bytes(b"no picture")
    return folder


def test_a_folder_in_pieces_is_the_folder(place, many, tmp_path, monkeypatch):
    """The tables are those of predict_folder, by one process and by two; what fails is named."""
    monkeypatch.setattr(folders, "IMAGES", 6)
    predict_folder(load_model(place / "model"), many, tmp_path / "plain")
    plain = [row | {"score": ""} for row in rows(tmp_path / "plain" / "points.csv")]
    for workers in (1, 2):
        summary = predict_large(
            place / "model",
            many,
            tmp_path / f"by {workers}",
            workers=workers,
        )
        assert (summary["n_images"], summary["n_unreadable"]) == (23, 1)
        assert "cannot be read as an image" in summary["unreadable"]["13b.png"]
        assert bytes_of(tmp_path / f"by {workers}") == bytes_of(tmp_path / "by 1")
        found = [row | {"score": ""} for row in rows(tmp_path / f"by {workers}" / "points.csv")]
        assert found == plain
    counts = [(tmp_path / name / "counts.csv").read_bytes() for name in ("plain", "by 1")]
    assert counts[0] == counts[1]


def test_a_folder_that_was_stopped_half_way_does_only_the_rest(place, many, tmp_path, monkeypatch):
    """Parts that are done are not predicted again."""
    monkeypatch.setattr(folders, "IMAGES", 6)

    def stop(done, _):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_large(place / "model", many, tmp_path, on_piece=stop)
    seen, real = [], folders.predict_file
    monkeypatch.setattr(
        folders, "predict_file", lambda *given: seen.append(given[1]) or real(*given)
    )
    predict_large(place / "model", many, tmp_path)
    assert len(seen) == 23 - 12


def test_a_folder_has_no_level_and_no_region(place, many, tmp_path):
    """These are of one picture: a sentence."""
    with pytest.raises(InputError, match="a level or a region is of one picture"):
        predict_large(place / "model", many, tmp_path, level=1)
    assert not is_large(many, load_model(place / "model").info)
