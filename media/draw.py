"""Draw the pictures of the README: `make media`. Needs a trained model: `make demo` first."""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pointlib import plots
from pointlib.files import need_folder
from pointlib.images import read_image
from pointlib.metrics import match_points
from pointlib.model import load_model
from pointlib.points import read_points, text_path
from pointlib.predict import predict_heatmap, predict_points

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "runs" / "demo" / "model"


def tour(path, model):
    """Draw an image of the test part, its heatmap, and what is right in the points found."""
    images = ROOT / "data" / "cells" / "images"
    names = (ROOT / "data" / "cells" / "test.txt").read_text().split()
    labelled = sorted(names, key=lambda n: len((images / n).with_suffix(".txt").read_text()))
    name = labelled[len(labelled) // 2]
    image = read_image(images / name)
    true, _ = read_points(text_path(images / name), image.shape[:2])
    found, _, _ = predict_points(model, image)
    figure = Figure(figsize=(12, 3.6), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 3)
    plots.show_image(image, panels[0]).set_title("an image it has not seen")
    plots.show_heatmap(np.max(predict_heatmap(model, image), axis=0), panels[1])
    panels[1].set_title("the heatmap the network draws")
    match = match_points(true, found, radius=model.info.radius)
    plots.show_errors(image, true, found, match, panels[2]).set_title("the points found")
    figure.savefig(path, metadata={"Software": None})


if __name__ == "__main__":
    tour(ROOT / "media" / "tour.png", load_model(need_folder(MODEL, "model of `make demo`")))
