"""Names in exported tables: no spreadsheet runs them, and each is read back as it was."""

import csv

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from pointlib.errors import from_cell, spell_out, to_cell
from pointlib.formats import convert
from pointlib.images import write_image
from pointlib.model.point_model import ModelInfo, PointModel
from pointlib.points import write_points
from pointlib.predict.folder import predict_folder

FORMULA = ("=", "+", "-", "@", "\t", "\r")
NAMES = ("=cmd|calc.png", "+1.png", "-a.png", "@x.png", "'=q.png", "a\u202egnp.png", "\\u202e.png")
LABELS = ("=SUM(A1)", "+weed", "-", "@cell", "'=", "plain", "\u202edeew")
SHAPE = (20, 30)
TABLES = {"csv": "points.csv", "herdnet": "gt.csv", "spotiflow": "images/*.csv"}


@given(st.text(st.sampled_from("=+-@\t\r'ab\\u202e05c\u202e\u200f0.1"), max_size=12))
@example("\\u005cu202e")
@example("''=")
def test_a_cell_is_read_back_as_it_was(text):
    """Whatever a name is made of; and as a cell it neither begins a formula nor turns text round."""
    cell = to_cell(text)
    assert from_cell(cell) == text
    assert not cell.startswith(FORMULA)
    assert "\u202e" not in cell


def test_names_without_harm_stay_as_they_are():
    """Nearly all names, apostrophes and backslashes among them."""
    for text in ("cell_1.png", "'quoted'.png", "C:\\up\\u.png", "a=b", "1e-3", "", "été.png"):
        assert to_cell(text) == text


def test_messages_spell_out_what_turns_text_round():
    """A name that looks like another in a terminal is told."""
    assert spell_out("a\u202egnp.exe\u2066") == r"a\u202egnp.exe\u2066"


@pytest.fixture
def folder(tmp_path):
    """Return a dataset of names and classes that a spreadsheet would run."""
    for i, name in enumerate(NAMES):
        path = tmp_path / "dataset" / name
        path.parent.mkdir(exist_ok=True)
        write_image(path, np.zeros(SHAPE, np.uint8))
        write_points(path.with_suffix(".txt"), [(3 + i, 4), (9, 5)], SHAPE, labels=[LABELS[i], "b"])
    return tmp_path / "dataset"


def texts_of(table):
    """Return every cell of a table."""
    with table.open(newline="", encoding="utf-8") as file:
        return [cell for row in csv.reader(file) for cell in row]


@pytest.mark.parametrize("name", TABLES)
def test_exported_tables_come_back_as_they_went(folder, tmp_path, name):
    """Images, classes and points are the same; no cell but a number begins with such a sign."""
    convert(folder, tmp_path / "out", to=name)
    tables = sorted((tmp_path / "out").glob(TABLES[name]))
    cells = [cell for table in tables for cell in texts_of(table)]
    assert tables
    assert not [cell for cell in cells if cell.startswith(FORMULA)]
    convert(tmp_path / "out", tmp_path / "again", from_=name)
    for path in sorted(folder.glob("*.txt")):
        again = (tmp_path / "again/images" / path.name).read_text(encoding="utf-8").split("\n")
        wanted = path.read_text(encoding="utf-8").split("\n")
        if name == "herdnet":  # whole pixels
            again, wanted = ([row.split(",")[2:] for row in rows] for rows in (again, wanted))
        assert sorted(again) == sorted(wanted), path.name


class Constant(torch.nn.Module):
    """A network that draws the image itself, once for each class."""

    def forward(self, batch):
        """Return logits of two classes."""
        return (20 * batch[:, :1] - 10).repeat(1, 2, 1, 1)


def test_predictions_come_back_as_they_went(folder, tmp_path):
    """points.csv and counts.csv: names, classes, and coordinates below zero as numbers."""
    for path in folder.glob("*.png"):
        image = np.zeros(SHAPE, np.uint8)
        image[0, 0] = image[0, 1] = 255
        write_image(path, image)
    info = ModelInfo(classes=("-", "=SUM(A1)"), n_channels=1, mean=(0.0,), std=(1.0,))
    output = tmp_path / "predictions"
    predict_folder(PointModel(Constant(), info, divisor=1), folder, output)
    for table in ("points.csv", "counts.csv"):
        for cell in texts_of(output / table):
            is_number = cell.replace(".", "").replace("-", "").isdigit()
            assert is_number or not cell.startswith(FORMULA), cell
    convert(output, tmp_path / "again", images=folder, from_="csv")
    for name in NAMES:
        rows = (tmp_path / "again/images" / name).with_suffix(".txt").read_text().split("\n")
        assert {row.partition(",")[2].partition(",")[2] for row in rows if row} == {"-", "=SUM(A1)"}
