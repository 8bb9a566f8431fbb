"""One Chromium for all browser tests; pages on which the shipped JavaScript meets the real Python."""

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import sync_playwright

from browser.harness import Stand, start_chromium
from browser.lab import Lab
from pointlib.images import write_image

BLOBS = np.array([(20.0, 14.0), (57.0, 33.0), (33.5, 40.25)])  # px, in every image of `folder`


@pytest.fixture(scope="session")
def browser():
    """Start the browser once; where there is none skip, and fail where CI is set."""
    with sync_playwright() as playwright:
        chromium = start_chromium(playwright)
        if chromium is None:
            missing = "no Chromium here: `make test` installs one, or says why it cannot"
            (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
        yield chromium
        chromium.close()


@pytest.fixture
def folder(tmp_path):
    """Return a folder of three unlabelled grey images, 60 x 80, with the same three blobs."""
    y, x = np.mgrid[:60, :80]
    square = (x - BLOBS[:, 0, None, None]) ** 2 + (y - BLOBS[:, 1, None, None]) ** 2
    image = np.rint(40 + 200 * np.exp(-square / 8).max(axis=0)).astype(np.uint8)
    path = tmp_path / "photos"
    path.mkdir()
    for name in "abc":
        write_image(path / f"{name}.png", image)
    return path


@pytest.fixture
def show(browser):
    """Return a function that shows an annotator on a page; see `Stand.show`. Console stays clean."""
    stand = Stand(browser)
    yield stand.show
    stand.close()
    assert stand.problems == []


@pytest.fixture(scope="session")
def lab(tmp_path_factory, browser):
    """Run one server for all tests that open notebooks."""
    lab = Lab(tmp_path_factory.mktemp("lab"), browser)
    yield lab
    lab.close()


@pytest.fixture
def place(lab, request):
    """Return an empty folder of the server's, of this test alone."""
    return Path(tempfile.mkdtemp(dir=lab.root, prefix=request.node.originalname))
