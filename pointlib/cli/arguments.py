"""What arguments mean: which config.json, which code it may run, values written as text.

About reading arguments. Not about the commands that take them: commands.py.
"""

import os
from pathlib import Path

from pointlib.cli.say import say
from pointlib.errors import InputError


def read_settings(config, overrides, sections, *, trust_code, replaced=()):
    """Return the Config; print which code it runs, and refuse code of a file nobody named.

    `replaced` are settings that the command line gives instead.
    """
    from pointlib.config import load_config, named_code

    path, overrides = default_config(config), overrides or ()
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
        say(f"runs {name} ({key})")
    return settings


def default_config(config):
    """Return config.json in the working folder if none is named and it exists."""
    return Path("config.json") if config is None and os.path.lexists("config.json") else config


def annotate_settings(source):
    """Return the annotate section of a config.json, or of defaults if a folder is named."""
    from pointlib.config import AnnotateConfig, load_config

    source = default_config(source)
    if source is not None and (source.suffix != ".json" or source.is_dir()):
        return AnnotateConfig(dataset_path=str(source))
    settings = load_config(source).annotate
    if not settings.dataset_path:
        raise InputError("no folder to annotate: name one, or set annotate.dataset_path.")
    return settings


def parse_map(texts):
    """Return {old: new} of old=new texts."""
    names = {}
    for text in texts or ():
        old, sign, new = (part.strip() for part in text.partition("="))
        if not sign or not (old or new):
            raise InputError(f"--map {text!r} names no classes; expected old=new, old= or =new.")
        names[old] = new
    return names


def read_region(text):
    """Return (x0, y0, x1, y1) of a text, or None."""
    if text is None:
        return None
    try:
        x0, y0, x1, y1 = map(float, text.split(","))
    except ValueError:
        raise InputError(f"--region {text!r}; expected x0,y0,x1,y1 in pixels.") from None
    return x0, y0, x1, y1
