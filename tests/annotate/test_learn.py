"""Learning while people click: in a process of its own, from what is done, and only when due."""

import json
import os
import signal
import time

import numpy as np
import pytest

from pointlib.annotate import learn as learning
from pointlib.annotate.journal import read_journal
from pointlib.annotate.learn import in_words
from pointlib.annotate.widget import Annotator
from pointlib.errors import InputError
from pointlib.images import read_image, write_image
from pointlib.matching import match_points
from pointlib.model.folder import load_model, read_info
from pointlib.predict.points import predict_points
from pointlib.regions import Regions
from pointlib.synthetic import draw_cells

SHAPE = (160, 200)
LIMIT = 300  # s: ten times what a lesson takes


@pytest.fixture
def scenes(tmp_path):
    """Return drawn scenes by file name, their images in a folder of their own."""
    scenes = {f"{i}.png": draw_cells(SHAPE, n=40, seed=i) for i in range(3)}
    for name, scene in scenes.items():
        write_image(tmp_path / "cells" / name, scene.image)
    return scenes


@pytest.fixture
def annotator(scenes, tmp_path, monkeypatch):
    """Return an annotator whose lessons are short; it is closed at the end."""
    monkeypatch.setattr(learning, "SECONDS", 3.0)
    assert scenes
    annotator = Annotator(tmp_path / "cells")
    annotator._server.learner.seconds = 3.0
    yield annotator
    annotator.close()


def hear(annotator):
    """Return a list that fills with what the browser is told of learning."""
    told, send = [], annotator.send

    def listen(content, buffers=None):
        if content["type"] == "learning":
            told.append(content)
        send(content, buffers)

    annotator.send = listen
    return told


def wait_until(check):
    """Wait for the process; a hang limit, not a speed."""
    end = time.monotonic() + LIMIT
    while not check():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_learns_from_a_region_and_suggests_what_is_outside(annotator, scenes):
    """One region of an unfinished image: a model folder, its score, suggestions on this image."""
    points = scenes["0.png"].points
    inside = points[:, 0] < 120
    annotator.add(points[inside])
    annotator.regions = Regions.box(-0.5, -0.5, 120, SHAPE[0] - 0.5)
    facts = annotator.learn()
    assert (facts["points"], facts["images"]) == (inside.sum(), 1)
    assert facts["n_held"] == round(0.2 * inside.sum())
    assert 0 <= facts["f1"] <= 1
    info = read_info(annotator.learnt_model)
    assert info.classes == ("point",)
    found, _, scores = annotator.suggestions("model")
    assert len(scores)
    assert (np.hypot(*(found[:, None] - points[inside]).transpose(2, 0, 1)) > 1).all()


def test_next_lesson_goes_on_from_the_model_before(annotator, scenes):
    """Its start is noted, what was held back stays so, and the journal tells of both lessons."""
    for name in ("0.png", "1.png"):
        annotator.goto(name)
        annotator.add(scenes[name].points)
        annotator.mark("done")
        annotator.learn()
    start = read_info(annotator.learnt_model).training["start"]
    assert start["model"] == "learnt"
    journal = read_journal(annotator.folder / ".pointlib" / "journal.jsonl")
    first, second = (line for line in journal if line["op"] == "learnt")
    assert (first["is_new"], second["is_new"]) == (True, False)
    assert second["held"]["0.png"] == first["held"]["0.png"]
    assert second["points"] == 80
    image = read_image(annotator.folder / "2.png")
    found, *_ = predict_points(load_model(annotator.learnt_model), image)
    assert len(match_points(scenes["2.png"].points, found, radius=6).pairs) > 20


def test_lesson_begins_by_itself_when_it_is_due(annotator, scenes, monkeypatch):
    """Turned on: nothing before twenty points are complete, then a lesson, told as it goes."""
    monkeypatch.setattr(learning, "QUIET", 0.0)
    told, learner = hear(annotator), annotator._server.learner
    learner.turn(True)
    annotator.add(scenes["0.png"].points)
    learner.wait(LIMIT)
    assert not annotator.learnt_model.exists()  # nothing is done
    annotator.mark("done")
    wait_until(lambda: told and told[-1]["points"])
    assert any(facts["share"] is not None for facts in told)
    assert [facts["is_new"] for facts in told].count(True) == 1
    assert (told[-1]["share"], told[-1]["why"]) == (None, "")


def test_corrections_are_a_reason_to_learn_again(annotator, scenes):
    """Ten points moved: due; nine: not yet."""
    annotator.add(scenes["0.png"].points)
    annotator.mark("done")
    annotator.learn()
    learner = annotator._server.learner

    def due():
        return learner._is_due(learning._points_of(learning.marked_parts(annotator._ledger)))

    assert not due()
    annotator.delete(range(9))
    assert not due()
    annotator.delete([0])
    assert due()


def test_stopping_gives_the_lesson_up_and_keeps_the_model(annotator, scenes):
    """The process is gone at once; the model of the lesson before is as it was."""
    annotator.add(scenes["0.png"].points)
    annotator.mark("done")
    annotator.learn()
    before = (annotator.learnt_model / "model.safetensors").read_bytes()
    learner = annotator._server.learner
    learner.seconds = 10 * LIMIT
    learner.turn(True)
    learner.ask()
    wait_until(lambda: learner.facts()["share"] is not None)
    learner.turn(False)
    assert learner.wait(LIMIT)
    assert (learner.facts()["share"], learner.facts()["why"]) == (None, "")
    assert (annotator.learnt_model / "model.safetensors").read_bytes() == before


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_process_that_is_killed_is_told_and_started_again(annotator, scenes):
    """Out of memory: a sentence that names the log; the next lesson works."""
    annotator.add(scenes["0.png"].points)
    annotator.mark("done")
    learner = annotator._server.learner
    learner.seconds = 10 * LIMIT
    learner.ask()
    wait_until(lambda: learner.facts()["share"] is not None and learner._school._process)
    learner._school._process.send_signal(signal.SIGKILL)
    assert learner.wait(LIMIT)
    assert "the process ended" in learner.facts()["why"]
    learner.seconds = 3.0
    assert annotator.learn()["points"] == 40


def test_nothing_complete_is_said(annotator):
    """A lesson without material says what to do."""
    annotator.add([[3, 3]])
    with pytest.raises(InputError, match="mark an image done, or draw a region"):
        annotator.learn()


def test_folder_that_cannot_be_written_is_not_learnt_from(annotator):
    """It stays off, and the line says why."""
    annotator._ledger._store.journal.read_only = "Somebody else annotates here."
    learner = annotator._server.learner
    learner.turn(True)
    assert not learner.is_on
    assert learner.facts()["why"] == "Somebody else annotates here."


def test_model_and_score_are_there_after_reopening(annotator, scenes, tmp_path):
    """The next day it goes on: the line says so, and the model suggests."""
    annotator.add(scenes["0.png"].points)
    annotator.mark("done")
    facts = annotator.learn()
    annotator.close()
    again = Annotator(tmp_path / "cells")
    try:
        assert again._server.learner.facts()["points"] == facts["points"]
        assert again._server.helper.model == again.learnt_model.resolve()
    finally:
        again.close()


def test_two_classes_are_learnt(scenes, tmp_path):
    """Only classes that have points; the model names them as the folder does."""
    scene = scenes["0.png"]
    annotator = Annotator(tmp_path / "cells", classes=("small", "large", "other"))
    annotator._server.learner.seconds = 3.0
    labels = np.where(scene.points[:, 0] < 100, "small", "large")
    annotator.add(scene.points, label=labels.tolist())
    annotator.mark("done")
    annotator.learn()
    assert read_info(annotator.learnt_model).classes == ("small", "large")
    annotator.close()


def test_words_say_how_well_and_on_how_much():
    """A score never stands without its spread and the number of points."""
    facts = {"points": 96, "images": 3, "f1": 0.838, "error": 0.041, "n_held": 31}
    assert in_words(facts) == (
        "learnt from 96 points in 3 images; F1 0.84 ± 0.04 on 31 points held back"
    )
    assert "nothing is held back yet" in in_words(facts | {"f1": None})
    json.dumps(facts)
