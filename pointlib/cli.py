"""The `pointlib` command: arguments only.

Each command parses its arguments, calls one function of the module that does the work, and prints
a summary. A user's mistake is one sentence and exit status 2.
"""

import logging
import os
import sys
import warnings
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperCommand

from pointlib.errors import InputError, describe, one_line, spell_out
from pointlib.files import need_folder, need_place

STOPPED = 130  # the exit status of shells after Ctrl+C

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
    settings = _load_config(config, overrides, ["train"], trust_code=trust_code).train
    from pointlib.matching import describe_radius
    from pointlib.train.loop import train_folder  # torch takes seconds to import

    model = train_folder(settings, log=_say)
    for name, value in model.info.metrics["validation"].items():
        _say(f"validation {name}: {value:.3f}")
    _say(f"matched within {describe_radius(model.info.radius)}")
    for name, value in model.info.thresholds.items():
        distance = model.info.min_distances[name]
        _say(f"{name}: threshold {value:.3f}, minimum distance {distance:g} px")
    _say(f"model: {settings.output}")


@app.command()
def predict(
    config: ConfigPath = None,
    overrides: Overrides = None,
    text: Annotated[bool, typer.Option(help="Also write points as text files.")] = False,
    overlays: Annotated[bool, typer.Option(help="Also write images with points drawn.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Number of processes.")] = 1,
    tile: Annotated[int, typer.Option(min=1, help="Side of the pieces of a large picture.")] = 1024,
    level: Annotated[int, typer.Option(min=0, help="Of a pyramid; 0 is the largest.")] = 0,
    region: Annotated[str | None, typer.Option(help="x0,y0,x1,y1: only a part, in pixels.")] = None,
    trust_code: TrustCode = False,
):
    """Find points in an image or a folder of images, and write points.csv and counts.csv.

    A picture of any size, or a folder of more than 200 images, is predicted in pieces, by as many
    processes as --workers says, one CPU thread each; stopped, the same command goes on. Reading
    BigTIFF, SVS, OME-TIFF and OME-Zarr in parts needs pip install 'pointlib[large]'.
    """
    from pointlib.config import find_function
    from pointlib.counts import describe_rules
    from pointlib.large import is_large
    from pointlib.model.folder import load_model
    from pointlib.plots import draw_overlay
    from pointlib.predict.folder import predict_folder, rules_in_use
    from pointlib.thresholds import THRESHOLDS, find_peaks

    settings = _load_config(config, overrides, ["infer"], trust_code=trust_code).infer
    if not settings.image_path:
        raise InputError("infer.image_path is not set: name an image or a folder of images.")
    model = load_model(settings.model, trust_code=trust_code)
    one = Path(settings.image_path).is_file()
    pieces = {"workers": workers, "piece": tile, "level": level, "region": _read_region(region)}
    chosen = {
        "threshold": settings.threshold,
        "min_distance": settings.min_distance,
        "threshold_fn": find_function(settings.thresholding, THRESHOLDS, what="thresholding"),
    }
    asked = workers > 1 or level > 0 or region is not None
    if asked and (text or overlays):
        raise InputError(
            "--text and --overlays are for images that are predicted whole; leave out --workers, "
            "--level and --region, or these."
        )
    plain = chosen["threshold_fn"] is find_peaks and not (text or overlays or _has_gpu())
    if asked or (plain and is_large(settings.image_path, model.info)):
        summary = _predict_pieces(settings, chosen, pieces, trust_code=trust_code)
        for name, why in summary["unreadable"].items():
            _say_image(name, None, why)
    else:
        summary = predict_folder(
            _to_device(model),
            settings.image_path,
            settings.output,
            **chosen,
            text=text,
            overlay=partial(draw_overlay, classes=model.info.classes) if overlays else None,
            on_image=_say_only_image if one else _say_image,
        )
    if summary["n_unreadable"] == summary["n_images"]:
        raise InputError(f"none of the {summary['n_images']} images could be used; see above.")
    _say("{n_points} points in {n_images} images, {n_unreadable} unreadable".format(**summary))
    if not (level or region):
        _say(describe_rules(rules_in_use(model.info, **chosen)))
    _say(f"points: {Path(settings.output) / 'points.csv'}")


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
            log=_say,
            radius=radius,
            output=output,
            on_image=_say_counts,
        )
    elif radius is None:
        raise InputError(
            f"{model} has no pointlib.json, so it is read as a folder of points: "
            "give --radius, the match radius in pixels."
        )
    else:
        metrics = compare_folders(folder, model, radius=radius, output=output)
    _say(metrics_table(metrics))
    _say(f"report: {output / 'report.html'}")


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
    settings = _load_config(config, told, ["train", "infer"], trust_code=trust_code, replaced=axes)
    axes.setdefault("threshold", [settings.infer.thresholding])
    compare_folder(settings.train, axes, output=output, log=_say)


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
    with _progress() as (_, show):
        report = check_folder(folder, radius=radius, every_pixel=pixels, on_image=show)
    from pointlib.check.sheet import describe_check, write_sheet

    if not inside:
        write_sheet(report, place)
    _say(describe_check(report))
    files = place / "check.json and check.png"
    _say(f"nothing written: {files} would be inside {folder}" if inside else f"files: {files}")
    return min(report.n_problems, 1) if report.images else 2


@app.command()
def annotate(
    source: Annotated[Path | None, typer.Argument(help="Folder of images, or config.json.")] = None,
    jupyter: Annotated[list[str] | None, typer.Argument(help="For JupyterLab, after --.")] = None,
    classes: Annotated[str | None, typer.Option(help="Such as seedling,weed.")] = None,
    model: Annotated[Path | None, typer.Option(help="Model folder, for suggestions.")] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Default: 8888 or the next free one.")
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open a browser or only print the address.")] = True,
):
    """Open JupyterLab with the annotator on a folder of images."""
    from pointlib.annotate.launch import launch, write_notebook
    from pointlib.annotate.texts import check_classes

    settings = _annotate_settings(source)
    names = settings.classes
    if classes is not None:
        names = list(check_classes([c.strip() for c in classes.split(",")], {}))
    if jupyter and not jupyter[0].startswith("-"):
        raise InputError(f"one folder at a time; got also {' '.join(jupyter)}.")
    notebook = write_notebook(settings.dataset_path, classes=names, model=model or settings.model)
    _say(f"{notebook} opens in JupyterLab. Ctrl+C here stops it; every click is already saved.")
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

    with _progress() as (bar, show):
        result = convert_folder(
            source,
            target,
            from_=from_,
            to=to,
            images=images,
            classes=_parse_map(renamed),
            convention=convention,
            box=box,
            link=link,
            skip=skip,
            overwrite=overwrite,
            dry_run=dry_run,
            log=bar.write,
            on_image=show,
        )
    _say(result.table() if dry_run else result.counted)
    if not dry_run and (target / "check.png").exists():
        _say(f"look at {target / 'check.png'}: the first points on their image")


@app.command()
def formats(
    markdown: Annotated[bool, typer.Option("--markdown", help="As a Markdown table.")] = False,
):
    """List the formats that convert reads and writes, and their coordinate conventions."""
    from pointlib.formats import formats_table

    _say(formats_table(markdown=markdown))


@app.command()
def version():
    """Print the version."""
    from pointlib import __version__

    _say(__version__)


def main(arguments=None):
    """Run the command line and return the exit status."""
    try:
        _prepare()
        status = app(args=arguments, standalone_mode=False, prog_name="pointlib") or 0
    except typer.Abort:
        status = STOPPED
    except InputError as error:
        print(f"pointlib: {one_line(error)}", file=sys.stderr)
        return 2
    except (Exception, SystemExit) as error:
        if type(error).__module__.split(".")[0] in ("click", "typer"):
            return _show_usage(error, sys.argv[1:] if arguments is None else arguments)
        if not (sentence := describe(error)):
            raise
        print(f"pointlib: {one_line(sentence)}", file=sys.stderr)
        return 2
    if status == STOPPED:
        print("pointlib: stopped", file=sys.stderr)
    return status


def _prepare():
    """Check that Python can run pointlib, and silence other libraries' messages."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not every terminal can show every name
            stream.reconfigure(errors="backslashreplace")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", "Glyph|constrained_layout not applied", UserWarning)
    if sys.flags.optimize > 1:
        raise InputError(
            "Python runs without docstrings, which some libraries need. Leave out -OO, or unset "
            "PYTHONOPTIMIZE."
        )
    try:
        os.getcwd()
    except FileNotFoundError as error:
        raise InputError("the working folder is gone. Change to another one.") from error


def _show_usage(error, arguments):
    """Print what is wrong with the arguments, and the arguments; return the exit status."""
    if not arguments:
        error.show()  # the whole help
        return error.exit_code
    command = error.ctx.command_path if getattr(error, "ctx", None) else "pointlib"
    message = error.format_message().rstrip(".")
    given = " ".join(["pointlib", *map(str, arguments)])
    sentence = one_line(f"{message}. Given: {given}. See {command} --help.")
    print(f"pointlib: {sentence}", file=sys.stderr)
    return error.exit_code


@contextmanager
def _progress(unit=" images"):
    """Yield a progress bar, and what moves it: called with (name, number done, number of all)."""
    from tqdm import tqdm

    with tqdm(unit=unit, leave=False, disable=None) as bar:

        def show(_, n_done, n_all):
            bar.total = n_all
            bar.update(n_done - bar.n)

        yield bar, show


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
    with _progress(" pieces") as (_, show):
        return predict_large(
            settings.model,
            settings.image_path,
            settings.output,
            **own,
            **pieces,
            trust_code=trust_code,
            on_piece=partial(show, None),
        )


def _read_region(text):
    """Return (x0, y0, x1, y1) of a text, or None."""
    if text is None:
        return None
    try:
        x0, y0, x1, y1 = map(float, text.split(","))
    except ValueError:
        raise InputError(f"--region {text!r}; expected x0,y0,x1,y1 in pixels.") from None
    return x0, y0, x1, y1


def _parse_map(texts):
    """Return {old: new} of old=new texts."""
    names = {}
    for text in texts or ():
        old, sign, new = (part.strip() for part in text.partition("="))
        if not sign or not (old or new):
            raise InputError(f"--map {text!r} names no classes; expected old=new, old= or =new.")
        names[old] = new
    return names


def _annotate_settings(source):
    """Return the annotate section of a config.json, or of defaults if a folder is named."""
    from pointlib.config import AnnotateConfig, load_config

    source = _default(source)
    if source is not None and (source.suffix != ".json" or source.is_dir()):
        return AnnotateConfig(dataset_path=str(source))
    settings = load_config(source).annotate
    if not settings.dataset_path:
        raise InputError("no folder to annotate: name one, or set annotate.dataset_path.")
    return settings


def _has_gpu():
    """Return whether there is a faster device than the CPU, which alone predicts in pieces."""
    import torch

    return torch.cuda.is_available() or torch.backends.mps.is_available()


def _to_device(model):
    """Move a model to the fastest device there is."""
    import torch

    if torch.cuda.is_available():
        return model.cuda()
    return model.to("mps") if torch.backends.mps.is_available() else model


def _load_config(config, overrides, sections, *, trust_code, replaced=()):
    """Return the Config; print which code it runs, and refuse code of a file nobody named.

    `replaced` are settings that the command line gives instead.
    """
    from pointlib.config import load_config, named_code

    path, overrides = _default(config), overrides or ()
    settings = load_config(path, overrides=overrides)
    told = {text.partition("=")[0].strip() for text in overrides}
    other = {"infer.thresholding" if name == "threshold" else f"train.{name}" for name in replaced}
    code = {key: n for key, n in named_code(settings, sections).items() if key not in other}
    unasked = [key for key in code if key not in told]
    if unasked and config is None and not trust_code:
        raise InputError(
            f"{path} is in this folder and names code of its own, {code[unasked[0]]} "
            f"({unasked[0]}). If you trust it, let it run: --trust-code, or name the file."
        )
    for key, name in code.items():
        _say(f"runs {name} ({key})")
    return settings


def _default(config):
    """Return config.json in the working folder if none is named and it exists."""
    return Path("config.json") if config is None and os.path.lexists("config.json") else config


def _say(text):
    try:
        print("\n".join(map(spell_out, str(text).split("\n"))), flush=True)
    except BrokenPipeError:  # the reader is gone, as after `| head`; the work goes on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say_image(name, n_points, error):
    if error is None:
        _say(f"{spell_out(name)}: {n_points} points")
    else:
        print(f"{spell_out(name)}: left out: {one_line(error)}", file=sys.stderr, flush=True)


def _say_only_image(name, n_points, error):
    if error:
        raise error
    _say(f"{spell_out(name)}: {n_points} points")


def _say_counts(name, n_true, n_found):
    _say(f"{spell_out(name)}: {n_true} true, {n_found} found")


if __name__ == "__main__":
    sys.exit(main())
