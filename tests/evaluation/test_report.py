"""The report is one honest, self-contained page."""

import re
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib import pyplot as plt

from pointlib.errors import InputError
from pointlib.evaluation import report
from pointlib.evaluation.report import escape, write_report
from pointlib.images import read_image
from pointlib.metrics import ImageResult, score_images

SHAPE = (24, 36)
HEAT = np.zeros((1, *SHAPE), np.float32)
NASTY = "<img src=x onerror=alert(1)>\"&'.png"


def make_result(name, n_missed=0, n_false=0, *, n_hits=2, labels=("cell",), scores=(1.0,)):
    """Return a result of so many hits, misses and false positives, each in a row of its own."""

    def row(n, x, y):
        return np.array([(x + 4.0 * k, y) for k in range(n)]).reshape(-1, 2)

    true = np.concatenate([row(n_hits, 3, 3), row(n_missed, 3, 12)])
    found = np.concatenate([row(n_hits, 4, 3), row(n_false, 3, 20)])
    names = [np.resize(np.array(labels), len(points)) for points in (true, found)]
    return ImageResult(name, SHAPE, true, names[0], found, names[1], np.resize(scores, len(found)))


def make_page(tmp_path, results, *, classes=("cell",), heatmaps=None, image=None, **more):
    """Write a report of the results and return its text."""
    metrics = score_images(results, radius=2, classes=classes) | more
    image = np.full(SHAPE, 90, np.uint8) if image is None else image
    path = tmp_path / "report.html"
    pictures = {"images": lambda _: image, "heatmaps": heatmaps}
    assert write_report(path, results, metrics, **pictures) == path
    return path.read_text(encoding="utf-8")


class Reader(HTMLParser):
    """Collects a page's tags and texts."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.texts, self.open = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        """Note the tag and its attributes."""
        self.tags.append((tag, dict(attrs)))
        if tag not in ("img", "meta", "path"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        """Check that tags close in order."""
        if tag != "path":
            assert self.open.pop() == tag

    def handle_data(self, data):
        """Note a text, its tag and all."""
        self.texts.append((self.open[-1] if self.open else "", data))

    def of(self, tag):
        """Return all texts directly inside such tags."""
        return [text for inside, text in self.texts if inside == tag]


def case_names(page):
    """Return the names under the pictures, in order."""
    return re.findall(r"<figcaption><b>(.*?)</b>", page)


def test_write_report_refers_to_nothing_outside(tmp_path):
    """No script, link, style sheet, font or picture comes from elsewhere."""
    page = make_page(tmp_path, [make_result("a.png", 1, 1, scores=(0.9, 0.4))])
    sources = [attrs.get("src", attrs.get("href")) for _, attrs in Reader(page).tags]
    assert all(source.startswith("data:image/") for source in sources if source)
    rest = re.sub(r'"data:[^"]*"', "", page)
    assert not re.search(r"https?:|//|<script|<link|<iframe|url\(|@import|\son\w+=", rest)


def test_write_report_escapes_names(tmp_path):
    """A file and a class named like html are shown as text and open no tag."""
    result = make_result(NASTY, 1, labels=("<b>&", "x"))
    page = make_page(tmp_path, [result], classes=("<b>&", "x"), heatmaps=lambda _: HEAT)
    reader = Reader(page)
    assert not any("onerror" in attrs for _, attrs in reader.tags)
    assert "".join(reader.of("b")).count(NASTY) == 1
    assert "<b>&" in "".join(reader.of("td"))
    assert NASTY in "".join(reader.of("td"))
    assert [a["alt"] for t, a in reader.tags if t == "img"][-1] == f"heatmap of {NASTY}"


def test_write_report_shows_the_worst_image_first(tmp_path):
    """Pictures and table go by falling misses and false positives, ties by name."""
    results = [
        make_result("c", 1),
        make_result("b", 0, 1),
        make_result("a"),
        make_result("d", 2, 3),
    ]
    page = make_page(tmp_path, results)
    assert case_names(page) == ["d", "b", "c", "a"]
    assert [td for td in Reader(page).of("td") if td in "abcd"] == ["d", "b", "c", "a"]


def test_write_report_shows_24_pictures_and_lists_all_images(tmp_path, monkeypatch):
    """Of 30 images the worst 24 have pictures, the page says so, and the table has 30 rows."""
    monkeypatch.setattr(report, "SIDES", (40,))
    asked = []
    results = [make_result(f"{k:02d}", n_missed=k % 7) for k in range(30)]
    page = make_page(tmp_path, results, heatmaps=asked.append)
    assert len(case_names(page)) == len(asked) == 24
    assert "24 of 30 images" in page
    assert sum(td in {r.name for r in results} for td in Reader(page).of("td")) == 30


def test_write_report_gives_the_numbers_of_metrics(tmp_path):
    """The headline is precision, recall and F1 at the radius, with the matching rule named."""
    page = make_page(tmp_path, [make_result("a", 2, 1)])
    tiles = Reader(page).of("b")
    assert tiles[:5] == ["0.57", "0.67", "0.50", "1.00", "1.00"]
    assert "at 2 px" in page
    assert "one-to-one" in page
    assert "4 true, 3 found: 2 hits, 2 missed, 1 false positive. F1 0.57, distance 1.00 px" in page


def test_write_report_has_a_line_per_class_and_both_sums(tmp_path):
    """Several classes bring the pooled and the class-blind figures; a single class does not."""
    results = [make_result("a", 1, labels=("cat", "dog"))]
    page = make_page(tmp_path, results, classes=("cat", "dog"))
    cells = Reader(page).of("td")
    assert {"cat", "dog", "all, class by class", "all, classes ignored"} <= set(cells)
    assert "classes ignored" not in make_page(tmp_path, [make_result("a", 1)])


def test_write_report_draws_each_class_by_itself(tmp_path, monkeypatch):
    """A found point of another class at the true place is drawn as a false positive, not as a hit."""
    points, seen, show = np.array([[5.0, 5], [9, 9]]), [], report.plots.show_errors
    true, found = np.array(["cat", "dog"]), np.array(["cat", "cat"])
    result = ImageResult("a", SHAPE, points, true, points[::-1], found, np.ones(2))
    monkeypatch.setattr(report.plots, "show_errors", lambda *a: seen.append(a[3]) or show(*a))
    make_page(tmp_path, [result], classes=("cat", "dog"))
    assert {(m.pairs.tolist()[0][1], *m.missed, *m.false_positives) for m in seen} == {(1, 1, 0)}


@pytest.mark.parametrize("results", [[], [make_result("a", n_hits=0)]])
def test_write_report_writes_a_dash_where_nothing_is_defined(tmp_path, results):
    """No image, or none with a point: a whole page, dashes for NaN, and no "nan" anywhere."""
    page = make_page(tmp_path, results)
    reader = Reader(page)
    assert reader.of("b")[:3] == ["\u2013"] * 3
    assert not any(re.search(r"\b(nan|None|inf)\b", text) for _, text in reader.texts)
    assert reader.open == []


@pytest.mark.parametrize("shape", [SHAPE, (*SHAPE, 1), (*SHAPE, 3), (*SHAPE, 6)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_write_report_shows_images_of_any_depth(tmp_path, shape, dtype):
    """Grey to six channels, 8 bits to float: each gets its picture."""
    image = np.random.default_rng(3).uniform(0, 255, shape).astype(dtype)
    page = make_page(tmp_path, [make_result("a", 1, 1)], image=image)
    assert page.count("data:image/jpeg") == 1


def test_write_report_describes_every_picture(tmp_path):
    """Each picture has an alternative text; that of an image says what is marked."""
    page = make_page(tmp_path, [make_result("a", 2, 1)], heatmaps=lambda _: HEAT)
    alts = [attrs["alt"] for tag, attrs in Reader(page).tags if tag == "img"]
    assert alts[-2:] == ["a with 2 hits, 2 missed, 1 false positive", "heatmap of a"]
    assert all(alts)


def test_write_report_shows_the_highest_of_all_classes(tmp_path, monkeypatch):
    """Beside an image stands the maximum over its C heatmaps."""
    seen = []
    show = report.plots.show_heatmap
    monkeypatch.setattr(report.plots, "show_heatmap", lambda h, ax: seen.append(h) or show(h, ax))
    maps = np.random.default_rng(4).random((3, *SHAPE))
    make_page(tmp_path, [make_result("a")], heatmaps=lambda _: maps)
    assert np.array_equal(seen[0], maps.max(axis=0))


def test_write_report_plots_f1_by_threshold_only_where_scores_vary(tmp_path):
    """Equal scores have no curve over thresholds; a curve handed over is drawn as it is."""
    curve = {"thresholds": [0.9, 0.3], "precision": [1.0, 0.5], "recall": [0.5, 1.0]}
    flat, rising = make_result("a", 1), make_result("a", 1, scores=(0.9, 0.4))
    assert "F1 by threshold" not in make_page(tmp_path, [flat])
    assert "F1 by threshold" in make_page(tmp_path, [rising])
    assert "F1 by threshold" in make_page(tmp_path, [flat], curve=curve, thresholds={"cell": 0.4})


def test_write_report_keeps_pictures_small(tmp_path, monkeypatch):
    """Noise, the worst case for JPEG, is drawn smaller until all pictures fit their share."""
    monkeypatch.setattr(report, "PICTURE_BYTES", 280_000)
    noise = np.random.default_rng(5).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    page = make_page(tmp_path, [make_result("a"), make_result("b")], image=noise)
    pictures = re.findall(r'"data:image/jpeg[^"]*"', page)
    assert len(pictures) == 2
    assert all(20_000 < len(picture) * 3 / 4 <= 70_100 for picture in pictures)


def test_write_report_is_the_same_each_time_and_in_a_thread(tmp_path):
    """Two threads write the same bytes, and pyplot's figures stay as they were."""
    ours = plt.figure()
    results = [make_result("a", 1, 1, scores=(0.9, 0.4))]
    with ThreadPoolExecutor(2) as pool:
        for name in "ab":
            (tmp_path / name).mkdir()
        pages = list(pool.map(lambda name: make_page(tmp_path / name, results), "ab"))
    assert pages[0] == pages[1]
    assert plt.get_fignums() == [ours.number]
    plt.close(ours)


def test_write_report_refuses_metrics_of_other_images(tmp_path):
    """Numbers and pictures of different images never stand side by side."""
    metrics = score_images([make_result("b")], radius=2, classes=["cell"])
    with pytest.raises(InputError, match="different images"):
        write_report(tmp_path / "r.html", [make_result("a")], metrics, images=None)
    assert not (tmp_path / "r.html").exists()


def test_write_report_shows_real_images(real, tmp_path):
    """A 16-bit TIFF of nuclei, with points that are off by a pixel, becomes a page below 8 MB."""
    path = min((real / "nuclei_bbbc039_16bit" / "images").iterdir())
    image = read_image(path)
    true = np.random.default_rng(6).uniform(2, 500, (80, 2))
    labels = np.full(80, "cell")
    result = ImageResult(path.name, image.shape, true, labels, true + 1, labels, np.ones(80))
    page = make_page(tmp_path, [result], image=image)
    assert (
        "80 true, 80 found: 80 hits, 0 missed, 0 false positives. F1 1.00, distance 1.41 px" in page
    )
    assert 50_000 < len(page) < 8_000_000


def test_a_name_that_turns_text_round_is_spelt_out():
    """A file called a, then a sign, then gpj.exe would read a.exe.jpg in a browser."""
    assert escape("a\u202egpj.<exe>") == r"a\u202egpj.&lt;exe&gt;"
