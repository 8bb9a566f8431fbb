"""Leaderboard: the order, the marks, and files that do not change by themselves."""

import csv
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from pointlib.comparison.leaderboard import (
    leaderboard_table,
    rank_rows,
    short_name,
    varying_axes,
    write_leaderboard,
)
from pointlib.metrics import precision_recall_f1
from pointlib.plots import plot_leaderboard


def row_of(counts, failed="", test=(), **what):
    """Return a row as compare.py makes them; `counts` (n_images, 3) of true, found, hits."""
    numbers = {"minutes": 1.0, "epochs": 2, "steps": 8, "weights_m": 0.5, "ms_per_image": 3.0}
    counts, test = ([[*image, 0.5 * image[2]] for image in some] for some in (counts, test))
    settings = {"point": {"threshold": 0.25, "min_distance": 2.0}}
    numbers |= {"counts": counts, "settings": settings, "ceiling_f1": 0.99}
    numbers["test_counts"] = test or None
    what = {"loss": "mse", "heatmap": "gaussian_max", "threshold": "find_peaks"} | what
    return {"what": what, "failed": failed, "folder": Path("a/b"), **({} if failed else numbers)}


@pytest.fixture
def rows():
    """Return a good row, one of the same hits, a poor one and a failed one, in no good order."""
    rng = np.random.default_rng(0)
    good = [(20, 20, int(hits)) for hits in rng.integers(16, 20, 12)]
    poor = [(20, 20, hits - 9) for _, _, hits in good]
    return [
        row_of([], failed="the loss became nan", loss="x/mine.py:own"),
        row_of(poor, loss="focal"),
        row_of(good, loss="weighted_bce"),
        row_of(good[::-1], loss="mse"),
    ]


def test_rank_rows_puts_the_highest_f1_first_and_failures_last(rows):
    """Rows come by pooled F1; figures are those of the pooled counts; a failed row has none."""
    ranked = rank_rows(rows)
    assert [row["what"]["loss"] for row in ranked][2:] == ["focal", "x/mine.py:own"]
    assert [row.get("rank") for row in ranked] == [1, 2, 3, None]
    true, found, hits, _ = np.sum(rows[1]["counts"], axis=0)
    expected = precision_recall_f1(hits, found - hits, true - hits)
    assert (ranked[2]["precision"], ranked[2]["recall"], ranked[2]["f1"]) == expected
    assert ranked[2]["error_px"] == 0.5
    assert ranked[2]["count_error"] == 0


def test_rank_rows_lets_the_test_choose_nothing():
    """The order is that of validation, though the test says the contrary; it is shown beside."""
    good, poor = [(20, 20, 18)] * 6, [(20, 20, 10)] * 6
    ranked = rank_rows([row_of(poor, test=good, loss="a"), row_of(good, test=poor, loss="b")])
    assert [row["what"]["loss"] for row in ranked] == ["b", "a"]
    assert [row["test_f1"] for row in ranked] == [0.5, 0.9]
    assert [row["like_best"] for row in ranked] == [True, False]
    text = leaderboard_table(ranked)
    assert text.split()[:5] == ["loss", "val", "F1", "test", "F1"]
    assert "test F1 was not used to choose" in text
    (alone,) = rank_rows([row_of(good)])
    assert np.isnan(alone["test_f1"])
    assert "test F1" not in leaderboard_table([alone])
    assert "A test.txt would show" in leaderboard_table([alone])


def test_rank_rows_marks_what_cannot_be_told_from_the_best(rows):
    """The same hits in another order are as good as the best; half of them are not."""
    best, same, poor, _ = rank_rows(rows)
    assert best["like_best"]
    assert same["like_best"]
    assert not poor["like_best"]
    assert best["f1_low"] < best["f1"] < best["f1_high"]


def test_rank_rows_compares_on_the_same_images():
    """One hit less in every image is a sure difference, however much the images differ."""
    rng = np.random.default_rng(1)
    hits = rng.integers(5, 40, 20)
    high, low = rank_rows([row_of([(40, 40, int(h) - k) for h in hits]) for k in (0, 1)])
    assert low["f1_high"] > high["f1_low"]
    assert not low["like_best"]


def test_rank_rows_says_nothing_on_few_images():
    """Four images give no interval and no mark, and the table says so."""
    ranked = rank_rows([row_of([(9, 9, hits)] * 4) for hits in (8, 1)])
    assert np.isnan([ranked[0]["f1_low"], ranked[1]["f1_high"]]).all()
    assert ranked[1]["like_best"]
    assert "4 validation images are too few" in leaderboard_table(ranked)


def test_rank_rows_survives_images_without_points():
    """Images with nothing true and nothing found leave F1 undefined in no more than some draws."""
    ranked = rank_rows([row_of([(0, 0, 0)] * 6 + [(5, 5, 4)])] * 2)
    assert ranked[0]["f1"] == pytest.approx(0.8)
    assert ranked[0]["f1_high"] == pytest.approx(0.8)


def test_leaderboard_table_shows_what_differs(rows):
    """Only axes that vary have a column; a failed row has its sentence; equals are marked."""
    lines = leaderboard_table(rank_rows(rows)).splitlines()
    assert "loss" in lines[0]
    assert "heatmap" not in lines[0]
    assert [" = " in line for line in lines[1:4]] == [True, True, False]
    assert lines[4].split(maxsplit=2)[1:] == ["mine.py:own", "failed: the loss became nan"]


def test_varying_axes_names_one_where_none_varies(rows):
    """A table of one row still says of what."""
    assert varying_axes(rows[:1]) == ["loss"]
    assert varying_axes(rows) == ["loss"]
    assert short_name("/home/me/mine.py:own") == "mine.py:own"
    assert short_name(0.5) == "0.5"
    assert short_name("__main__:own") == "own"
    assert len(short_name(f"{'a' * 90}.py:{'b' * 90}")) == 40


def test_leaderboard_tells_files_of_one_name_apart(rows):
    """Two values that would look alike are shown with their folders."""
    rows[1]["what"]["loss"], rows[2]["what"]["loss"] = "v1/loss.py:f", "v2/loss.py:f"
    text = leaderboard_table(rank_rows(rows))
    assert "v1/loss.py:f" in text
    assert "v2/loss.py:f" in text
    assert "x/mine.py" not in text
    assert "mine.py:own" in text


def test_write_leaderboard_writes_the_same_bytes_twice(rows, tmp_path):
    """Table and picture are a function of the rows; a file that someone edited is kept."""
    for _ in range(2):
        write_leaderboard(tmp_path, rank_rows(rows), title="cells")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["leaderboard.csv", "leaderboard.png"]
    (tmp_path / "leaderboard.csv").write_text("my notes")
    write_leaderboard(tmp_path, rank_rows(rows), title="cells")
    assert (tmp_path / "leaderboard.csv.bak").read_text() == "my notes"
    with open(tmp_path / "leaderboard.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["rank"] for row in table] == ["1", "2", "3", ""]
    assert table[0]["settings"] == "point: threshold 0.250, 2 px"
    assert table[3]["f1"] == ""


def test_plot_leaderboard_has_a_dot_and_an_interval_a_row(rows):
    """The best stands on top; a failed row is named, not drawn."""
    ranked = [row | {"label": row["what"]["loss"]} for row in rank_rows(rows)]
    ax = plot_leaderboard(ranked, Figure().add_subplot())
    dots = [line for line in ax.lines if line.get_gid() == "F1"]
    assert [dot.get_xdata()[0] for dot in dots] == [row["f1"] for row in ranked[:3]]
    assert [dot.get_ydata()[0] for dot in dots] == [0, 1, 2]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    assert [text.get_text() for text in ax.texts][-1] == "failed"
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert not any("test" in label for label in labels)


def test_plot_leaderboard_shows_the_test_beside():
    """A diamond and a number of its own, at the F1 on test."""
    rows = rank_rows([row_of([(20, 20, 18)] * 6, test=[(20, 20, 9)] * 6)])
    ax = plot_leaderboard([rows[0] | {"label": "mse"}], Figure().add_subplot())
    diamonds = [line.get_xdata() for line in ax.lines if line.get_marker() == "D"]
    assert [list(xdata) for xdata in diamonds] == [[], [0.45]]
    assert [text.get_text() for text in ax.texts] == ["val", "0.900", "test", "0.450"]
