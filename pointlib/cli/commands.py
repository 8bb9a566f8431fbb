"""The commands: each parses its arguments and calls one function of the room that does the work.

About options and summaries. Not about exit statuses: main.py.
"""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperCommand

from pointlib.cli.arguments import (
    annotate_settings,
    parse_map,
    read_region,
    read_settings,
)
from pointlib.cli.say import progress, say, say_counts, say_image, say_only_image
from pointlib.errors import InputError
from pointlib.files import need_folder, need_place

app = typer.Typer(
    help="Find things by their centres: from clicks to a detector.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ConfigPath = Annotated[Path | None, typer.Argument(help="Settings; default config.json, if any.")]

Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="section.key=value, such as train.num_epochs=5; may be repeated."),
]

Output = Annotated[Path | None, typer.Option(help="Folder for metrics.json and report.html.")]

Values = Annotated[list[str] | None, typer.Option(help="Comma-separated; may be repeated.")]

TrustCode = Annotated[
    bool, typer.Option(help="Run code of a model, or of a config.json that you did not name.")
]

Radius = Annotated[float | None, typer.Option(min=0.001, help="Match radius in pixels.")]


@app.command()
def train(config: ConfigPath = None, overrides: Overrides = None, trust_code: TrustCode = False):
    """Train on a folder of images and points, and write a model folder."""
    settings = read_settings(config, overrides, ["train"], trust_code=trust_code).train
    from pointlib.matching import describe_radius
    from pointlib.train.loop import train_folder  # torch takes seconds to import

    model = train_folder(settings, log=say)
    for name, value in model.info.metrics["validation"].items():
        say(f"validation {name}: {value:.3f}")
    say(f"matched within {describe_radius(model.info.radius)}")
    for name, value in model.info.thresholds.items():
        distance = model.info.min_distances[name]
        say(f"{name}: threshold {value:.3f}, minimum distance {distance:g} px")
    say(f"model: {settings.output}")


@app.command()
def predict(
    config: ConfigPath = None,
    overrides: Overrides = None,
    text: Annotated[bool, typer.Option(help="Also write points as text files.")] = False,
    overlays: Annotated[bool, typer.Option(help="Also write images with points drawn.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Number of processes.")] = 1,
    scheduler: Annotated[
        str | None, typer.Option(help="Dask scheduler, such as tcp://node1:8786.")
    ] = None,
    tile: Annotated[int, typer.Option(min=1, help="Side of the pieces of a large picture.")] = 1024,
    level: Annotated[int, typer.Option(min=0, help="Of a pyramid; 0 is the largest.")] = 0,
    region: Annotated[str | None, typer.Option(help="x0,y0,x1,y1: only a part, in pixels.")] = None,
    trust_code: TrustCode = False,
):
    """Find points in an image or a folder of images, and write points.csv and counts.csv.

    A picture of any size, or a folder of more than 200 images, is predicted in pieces, by as many
    processes as --workers says, one CPU thread each, or by the workers of a Dask cluster, which
    needs pip install 'pointlib[cluster]'; stopped, the same command goes on. Reading BigTIFF, SVS,
    OME-TIFF and OME-Zarr in parts needs pip install 'pointlib[large]'.
    """
    from pointlib.config import find_function
    from pointlib.counts import describe_rules
    from pointlib.large import is_large
    from pointlib.model.folder import load_model
    from pointlib.plots import draw_overlay
    from pointlib.predict.folder import predict_folder, rules_in_use
    from pointlib.thresholds import THRESHOLDS, find_peaks

    settings = read_settings(config, overrides, ["infer"], trust_code=trust_code).infer
    if not settings.image_path:
        raise InputError("infer.image_path is not set: name an image or a folder of images.")
    model = load_model(settings.model, trust_code=trust_code)
    one = Path(settings.image_path).is_file()
    pieces = {"workers": workers, "piece": tile, "level": level, "region": read_region(region)}
    chosen = {
        "threshold": settings.threshold,
        "min_distance": settings.min_distance,
        "threshold_fn": find_function(settings.thresholding, THRESHOLDS, what="thresholding"),
    }
    pieces["scheduler"] = scheduler
    asked = workers > 1 or scheduler or level > 0 or region is not None
    if asked and (text or overlays):
        raise InputError(
            "--text and --overlays are for images that are predicted whole; leave out --workers, "
            "--scheduler, --level and --region, or these."
        )
    plain = chosen["threshold_fn"] is find_peaks and not (text or overlays or _has_gpu())
    if asked or (plain and is_large(settings.image_path, model.info)):
        summary = _predict_pieces(settings, chosen, pieces, trust_code=trust_code)
        for name, why in summary["unreadable"].items():
            say_image(name, None, why)
    else:
        summary = predict_folder(
            _to_device(model),
            settings.image_path,
            settings.output,
            **chosen,
            text=text,
            overlay=partial(draw_overlay, classes=model.info.classes) if overlays else None,
            on_image=say_only_image if one else say_image,
        )
    if summary["n_unreadable"] == summary["n_images"]:
        raise InputError(f"none of the {summary['n_images']} images could be used; see above.")
    say("{n_points} points in {n_images} images, {n_unreadable} unreadable".format(**summary))
    if not (level or region):
        say(describe_rules(rules_in_use(model.info, **chosen)))
    say(f"points: {Path(settings.output) / 'points.csv'}")


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="Model folder, or a folder of found points.")],
    folder: Annotated[Path, typer.Argument(help="Folder of images and true points.")],
    names: Annotated[str | None, typer.Option("--list", help="Only train, val or test.")] = None,
    radius: Radius = None,
    output: Output = None,
    trust_code: TrustCode = False,
):
    """Score a model, or another folder of points, on labelled images."""
    from pointlib.evaluation.score import compare_folders, evaluate_folder
    from pointlib.metrics import metrics_table
    from pointlib.model.folder import load_model

    output = need_place(output or Path("evaluation"))
    need_folder(model, "folder of a model or of points")
    if (model / "pointlib.json").is_file():
        loaded = _to_device(load_model(model, trust_code=trust_code))
        metrics = evaluate_folder(
            loaded,
            folder,
            part=names,
            log=say,
            radius=radius,
            output=output,
            on_image=say_counts,
        )
    elif radius is None:
        raise InputError(
            f"{model} has no pointlib.json, so it is read as a folder of points: "
            "give --radius, the match radius in pixels."
        )
    else:
        metrics = compare_folders(folder, model, radius=radius, output=output)
    say(metrics_table(metrics))
    say(f"report: {output / 'report.html'}")


@app.command()
def compare(
    config: ConfigPath = None,
    overrides: Overrides = None,
    loss: Values = None,
    heatmap: Values = None,
    threshold: Values = None,
    encoder: Values = None,
    model: Values = None,
    vary: Annotated[
        list[str] | None, typer.Option(help="Any setting, such as learning_rate=0.001,0.004.")
    ] = None,
    minutes: Annotated[float | None, typer.Option(min=0.001, help="Per training.")] = None,
    output: Annotated[Path, typer.Option(help="Folder for models and table.")] = Path("comparison"),
    trust_code: TrustCode = False,
):
    """Train every combination on one split and rank them; run it again to resume."""
    from pointlib.comparison.combinations import compare_folder
    from pointlib.config import read_value

    named = {"loss": loss, "heatmap": heatmap, "encoder": encoder, "model": model}
    named["threshold"], axes = threshold, {}
    words = [f"{axis}={values}" for axis, given in named.items() for values in given or ()]
    for text in [*words, *(vary or ())]:
        axis, _, values = text.partition("=")
        axes.setdefault(axis.strip(), []).extend(read_value(v.strip()) for v in values.split(","))
    limit = [f"train.minutes={minutes}", "train.num_epochs=null"] if minutes else []
    told = [*limit, *(overrides or ())]
    settings = read_settings(config, told, ["train", "infer"], trust_code=trust_code, replaced=axes)
    axes.setdefault("threshold", [settings.infer.thresholding])
    compare_folder(settings.train, axes, output=output, log=say)


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="Folder of images and points.")],
    radius: Radius = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder for check.json and check.png; default check.")
    ] = None,
    pixels: Annotated[bool, typer.Option(help="Decode every image; takes longer.")] = False,
):
    """Report what a dataset folder contains and what is wrong; exit status 1 if anything is."""
    from pointlib.check.folder import check_folder

    home, place = need_folder(folder, "dataset folder").resolve(), output or Path("check")
    inside = home in place.resolve().parents
    if output and inside:
        raise InputError(f"{output} is inside {folder}, where nothing is written; name another.")
    need_place(place)
    with progress() as (_, show):
        report = check_folder(folder, radius=radius, every_pixel=pixels, on_image=show)
    from pointlib.check.sheet import describe_check, write_sheet

    if not inside:
        write_sheet(report, place)
    say(describe_check(report))
    files = place / "check.json and check.png"
    say(f"nothing written: {files} would be inside {folder}" if inside else f"files: {files}")
    return min(report.n_problems, 1) if report.images else 2


@app.command()
def annotate(
    source: Annotated[Path | None, typer.Argument(help="Folder of images, or config.json.")] = None,
    jupyter: Annotated[list[str] | None, typer.Argument(help="For JupyterLab, after --.")] = None,
    classes: Annotated[str | None, typer.Option(help="Such as seedling,weed.")] = None,
    model: Annotated[Path | None, typer.Option(help="Model folder, for suggestions.")] = None,
    learn: Annotated[bool, typer.Option(help="Learn a model while you click.")] = False,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Default: 8888 or the next free one.")
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open a browser or only print the address.")] = True,
):
    """Open JupyterLab with the annotator on a folder of images."""
    from pointlib.annotate.launch import launch, write_notebook
    from pointlib.annotate.texts import check_classes

    settings = annotate_settings(source)
    names = settings.classes
    if classes is not None:
        names = list(check_classes([c.strip() for c in classes.split(",")], {}))
    if jupyter and not jupyter[0].startswith("-"):
        raise InputError(f"one folder at a time; got also {' '.join(jupyter)}.")
    notebook = write_notebook(
        settings.dataset_path,
        classes=names,
        model=model or settings.model,
        learn=learn or settings.learn,
    )
    say(f"{notebook} opens in JupyterLab. Ctrl+C here stops it; every click is already saved.")
    launch(notebook, port=port, browser=browser, options=jupyter or ())


class _WithFormats(TyperCommand):
    """A command whose help ends with the list of formats, built only when shown."""

    def format_help(self, ctx, formatter):
        from pointlib.formats import FORMATS

        lines = [f"{form.name}: {form.about}" for form in FORMATS.values()]
        self.epilog = "\n\n".join(["Formats:", *lines]).replace("[", r"\[")
        super().format_help(ctx, formatter)


@app.command(cls=_WithFormats)
def convert(  # noqa: PLR0913, PLR0917 - an option each
    source: Annotated[Path, typer.Argument(help="File or folder written by another tool.")],
    target: Annotated[Path, typer.Argument(help="Folder to create.")],
    from_: Annotated[
        str | None, typer.Option("--from", help="Its format; default: recognised.")
    ] = None,
    to: Annotated[str, typer.Option("--to", help="Format to write.")] = "txt",
    images: Annotated[
        Path | None, typer.Option(help="Folder of the images; default: images/ beside the source.")
    ] = None,
    renamed: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            help="Rename a class: old=new; `old=` drops its points, `=new` names points without a "
            "class. May be repeated.",
        ),
    ] = None,
    convention: Annotated[
        str | None,
        typer.Option(
            help="Where in its pixel the other tool puts (0, 0), if not as declared: centre or "
            "corner. For the source; for the target if the source is txt."
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            help="Columns of a table, by name or number: image=Name,x=Column,y=Row,label=Species; "
            "also score, left, top, right, bottom, width, height."
        ),
    ] = None,
    scale: Annotated[
        float | None, typer.Option(help="Multiply the file's numbers by this to get pixels.")
    ] = None,
    pixel_size: Annotated[
        float | None,
        typer.Option(help="Size of a pixel in the file's unit, such as 0.25 (micrometres)."),
    ] = None,
    empty_is: Annotated[
        str,
        typer.Option(help="What images listed without points are: empty (looked) or unlabelled."),
    ] = "empty",
    flatten: Annotated[
        bool,
        typer.Option("--flatten", help="cam1/0001.jpg becomes cam1_0001.jpg, if names are equal."),
    ] = False,
    unturned: Annotated[
        bool,
        typer.Option("--unturned", help="Points were made on photos as stored, EXIF not applied."),
    ] = False,
    box: Annotated[float | None, typer.Option(help="Side of the boxes written, px.")] = None,
    link: Annotated[bool, typer.Option("--link", help="Link images, do not copy.")] = False,
    skip: Annotated[
        bool, typer.Option("--skip", help="Skip missing images and points outside images.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a folder; the old one becomes its .bak.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only report, write nothing.")] = False,
):
    """Convert another tool's points into a dataset folder, or the other way round."""
    from pointlib.formats import convert as convert_folder
    from pointlib.formats.shared.columns import parse_columns

    with progress() as (bar, show):
        result = convert_folder(
            source,
            target,
            from_=from_,
            to=to,
            images=images,
            classes=parse_map(renamed),
            convention=convention,
            columns=parse_columns(columns) if columns else None,
            scale=scale,
            pixel_size=pixel_size,
            empty_is=empty_is,
            flatten=flatten,
            unturned=unturned,
            box=box,
            link=link,
            skip=skip,
            overwrite=overwrite,
            dry_run=dry_run,
            log=bar.write,
            on_image=show,
        )
    say(result.table() if dry_run else result.counted)
    if not dry_run and (target / "check.png").exists():
        say(f"look at {target / 'check.png'}: the first points on their image")


@app.command()
def pages(
    source: Annotated[Path, typer.Argument(help="Folder of stacks (TIFF), or one.")],
    target: Annotated[Path, typer.Argument(help="Folder to create.")],
    page: Annotated[
        int | None, typer.Option(help="Take this page, from 1; default: the maximum of all.")
    ] = None,
):
    """Make single images of stacks: their maximum projection, or one page of each."""
    from pointlib.formats.stacks import flatten_stacks

    with progress() as (_, show):
        n_stacks = flatten_stacks(source, target, page=page, on_image=show)
    what = "maximum projections" if page is None else f"page {page} of each"
    say(f"{target}: {n_stacks} stacks ({what}); what was no stack is copied")


@app.command()
def formats(
    markdown: Annotated[bool, typer.Option("--markdown", help="As a Markdown table.")] = False,
):
    """List the formats that convert reads and writes, and their coordinate conventions."""
    from pointlib.formats import formats_table

    say(formats_table(markdown=markdown))


@app.command()
def version():
    """Print the version."""
    from pointlib import __version__

    say(__version__)


def _predict_pieces(settings, chosen, pieces, *, trust_code):
    """Predict one large picture, with a progress bar; return what `predict_large` returns."""
    from pointlib.large import predict_large
    from pointlib.thresholds import find_peaks

    if chosen["threshold_fn"] is not find_peaks:
        raise InputError(
            f"infer.thresholding {settings.thresholding} looks at the whole heatmap; a picture "
            "that is predicted in pieces has find_peaks only. Leave it out."
        )
    own = {key: chosen[key] for key in ("threshold", "min_distance")}
    with progress(" pieces") as (_, show):
        return predict_large(
            settings.model,
            settings.image_path,
            settings.output,
            **own,
            **pieces,
            trust_code=trust_code,
            on_piece=partial(show, None),
        )


def _has_gpu():
    """Return whether there is a faster device than the CPU, which alone predicts in pieces."""
    import torch

    return torch.cuda.is_available() or torch.backends.mps.is_available()


def _to_device(model):
    """Move a model to the fastest device there is."""
    import torch

    if torch.cuda.is_available():
        return model.cuda()
    if torch.backends.mps.is_available():
        return model.to("mps")
    return model.to(memory_format=torch.channels_last)  # a fifth faster on a CPU
