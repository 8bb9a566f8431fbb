"""Plots draw the right marks at the right places and leave pyplot alone."""

import io
import itertools
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex
from PIL import Image

from pointlib import plots
from pointlib.errors import InputError
from pointlib.matching import match_points
from pointlib.metrics import ImageResult, precision_recall_curve
from pointlib.plots import picture_axes
from pointlib.sizes import SizeEstimate
from pointlib.study.budget import Forecast, LearningCurve
from pointlib.study.suspects import Suspect
from pointlib.study.trust import reliability

mpl.use("Agg")
SHAPE = (40, 60)
TRUE = np.array([[5.0, 5.0], [30.25, 8.5], [50.0, 30.0]])
FOUND = np.array([[6.0, 5.0], [31.25, 8.5], [20.0, 35.0], [58.0, 2.0]])
IMAGE = np.full((*SHAPE, 3), 200, np.uint8)
ANATOMY = {
    "f1": 0.75,
    "kinds": {
        "missed": {"n": 5, "f1_gain": 0.1},
        "false positive": {"n": 0, "f1_gain": 0.0},
        "doubled": {"n": 2, "f1_gain": np.nan},
        "displaced": {"n": 4, "f1_gain": 0.125},
    },
}
HEATMAP = np.linspace(0, 1, 40 * 60).reshape(SHAPE)


@pytest.fixture
def ax():
    """Return the ax of a new figure that pyplot does not know."""
    return picture_axes(SHAPE, 300)


@pytest.fixture(autouse=True)
def _no_figures_left():
    plt.close("all")
    yield
    plt.close("all")


def marks(ax, gid):
    """Return the places of the marks of one kind."""
    (chosen,) = [c for c in ax.collections if c.get_gid() == gid]
    return np.asarray(chosen.get_offsets())


def look(collection):
    """Return the shape and the colour of marks."""
    outline = collection.get_paths()[0].vertices
    return outline.tobytes(), to_hex(collection.get_edgecolor()[0])


COMBINATION = {"label": "mse", "f1": 0.8, "f1_low": 0.7, "f1_high": 0.9, "like_best": True}
COMBINATION |= {"ceiling_f1": 0.95, "test_f1": 0.75, "failed": ""}
CLICKS = np.array([[90, 110], [190, 210]])
CURVE = LearningCurve(np.array([5, 10]), CLICKS, np.array([[0.5, 0.7], [0.8, 0.9]]))
FORECAST = Forecast(400.0, 0.9, 0.85, 0.95)
CURVE_OF_SIZE = np.array([0.1, 0.9, 0.3])
SIZE = SizeEstimate(
    {"point": 8.0},
    {"point": (7.0, 9.0)},
    {"point": True},
    np.array([4.0, 8, 16]),
    {"point": CURVE_OF_SIZE},
)
SUSPECT = Suspect("a.png", 30.25, 8.5, "spurious", "point", 0.876)
CALLS = {
    "show_image": lambda ax: plots.show_image(IMAGE, ax),
    "show_points": lambda ax: plots.show_points(TRUE, ax=ax),
    "show_classes": lambda ax: plots.show_classes(TRUE, ["a", "b", "b"], ax),
    "show_heatmap": lambda ax: plots.show_heatmap(HEATMAP, ax, image=IMAGE),
    "show_values": lambda ax: plots.show_values(HEATMAP[:3, :4], ax),
    "show_profile": lambda ax: plots.show_profile(HEATMAP, 3, ax, points=TRUE),
    "show_errors": lambda ax: plots.show_errors(
        IMAGE, TRUE, FOUND, match_points(TRUE, FOUND, radius=3), ax
    ),
    "plot_pr_curve": lambda ax: plots.plot_pr_curve([1, 0.5], [0.5, 0.5], ax, at=(0.5, 0.5)),
    "plot_f1_curve": lambda ax: plots.plot_f1_curve([0.9, 0.4], [1, 0.5], [0.5, 0.5], ax, at=0.4),
    "plot_counts": lambda ax: plots.plot_counts([1, 2], [2, 2], ax),
    "plot_distances": lambda ax: plots.plot_distances([0.5, 1.0], ax, radius=3),
    "plot_anatomy": lambda ax: plots.plot_anatomy(ANATOMY, ax),
    "plot_reliability": lambda ax: plots.plot_reliability(reliability([0.2, 0.9], [0, 1]), ax),
    "plot_history": lambda ax: plots.plot_history([{"epoch": 1, "loss": 0.5, "f1": 0.1}], ax),
    "show_suspect": lambda ax: plots.show_suspect(IMAGE, TRUE, SUSPECT, ax),
    "plot_learning_curve": lambda ax: plots.plot_learning_curve(CURVE, ax, forecast=FORECAST),
    "show_sizes": lambda ax: plots.show_sizes(TRUE, SIZE, ax),
    "plot_sizes": lambda ax: plots.plot_sizes(SIZE, ax),
    "plot_leaderboard": lambda ax: plots.plot_leaderboard([COMBINATION], ax),
}


@pytest.mark.parametrize("name", CALLS)
def test_every_plot_draws_on_the_given_ax_and_opens_no_figure(name, ax):
    """With an ax, each function returns that ax, and pyplot has no new figure."""
    assert CALLS[name](ax) is ax
    assert ax.has_data()
    assert plt.get_fignums() == []


@pytest.mark.parametrize("name", CALLS)
def test_every_plot_without_ax_opens_one_figure(name):
    """Without an ax, each function opens one figure by pyplot and returns its ax."""
    ax = CALLS[name](None)
    assert plt.get_fignums() == [ax.figure.number]
    ax.figure.canvas.draw()


def test_plots_and_report_never_import_pyplot_themselves():
    """Drawing on a given ax works in a process that has neither pyplot nor torch."""
    code = (
        "import sys, numpy as np; from pointlib import plots; from pointlib.evaluation import report; "
        "plots.draw_overlay(np.zeros((9, 7), np.uint8), [[1, 2]], ['a']); "
        "assert not {'matplotlib.pyplot', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_plots_cover_every_public_function():
    """The calls above leave out no function that takes an ax."""
    public = {name for name in vars(plots) if name.startswith(("show_", "plot_"))}
    assert public == set(CALLS)


def test_show_image_puts_pixel_centres_at_whole_numbers(ax):
    """The picture spans [-0.5, W - 0.5] x [-0.5, H - 0.5], y downwards."""
    plots.show_image(IMAGE, ax)
    assert ax.images[0].get_extent() == [-0.5, 59.5, 39.5, -0.5]
    assert (ax.get_xlim(), ax.get_ylim()) == ((-0.5, 59.5), (39.5, -0.5))


@pytest.mark.parametrize("channels", [(), (1,), (2,), (3,), (4,), (7,)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_show_image_takes_any_depth(ax, dtype, channels):
    """Grey to seven channels, 8 bits to float: what is drawn is (H, W, 3) uint8."""
    image = np.random.default_rng(1).uniform(0, 200, (*SHAPE, *channels)).astype(dtype)
    drawn = plots.show_image(image, ax).images[0].get_array()
    assert drawn.shape == (*SHAPE, 3)
    assert drawn.dtype == np.uint8


def test_show_points_marks_each_point_at_its_place(ax):
    """The marks' data coordinates are the points; one outside does not move the limits."""
    points = np.array([[-0.4, 39.4], [59.4, 0.0], [7.25, 3.5], [80.0, -9.0]])
    plots.show_points(points, ax=plots.show_image(IMAGE, ax))
    assert np.array_equal(ax.collections[0].get_offsets(), points)
    assert (ax.get_xlim(), ax.get_ylim()) == ((-0.5, 59.5), (39.5, -0.5))


def test_show_points_tells_thirty_classes_apart(ax):
    """No two of thirty classes share both shape and colour, and the legend counts each."""
    labels = np.repeat([f"class {k:02d}" for k in range(30)], 2)
    points = np.random.default_rng(2).uniform(0, 39, (60, 2))
    plots.show_points(points, labels, ax)
    assert len({look(c) for c in ax.collections}) == 30
    assert ax.get_legend().get_texts()[0].get_text() == "class 00 (2)"
    assert np.array_equal(marks(ax, "class 07"), points[14:16])


def test_show_classes_gives_a_class_the_same_look_in_each_picture():
    """Weeds alone look as they do beside seedlings, where all classes are told; a new one differs."""
    looks, classes = [], ("seedling", "weed")
    for labels in (["seedling", "weed"], ["weed", "weed"], ["Weed", "weed"]):
        ax = plots.show_classes(TRUE[:2], labels, classes=classes)
        looks.append({c.get_gid(): look(c) for c in ax.collections})
        plt.close(ax.figure)
    assert looks[0]["weed"] == looks[1]["weed"] == looks[2]["weed"] != looks[0]["seedling"]
    assert looks[1].keys() == {"weed"}
    assert looks[2]["Weed"] not in looks[0].values()


def test_legends_show_names_as_they_are(ax):
    """Dollars begin no formula, and a name with a leading underscore is not left out."""
    names = ["$x$", "_a", "a$b_{$"]  # in the legend's order
    texts = plots.show_classes(TRUE, names, ax).get_legend().get_texts()
    plain = [ax.text(0, 0, f"{name} (1)", parse_math=False, fontsize=10) for name in names]
    widths = [[text.get_window_extent().width for text in some] for some in (texts, plain)]
    assert len(texts) == 3
    assert widths[0][::2] == pytest.approx(widths[1][::2], abs=1)


def test_show_points_without_image_has_y_downwards():
    """A new ax shows points the way up that images have."""
    low, high = plots.show_points(TRUE).get_ylim()
    assert low > high


def test_show_points_of_nothing_draws_nothing(ax):
    """No points, with or without labels: an ax without marks, no warning, no error."""
    plots.show_points([], ax=ax)
    plots.show_points([], np.array([], str), ax)
    assert all(len(c.get_offsets()) == 0 for c in ax.collections)


def test_show_points_refuses_labels_of_another_number(ax):
    """Three points with two labels are an error that names both shapes."""
    with pytest.raises(InputError, match=r"2 labels for 3 points; expected one each"):
        plots.show_points(TRUE, ["a", "b"], ax)


def test_show_points_shrinks_marks_where_they_are_crowded():
    """A dense grid gets smaller marks than three lone points, but never invisible ones."""
    grid = np.array(list(itertools.product(range(0, 60, 2), range(0, 40, 2))), float)
    sizes = []
    for points in (TRUE, grid):
        ax = plots.show_image(IMAGE, picture_axes(SHAPE, 300))
        plots.show_points(points, ax=ax)
        sizes.append(np.sqrt(ax.collections[0].get_sizes()[0]))
    assert sizes[0] > sizes[1] >= 4


def test_show_heatmap_has_a_fixed_scale(ax):
    """A faint heatmap stays faint: colours run from 0 to 1 whatever the values are."""
    assert plots.show_heatmap(HEATMAP * 0.01, ax).images[0].get_clim() == (0, 1)


def test_show_heatmap_lets_the_image_through_where_it_is_zero(ax):
    """Over an image, a pixel of value 0 (or NaN) is clear and one of value 1 covers."""
    heatmap = np.zeros(SHAPE)
    heatmap[3, 4], heatmap[5, 6] = 1, np.nan
    alpha = plots.show_heatmap(heatmap, ax, image=IMAGE).images[1].get_alpha()
    assert alpha[3, 4] == 1
    assert np.sum(alpha) == 1


@pytest.mark.parametrize("show", [plots.show_heatmap, plots.show_values])
def test_show_heatmap_refuses_the_class_axis(show, ax):
    """A map of shape (C, H, W) is an error that says what to do."""
    with pytest.raises(InputError, match=r"shape \(1, 40, 60\).*Use heatmap\[0\]"):
        show(HEATMAP[None], ax)


def test_show_values_writes_each_value_into_its_pixel(ax):
    """A text stands at x, y of each pixel and says the value with two decimals."""
    plots.show_values(np.array([[0, 0.25, 0.5], [0.75, 1, 0.125]]), ax)
    written = {text.get_position(): text.get_text() for text in ax.texts}
    assert written[1, 0] == "0.25"
    assert written[0, 1] == "0.75"
    assert len(written) == 6


def test_show_profile_draws_the_row_and_the_centres_near_it(ax):
    """The curve is the row; of three centres only the one within a pixel has a line."""
    plots.show_profile(HEATMAP, 8, ax, points=TRUE)
    curve, centre = ax.lines
    assert np.array_equal(curve.get_ydata(), HEATMAP[8])
    assert list(centre.get_xdata()) == [30.25, 30.25]


def test_show_errors_draws_each_kind_at_its_place(ax):
    """Hits and false positives stand at found points, misses at true ones, lines join the pairs."""
    plots.show_errors(IMAGE, TRUE, FOUND, match_points(TRUE, FOUND, radius=3), ax)
    assert np.array_equal(marks(ax, "hits"), FOUND[:2])
    assert np.array_equal(marks(ax, "missed"), TRUE[2:])
    assert np.array_equal(marks(ax, "false positives"), FOUND[2:])
    (lines,) = [c for c in ax.collections if c.get_gid() == "pairs"]
    assert np.array_equal(lines.get_segments(), np.stack([TRUE[:2], FOUND[:2]], axis=1))


def test_show_errors_tells_kinds_apart_by_shape_and_by_colour(ax):
    """Three kinds have three shapes and three colours, each with a dark halo."""
    plots.show_errors(IMAGE, TRUE, FOUND, match_points(TRUE, FOUND, radius=3), ax)
    kinds = [c for c in ax.collections if c.get_gid() != "pairs"]
    shapes, colors = zip(*map(look, kinds), strict=True)
    assert len(set(shapes)) == len(set(colors)) == 3
    assert all(kind.get_path_effects() for kind in kinds)


def test_show_errors_of_empty_sides_draws_no_marks(ax):
    """With nothing true and nothing found the image is shown, and the legend counts zeros."""
    plots.show_errors(IMAGE, [], [], match_points([], [], radius=3), ax)
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["hits (0)", "missed (0)", "false positives (0)"]


def test_plot_pr_curve_marks_the_working_point(ax):
    """Recall goes along x, precision along y; a working point of NaN is not drawn."""
    plots.plot_pr_curve([1, 0.75], [0.25, 0.75], ax, at=(0.8, 0.6))
    plots.plot_pr_curve([], [], ax, at=(np.nan, 0.0))
    (point,) = [line for line in ax.lines if line.get_gid() == "working point"]
    assert point.get_xydata().tolist() == [[0.6, 0.8]]
    curve = next(line for line in ax.lines if line.get_gid() == "curve")
    assert curve.get_xydata().tolist() == [[0.25, 1], [0.75, 0.75]]


def test_plot_pr_curve_has_lines_of_equal_f1(ax):
    """Along each grey line 2 P R / (P + R) is one of four numbers."""
    plots.plot_pr_curve([], [], ax)
    lines = [line.get_xydata() for line in ax.lines if line.get_gid() == "iso-F1"]
    f1 = [2 * r * p / (r + p) for r, p in (line.T for line in lines)]
    assert np.allclose(f1, np.array([[0.2], [0.4], [0.6], [0.8]]))


def test_plot_f1_curve_reads_between_scores_as_the_upper_one(ax):
    """A threshold between two scores accepts the upper one only, so its F1 holds down to there."""
    scores, labels = np.array([0.9, 0.8, 0.7, 0.6]), np.array(["p"] * 4)
    result = ImageResult("a", SHAPE, TRUE, labels[:3], FOUND, labels, scores)
    plots.plot_f1_curve(*precision_recall_curve([result], radius=3), ax)
    line = ax.lines[0]
    assert line.get_drawstyle() == "steps-pre"
    assert np.allclose(line.get_xydata(), [[0.6, 4 / 7], [0.7, 4 / 6], [0.8, 0.8], [0.9, 0.5]])


def test_plot_counts_draws_one_dot_an_image_and_the_diagonal(ax):
    """Dots stand at (true, found); the line of right counts has equal x and y."""
    plots.plot_counts([3, 0, 7], [2, 1, 7], ax)
    assert marks(ax, "counts").tolist() == [[3, 2], [0, 1], [7, 7]]
    assert np.array_equal(ax.lines[0].get_xdata(), ax.lines[0].get_ydata())


def test_plot_counts_and_distances_take_nothing(ax):
    """No image and no hit are empty plots, not errors."""
    assert len(marks(plots.plot_counts([], [], ax), "counts")) == 0
    assert not plots.plot_distances([], picture_axes(SHAPE, 300), radius=3).lines


def test_plot_distances_counts_every_hit(ax):
    """Bars reach from 0 to the radius, and a hit at the radius itself is counted."""
    plots.plot_distances([0.0, 0.2, 1.5, 3.0], ax, radius=3)
    assert sum(bar.get_height() for bar in ax.patches) == 4
    assert ax.get_xlim() == (0, 3)


def test_plot_anatomy_has_the_costliest_kind_on_top(ax):
    """Bars are gains, the largest highest up (ties: the table's order), each with its number."""
    plots.plot_anatomy(ANATOMY, ax)
    names = [text.get_text() for text in ax.get_yticklabels()]
    assert names[::-1] == ["displaced", "missed", "false positive", "doubled"]
    assert [bar.get_width() for bar in ax.patches] == [0, 0, 0.1, 0.125]
    assert [text.get_text() for text in ax.texts] == ["2", "0", "5", "4"]
    assert "now 0.750" in ax.get_xlabel()


def test_plot_anatomy_takes_a_perfect_and_an_undefined_f1(ax):
    """Without errors, and without images, all bars are empty and nothing says nan."""
    nothing = {"missed": {"n": 0, "f1_gain": np.nan}, "false positive": {"n": 0, "f1_gain": np.nan}}
    plots.plot_anatomy({"f1": np.nan, "kinds": nothing}, ax)
    assert [bar.get_width() for bar in ax.patches] == [0, 0]
    assert ax.get_xlabel() == "F1 to gain"


def test_plot_reliability_shows_only_bins_with_points(ax):
    """A dot a bin at (mean score, share true) with its number; empty bins have none."""
    bins = reliability([0.25, 0.3, 0.9], [0, 1, 1], n_bins=4)
    plots.plot_reliability(bins, ax)
    (dots,) = [line for line in ax.lines if line.get_gid() == "bins"]
    assert np.allclose(dots.get_xydata(), [[0.275, 0.5], [0.9, 1]])
    assert [text.get_text() for text in ax.texts] == ["2", "1"]
    assert np.array_equal(ax.lines[0].get_xdata(), ax.lines[0].get_ydata())


def test_plot_reliability_takes_no_points(ax):
    """Without scores there is the line, and no dot."""
    plots.plot_reliability(reliability([], []), ax)
    assert [len(line.get_xdata()) for line in ax.lines] == [2, 0]


def test_plot_history_leaves_gaps(ax):
    """A missing, None or NaN value is a gap in its own curve only; F1 has the right scale."""
    rows = [{"epoch": 1, "loss": 0.9, "f1": None}, {"epoch": 2, "loss": 0.5, "f1": np.nan}]
    rows.append({"epoch": 3, "loss": 0.4, "f1": 0.8, "val_loss": 0.6})
    right = plots.plot_history(rows, ax).figure.axes[1]
    assert ax.lines[0].get_ydata().tolist() == [0.9, 0.5, 0.4]
    assert np.isnan(ax.lines[1].get_ydata()).tolist() == [True, True, False]
    assert right.lines[0].get_xydata()[2].tolist() == [3, 0.8]


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_draw_overlay_marks_points_at_their_place(dtype):
    """What differs from the bare picture is centred on the point: (p + 0.5) scale - 0.5."""
    image = np.full((40, 100), 90, dtype)
    bare = plots.draw_overlay(image, np.zeros((0, 2)), np.array([], str))
    marked = plots.draw_overlay(image, [[70.25, 12]], ["a"])
    assert marked.shape == (320, 800, 3)
    assert marked.dtype == np.uint8
    place = np.argwhere(np.any(marked != bare, axis=2)).mean(axis=0)[::-1]
    assert place == pytest.approx([(70.25 + 0.5) * 8 - 0.5, (12 + 0.5) * 8 - 0.5], abs=0.6)


@pytest.mark.parametrize("given", [True, False])
def test_to_png_gives_the_picture_once(given):
    """The file holds the figure as large as it is, opaque; pyplot keeps none to show again."""
    ax = plots.show_heatmap(HEATMAP, picture_axes(SHAPE, 300) if given else None)
    width, height = ax.figure.canvas.get_width_height()
    with Image.open(io.BytesIO(plots.to_png(ax))) as picture:
        assert picture.format == "PNG"
        assert picture.size == (width, height)
        assert picture.convert("RGBA").getextrema()[3] == (255, 255)
    assert not plt.get_fignums()


def test_picture_axes_keeps_odd_shapes_drawable():
    """A picture of one row still has some height."""
    width, height = picture_axes((1, 500), 300).figure.get_size_inches()
    assert width == 5
    assert 0 < height < 1


def test_draw_overlay_has_a_legend_only_for_several_classes():
    """One class needs no key; one of two is named in the upper left corner, also where alone."""
    image, points = np.full((50, 80), 90, np.uint8), [[60, 20], [70, 40]]
    for labels, classes, plain in (
        (["a", "a"], ("a",), True),
        (["a", "b"], (), False),
        (["b", "b"], ("a", "b"), False),
    ):
        corner = plots.draw_overlay(image, points, labels, classes=classes)[:100, :100]
        assert np.all(corner == 90) == plain


def test_plot_learning_curve_shows_means_band_and_forecast(ax):
    """The line is the mean, the band goes from worst to best, the forecast has its own reach."""
    plots.plot_learning_curve(CURVE, ax, forecast=FORECAST)
    (line,) = [artist for artist in ax.lines if artist.get_gid() == "curve"]
    assert line.get_xydata() == pytest.approx(np.array([[100, 0.6], [200, 0.85]]))
    band = ax.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == 0.5
    assert band[:, 1].max() == 0.9
    bar = ax.collections[-1]
    assert bar.get_segments()[0][:, 1] == pytest.approx([0.85, 0.95])


def test_show_suspect_puts_it_in_the_middle(ax):
    """The suspect is marked in the middle of its surroundings, y downwards, given points beside it."""
    plots.show_suspect(IMAGE, TRUE, SUSPECT, ax, reach=12)
    assert marks(ax, "suspect").tolist() == [[30.25, 8.5]]
    assert ax.get_xlim() == (18.25, 42.25)
    assert ax.get_ylim() == (20.5, -3.5)
    assert ax.get_title() == "spurious 0.88"


@pytest.mark.filterwarnings("error")
def test_show_sizes_draws_each_class_as_wide_as_it_looks(ax):
    """A circle a point, of its class's diameter and colour, at its place."""
    size = SIZE._replace(diameter={"a": 8.0, "b": 20.0})
    plots.show_sizes(TRUE, size, plots.show_image(IMAGE, ax), labels=["b", "a", "b"])
    assert sorted(2 * ring.radius for ring in ax.patches) == [8, 20, 20]
    assert {tuple(ring.center) for ring in ax.patches} == set(map(tuple, np.array(TRUE).tolist()))
    assert len({ring.get_edgecolor() for ring in ax.patches}) == 2


def test_plot_sizes_says_what_is_not_clear(ax):
    """A size from the distances alone is dotted and called not clear; none at all has no line."""
    unclear = SIZE._replace(clear={"point": False})
    plots.plot_sizes(unclear, ax)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["point: 8 px, not clear"]
    ax.clear()
    plots.plot_sizes(unclear._replace(diameter={"point": np.nan}), ax)
    assert ax.get_legend() is None


def test_legends_leave_room_for_the_image():
    """Six classes of long names in three narrow panels: the layout still finds room for pictures."""
    figure, axes = plt.subplots(1, 3, figsize=(9, 3), layout="constrained")
    points = np.random.default_rng(0).uniform(0, 290, (40, 2))
    labels = np.array([f"species number {i % 6}" for i in range(40)])
    for ax in axes:
        plots.show_points(points, labels, plots.show_image(np.zeros((480, 640), np.uint8), ax))
    figure.canvas.draw()
    assert min(ax.get_window_extent().width for ax in axes) > 20
    plt.close(figure)
