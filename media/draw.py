"""Draw the README's strip of four pictures with the small model that ships; `make media`."""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pointlib import plots
from pointlib.dataset import ImagePointDataset
from pointlib.matching import match_points
from pointlib.model.folder import load_model
from pointlib.predict.points import predict_heatmap, predict_points
from pointlib.splits import read_list

ROOT = Path(__file__).resolve().parents[1]
CATS = ROOT / "data" / "cats"


def strip(path, dataset, model):
    """Draw the fullest image of `dataset`, its clicks, its heatmap and the points found in it."""
    image, clicks = max(
        ((image, points) for image, points, *_ in dataset), key=lambda pair: len(pair[1])
    )
    found, _, _ = predict_points(model, image)
    match = match_points(clicks, found, radius=model.info.radius)
    figure = Figure(figsize=(13, 2.65), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 4)
    plots.show_image(image, panels[0]).set_title("an image")
    plots.show_points(clicks, ax=plots.show_image(image, panels[1])).set_title(
        "a click on each pupil"
    )
    plots.show_heatmap(np.max(predict_heatmap(model, image), axis=0), panels[2])
    panels[2].set_title("the heatmap a network draws")
    plots.show_errors(image, clicks, found, match, panels[3]).get_legend().remove()
    panels[3].set_title(f"and the points in it: {len(match.pairs)} of {len(clicks)} found")
    figure.savefig(path, metadata={"Software": None})


if __name__ == "__main__":
    test = ImagePointDataset(CATS, names=read_list(CATS / "test.txt"))
    strip(ROOT / "media" / "strip.png", test, load_model(CATS / "model"))
