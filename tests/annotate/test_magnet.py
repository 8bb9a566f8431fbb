"""Whether the magnet fits what was clicked by hand."""

import json

import numpy as np
import pytest

from pointlib.annotate.ledger import open_ledger
from pointlib.annotate.magnet import judge_magnet
from pointlib.annotate.suggest import Helper
from pointlib.images import write_image

SHAPE = (130, 160)
GRID = np.array([(x, y) for y in range(18, 130, 24) for x in range(16, 160, 21)], float)
SPOTS = GRID + np.random.default_rng(0).uniform(-5, 5, GRID.shape)


def draw():
    """Return an 8-bit image of spots with sigma 3."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    square = (x - SPOTS[:, 0, None, None]) ** 2 + (y - SPOTS[:, 1, None, None]) ** 2
    return np.rint(40 + 180 * np.exp(-square / 18).max(axis=0)).astype(np.uint8)


@pytest.fixture
def ledger(tmp_path):
    """Return the ledger of five images of the same spots, the last of them broken."""
    for name in "abcd":
        write_image(tmp_path / f"{name}.png", draw())
    (tmp_path / "e.png").write_bytes(b"nonsense")
    ledger = open_ledger(tmp_path)
    yield ledger
    ledger.close()


class Hand:
    """Clicks."""

    def __init__(self, ledger):
        self.ledger, self.n = ledger, 0

    def click(self, name, places, source="hand"):
        """Add points of a source to an image."""
        points = []
        for x, y in places:
            self.n += 1
            point = {"id": f"abcdef-{self.n}", "x": float(x), "y": float(y)}
            points.append(point | {"label": "point", "source": source, "score": None})
        edit = {"session": "abcdef", "edit": self.n, "image": name, "op": "add"}
        self.ledger.apply(edit | {"points": points})


def judge(ledger, name="a.png", *, sigma=3.0):
    """Return the verdict on blobs of a size."""
    return judge_magnet(Helper(), ledger, name, sigma=sigma)


def test_magnet_fits_clicks_near_the_centres(ledger):
    """Clicks that miss the centres by a pixel or two: it moves none of them far."""
    rng = np.random.default_rng(0)
    Hand(ledger).click("a.png", SPOTS + rng.normal(0, 0.8, SPOTS.shape))
    verdict = judge(ledger)
    assert (verdict.n, verdict.far, verdict.px, verdict.harms) == (len(SPOTS), 0, 3.0, False)


def test_magnet_of_another_size_harms(ledger):
    """A ring many times as large as the spots: it moves many clicks to where no spot is."""
    Hand(ledger).click("a.png", SPOTS)
    verdict = judge(ledger, sigma=15.0)
    assert verdict.px == pytest.approx(15 / np.sqrt(2))
    assert verdict.harms
    assert verdict.far > 0.25 * verdict.n
    json.dumps(verdict._asdict() | {"harms": verdict.harms})  # as it is sent


def test_magnet_harms_where_something_else_was_meant(ledger):
    """Clicks beside the spots, as on stems beside flowers: it would move them onto the spots."""
    Hand(ledger).click("a.png", SPOTS[:12] + (4.5, 0))
    assert judge(ledger).harms


def test_few_clicks_and_those_of_the_magnet_itself_tell_nothing(ledger):
    """Fewer than ten by hand are no evidence; what the magnet or code placed is none at all."""
    hand = Hand(ledger)
    hand.click("a.png", SPOTS[:9] + (4.5, 0))
    hand.click("a.png", SPOTS[9:] + (4.5, 0), source="magnet")
    hand.click("b.png", SPOTS + (4.5, 0), source="code")
    verdict = judge(ledger)
    assert (verdict.n, verdict.far, verdict.harms) == (9, 9, False)


def test_clicks_on_the_images_beside_count_too(ledger):
    """On a fresh image the nearest three with clicks are looked at, fifty clicks at most."""
    hand = Hand(ledger)
    hand.click("b.png", SPOTS[:8] + (4.5, 0))
    hand.click("d.png", SPOTS[:4])
    verdict = judge(ledger)
    assert (verdict.n, verdict.far, verdict.harms) == (12, 8, True)
    hand.click("c.png", SPOTS)
    hand.click("c.png", SPOTS)
    assert judge(ledger).n == 50
    assert judge(ledger, "e.png").n == 50
