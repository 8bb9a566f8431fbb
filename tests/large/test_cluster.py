"""A Dask cluster: its workers write the same bytes, whichever of them are lost."""

import os
import signal
import warnings

import numpy as np
import pytest
import tifffile

from pointlib.errors import InputError
from pointlib.large import cluster, predict_large
from pointlib.model.folder import save_model
from pointlib.model.point_model import ModelInfo, build_model
from pointlib.synthetic import draw_cells

pytest.importorskip("zarr")
distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.filterwarnings("ignore")  # of the cluster's own sockets and processes


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with a model of random weights, a picture, and what one process finds."""
    place = tmp_path_factory.mktemp("cluster")
    model = build_model(ModelInfo(n_channels=1, thresholds={"point": 0.05}, sigma=2.0))
    save_model(model.eval(), place / "model")
    image = np.tile(draw_cells((700, 600), n=300, seed=0).image, (2, 2))
    tifffile.imwrite(place / "a.tif", image, tile=(256, 256))
    predict_large(place / "model", place / "a.tif", place / "one")
    return place


@pytest.fixture
def scheduler():
    """Return a cluster of two processes on this machine."""
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with distributed.LocalCluster(**options, silence_logs=50) as own:
            yield own


def bytes_of(output):
    """Return the two tables of a job."""
    return [(output / name).read_bytes() for name in ("points.csv", "counts.csv")]


def test_a_lost_worker_costs_nothing_but_its_piece(place, scheduler, tmp_path):
    """One of two workers is killed after the first piece; the bytes are those of one process."""
    killed = []

    def kill(done, _):
        if done and not killed:
            killed.append(next(iter(scheduler.workers.values())).pid)
            os.kill(killed[0], signal.SIGKILL)

    address = scheduler.scheduler_address
    predict_large(place / "model", place / "a.tif", tmp_path, scheduler=address, on_piece=kill)
    assert killed
    assert bytes_of(tmp_path) == bytes_of(place / "one")


def test_a_stopped_job_goes_on_elsewhere(place, scheduler, tmp_path):
    """Begun by this process and stopped, it is finished by the cluster, which does the rest only."""

    def stop(done, _):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_large(place / "model", place / "a.tif", tmp_path, on_piece=stop)
    told = []
    predict_large(
        place / "model",
        place / "a.tif",
        tmp_path,
        scheduler=scheduler.scheduler_address,
        on_piece=lambda *now: told.append(now),
    )
    assert told[0][0] == 1
    assert told[-1][0] == told[-1][1]
    assert bytes_of(tmp_path) == bytes_of(place / "one")


def test_no_scheduler_is_a_sentence(place, tmp_path, monkeypatch):
    """An address where nothing listens is named, with the command that starts a scheduler."""
    monkeypatch.setattr(cluster, "PATIENCE", 1)
    with pytest.raises(
        InputError, match=r"no Dask scheduler at tcp://127.0.0.1:9 .*dask scheduler"
    ):
        predict_large(place / "model", place / "a.tif", tmp_path, scheduler="tcp://127.0.0.1:9")


def test_no_worker_is_a_sentence(place, tmp_path, monkeypatch):
    """A scheduler without workers does not wait for ever."""
    monkeypatch.setattr(cluster, "PATIENCE", 2)
    options = {"n_workers": 0, "dashboard_address": None, "silence_logs": 50}
    with (
        distributed.LocalCluster(**options) as own,
        pytest.raises(InputError, match="has no worker. Start some: dask worker tcp://"),
    ):
        predict_large(place / "model", place / "a.tif", tmp_path, scheduler=own.scheduler_address)
