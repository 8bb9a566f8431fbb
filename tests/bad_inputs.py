"""What people give by mistake: a table of cases, each with the command that meets it.

Each case spoils one thing in a small working folder that is otherwise fine:

    config.json   trains a tiny network on dots/, predicts dots/ with model/
    dots/         dots_0.png ... dots_5.png, grey, 32 rows and 48 columns, each with its text
    model/        a model folder that was trained on dots/
    dots/points.csv   the same points as a table, in pixels

Then the command runs there. Its sentence must say what came (`came`) and what is needed or what to
do (`needed`). Not about what the tests make of it: test_bad_inputs.py.
"""

import io
import json
import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tifffile
from PIL import Image

GREY = np.full((32, 48), 90, np.uint8)
TIF, PNG, TXT = "dots/dots_9.tif", "dots/dots_0.png", "dots/dots_0.txt"
CONFIG, INFO, WEIGHTS = "config.json", "model/pointlib.json", "model/model.safetensors"


class Case(NamedTuple):
    """One thing that is wrong, and what the sentence on it must say."""

    name: str
    spoil: Callable  # called without arguments in the working folder
    command: str  # its words after `pointlib`, as in a shell
    came: str  # regular expressions
    needed: str


def nothing():
    """Spoil nothing: the command itself is wrong."""


def write(path, content):
    """Return a recipe: put text or bytes into a file."""
    data = content.encode() if isinstance(content, str) else content

    def spoil():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(data)

    return spoil


def cut(path, share):
    """Return a recipe: keep the first part of a file, as a broken copy does."""

    def spoil():
        data = Path(path).read_bytes()
        Path(path).write_bytes(data[: int(len(data) * share)])

    return spoil


def remove(*paths):
    """Return a recipe: take files and folders away."""

    def spoil():
        for path in map(Path, paths):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return spoil


def move(source, target):
    """Return a recipe: rename a file or a folder."""
    return lambda: Path(source).rename(target)


def link(target, *paths):
    """Return a recipe: links in the place of files."""

    def spoil():
        for path in map(Path, paths):
            path.unlink(missing_ok=True)
            path.symlink_to(target)

    return spoil


def pipe(path):
    """Return a recipe: a named pipe, at which a reader waits for ever."""

    def spoil():
        Path(path).unlink(missing_ok=True)
        os.mkfifo(path)

    return spoil


def folder(path):
    """Return a recipe: a folder where something else is expected."""

    def spoil():
        if Path(path).is_file():
            Path(path).unlink()
        Path(path).mkdir(parents=True)

    return spoil


def edit(path, **changes):
    """Return a recipe: change keys of a JSON file; `a__b` is b in a, and ... takes it out."""

    def spoil():
        data = json.loads(Path(path).read_text())
        for key, value in changes.items():
            *above, last = key.split("__")
            part = data
            for name in above:
                part = part[name]
            part.pop(last) if value is ... else part.update({last: value})
        Path(path).write_text(json.dumps(data))

    return spoil


def labelled(*labels):
    """Return a recipe: the points of all texts get labels, one after the other; "#" counts them."""

    def spoil():
        number = 0
        for path in sorted(Path("dots").glob("dots_*.txt")):
            lines = []
            for line in path.read_text().split():
                label = labels[number % len(labels)]
                lines.append(f"{line},{label.replace('#', str(number))}\n")
                number += 1
            path.write_text("".join(lines))

    return spoil


def swap(path, old, new):
    """Return a recipe: replace a piece of a text file."""

    def spoil():
        Path(path).write_text(Path(path).read_text().replace(old, new))

    return spoil


def picture(path, array=GREY, mode=None, **options):
    """Return a recipe: save an array as an image, in a mode of Pillow."""

    def spoil():
        Image.fromarray(array, mode).save(path, **options)

    return spoil


def tif(array, path=TIF, **options):
    """Return a recipe: save an array as TIFF, and an empty text beside it."""

    def spoil():
        tifffile.imwrite(path, array, **options)
        Path(path).with_suffix(".txt").write_text("")

    return spoil


def every_image(array):
    """Return a recipe: all images become TIFFs of this array."""

    def spoil():
        for path in sorted(Path("dots").glob("*.png")):
            tifffile.imwrite(path.with_suffix(".tif"), array)
            path.unlink()

    return spoil


def code(text):
    """Return a recipe: the user's own Python file."""
    return write("mine.py", text)


def both(*recipes):
    """Return a recipe: several, one after the other."""

    def spoil():
        for recipe in recipes:
            recipe()

    return spoil


def png_header(width, height):
    """Return a PNG that promises this size and holds no pixel."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def spreadsheet():
    """Return what a workbook is: a zip of XML files."""
    with zipfile.ZipFile(data := io.BytesIO(), "w") as file:
        file.writestr("xl/workbook.xml", "<workbook/>")
    return data.getvalue()


def animation(path, **options):
    """Return a recipe: several pictures in one file."""
    frames = [Image.fromarray(np.full((32, 48), i * 80, np.uint8)) for i in range(3)]
    return lambda: frames[0].save(path, save_all=True, append_images=frames[1:], **options)


def tensors(path, **arrays):
    """Return a recipe: a .safetensors file of arrays."""
    from safetensors.numpy import save_file

    return lambda: save_file(arrays, path)


def weights(change):
    """Return a recipe: change the model's arrays, {name: array}, in their file."""

    def spoil():
        from safetensors.numpy import load_file, save_file

        save_file(change(load_file(WEIGHTS)), WEIGHTS)

    return spoil


NAN = np.full((32, 48), np.nan, np.float32)
LOSS, HEAT = "train --set train.loss=mine.py:f", "train --set train.heatmap=mine.py:f"
NET, CHOOSE = "train --set train.model=mine.py:f", "predict --set infer.thresholding=mine.py:f"
CSV = "convert dots/points.csv new"
HEADER = "image,x,y\n"
DRAW = "import torch\n\ndef f(points, shape, *, sigma):\n    "
FIND = "import numpy as np\n\ndef f(heatmap, *, threshold, min_distance):\n    "
LEARN = "import torch\n\ndef f(logits, target):\n    "

ONE_SIZE = """
import torch


class Net(torch.nn.Conv2d):
    def forward(self, batch):
        size = tuple(batch.shape[2:])
        # as some transformers
        assert size == (224, 224), size
        return super().forward(batch)


def f(in_channels, n_classes):
    return Net(in_channels, n_classes, 1)
"""

# fmt: off
FILES = [
    Case("no config", remove(CONFIG), "train", "train.dataset_path is not set", "name the folder"),
    Case("config that is not there", nothing, "train confg.json", "confg.json does not exist", "Did you mean config.json"),
    Case("folder in place of the config", nothing, "train dots", "dots is a folder", "--set train.dataset_path=dots"),
    Case("image in place of the config", nothing, f"predict {PNG}", "dots_0.png is not", "--set infer.image_path="),
    Case("dataset of nearly that name", move("dots", "dotz"), "train", "dataset folder .*dots does not exist", "Did you mean dotz"),
    Case("dataset in a folder that is not there", nothing, "train --set train.dataset_path=a/b", "a/b does not exist", "Its folder .*/a does not exist either"),
    Case("dataset that is a file", nothing, f"train --set train.dataset_path={PNG}", "dots_0.png is a file", "expected a dataset folder"),
    Case("dataset without an image", folder("void"), "train --set train.dataset_path=void", "void holds no image", r"\.png"),
    Case("dataset of a microscope's own files", write("raw/a.czi", b"ZISRAW"), "train --set train.dataset_path=raw", "raw holds no image.*czi", r"\.png.*[Ee]xport"),
    Case("dataset above the images", both(folder("up"), move("dots", "up/dots")), "train --set train.dataset_path=up", "up holds no image", "Did you mean .*up/dots"),
    Case("home that nobody expands", nothing, "train --set train.dataset_path=~/no-such-dots", "no-such-dots does not exist", "Looked in"),
    Case("model that is not there", nothing, "predict --set infer.model=modle", "modle does not exist", "Did you mean model"),
    Case("image to predict that is not there", nothing, "predict --set infer.image_path=dots/dots_0.jpg", "dots_0.jpg does not exist", "Did you mean dots_0.png"),
    Case("device in place of an image", nothing, "predict --set infer.image_path=/dev/null", "/dev/null is neither", "image or folder"),
    Case("nothing to predict", edit(CONFIG, infer__image_path=...), "predict", "infer.image_path is not set", "name an image or a folder"),
    Case("folder without images to predict", folder("void"), "predict --set infer.image_path=void", "void holds no image", r"\.png"),
    Case("name of bytes", move(PNG, b"dots/caf\xe9.png".decode(errors="surrogateescape")), "predict", r"caf.*\.png.* is not a UTF-8 name", "Rename it"),
    Case("training on a name of bytes", move(PNG, b"dots/caf\xe9.png".decode(errors="surrogateescape")), "train", r"caf.*\.png.* is not a UTF-8 name", "Rename it"),
    Case("images that are all links to nowhere", link("/mnt/gone.png", *(f"dots/dots_{i}.png" for i in range(6))), "train", r"dots_0.png is a link to /mnt/gone.png, which is missing", "Fix it"),
    Case("home of nobody", nothing, "train --set train.dataset_path=~no-such-user/dots", "~no-such-user/dots does not exist", "Its folder"),
    Case("variable that nobody set", nothing, "predict --set infer.image_path=", "infer.image_path is ''", "expected a value"),
    Case("output of a variable that nobody set", nothing, "predict --set infer.output=", "infer.output is ''", "expected a value"),
    Case("dataset of no name", edit(CONFIG, train__dataset_path=""), "train", "train.dataset_path is ''", "expected a value"),
    Case("variable that nobody expands", nothing, "train --set 'train.dataset_path=$DATA/dots'", r"\$DATA/dots does not exist", r"\$DATA does not exist either"),
    Case("star that nobody expands", nothing, "predict --set 'infer.image_path=dots/*.png'", r"dots/\*.png does not exist", "Looked in"),
    Case("config that is a link to nowhere", link("gone.json", CONFIG), "train", "config.json is a link to gone.json", "Fix it"),
    Case("pipe in place of the config", pipe(CONFIG), "train", "config.json is neither a file nor a folder", "expected a config file"),
    Case("name with a line break", both(move(PNG, "dots/a\nb.png"), write("dots/a\nb.txt", "1,x\n")), "train", r"a\\nb.txt, line 1: '1,x'", "x,y or x,y,label"),
    Case("name that a terminal obeys", write("dots/a\x1b[2Jb.png", "junk"), "predict --set 'infer.image_path=dots/a\x1b[2Jb.png'", r"a\\x1b\[2Jb.png cannot be read", "export it again"),
    Case("zero byte in a path", edit(CONFIG, train__dataset_path="do\0ts"), "train", "does not exist", "Did you mean dots"),
]

IMAGES = [
    Case("image of 0 bytes", write(PNG, b""), "train", r"dots_0.png is empty \(0 bytes\)", "Copy or export it again"),
    Case("half a PNG", cut(PNG, 0.5), "train", "dots_0.png cannot be read", "Copy or export it again"),
    Case("half a JPEG", both(picture("dots/dots_9.jpg", mode="L"), cut("dots/dots_9.jpg", 0.6)), "predict --set infer.image_path=dots/dots_9.jpg", "dots_9.jpg.* cannot be read", "Copy or export it again"),
    Case("half a TIFF", both(tif(GREY), cut(TIF, 0.5)), f"predict --set infer.image_path={TIF}", "dots_9.tif", "Copy or export it again"),
    Case("TIFF cut in its header", both(tif(GREY), cut(TIF, 0.003)), f"predict --set infer.image_path={TIF}", "dots_9.tif cannot be read", "Copy or export it again"),
    Case("TIFF cut before its later pages", both(tif(np.zeros((4, 32, 48), np.uint8), photometric="minisblack"), cut(TIF, 0.6)), "train", "dots_9.tif", "Copy or export it again|pointlib pages"),
    Case("text called .png", write(PNG, "0.5,0.5\n"), "train", "dots_0.png cannot be read as an image", "Copy or export it again"),
    Case("web page called .jpg", write("dots/dots_9.jpg", "<html>Not found</html>"), "predict --set infer.image_path=dots/dots_9.jpg", "dots_9.jpg cannot be read as an image", "Copy or export it again"),
    Case("moving GIF", both(animation("dots/dots_9.gif"), write("dots/dots_9.txt", "")), "train", "dots_9.gif has 3 frames", "Save one as its own file"),
    Case("moving WebP", animation("dots/dots_9.webp"), "predict --set infer.image_path=dots/dots_9.webp", "dots_9.webp has 3 frames", "Save one as its own file"),
    Case("moving PNG", animation("dots/dots_9.png"), "predict --set infer.image_path=dots/dots_9.png", "dots_9.png has 3 frames", "Save one as its own file"),
    Case("phone's picture called .jpg", write("dots/dots_9.jpg", b"\0\0\0\x18ftypheic" + b"\0" * 99), "predict --set infer.image_path=dots/dots_9.jpg", "dots_9.jpg cannot be read as an image", "export it again"),
    Case("TIFF of no page", write(TIF, b"II*\0\0\0\0\0"), f"predict --set infer.image_path={TIF}", "dots_9.tif cannot be read as an image", "export it again"),
    Case("TIFF whose pages go in a circle", write(TIF, b"II*\0\x08\0\0\0\0\0\x08\0\0\0"), f"predict --set infer.image_path={TIF}", "dots_9.tif is damaged: its pages loop", "export it again"),
    Case("numbers beyond 32-bit floats", every_image(np.full((32, 48), 1e300)), "train", "no finite pixel", "export it again"),
    Case("numbers without a finite one", every_image(np.full((32, 48), -np.inf, np.float32)), "train", "dots_0.tif.*no finite pixel", "export it again"),
    Case("image that is a link to nowhere", link("/mnt/gone.png", PNG), "train", "dots_0.png is a link to /mnt/gone.png", "Fix it"),
    Case("image that is a link to itself", link("dots_0.png", PNG), "train", "dots_0.png is a link to dots_0.png", "Fix it"),
    Case("pipe in place of an image", pipe(PNG), "train", "dots_0.png is neither a file nor a folder", "expected an image"),
    Case("device in place of an image of a folder", link("/dev/zero", PNG), "train", "dots_0.png is neither a file nor a folder", "expected an image"),
    Case("TIFF of several pages", tif(np.zeros((7, 32, 48), np.uint8), photometric="minisblack"), "train", "dots_9.tif has 7 pages", "pointlib pages FOLDER OUT"),
    Case("3-D stack", tif(np.zeros((5, 32, 48), np.uint16), metadata={"axes": "ZYX"}), "train", "dots_9.tif has .*ZYX", "expected YX"),
    Case("movie with time", tif(np.zeros((2, 3, 32, 48), np.uint8), metadata={"axes": "TCYX"}, imagej=True), "train", "dots_9.tif has", "expected YX"),
    Case("complex pixels", tif(np.ones((32, 48), np.complex64)), f"predict --set infer.image_path={TIF}", "dots_9.tif.* complex", "save the magnitude"),
    Case("all pixels NaN", every_image(NAN), "train", "no finite", "pixel"),
    Case("bomb", write(PNG, png_header(60_000, 60_000)), "train", "dots_0.png is 60000 x 60000", "at most 600 MB are read"),
    Case("PNG of no width", write(PNG, png_header(0, 32)), "train", "dots_0.png cannot be read", "Copy or export it again"),
    Case("PNG without pixels", write(PNG, png_header(48, 32)), "train", "dots_0.png cannot be read", "Copy or export it again"),
    Case("16 bits among 8", picture(PNG, GREY.astype(np.uint16) * 256), "train", "mix uint16 and uint8", "convert them to one"),
    Case("16 bits to a model of 8", picture("deep.png", GREY.astype(np.uint16) * 256), "predict --set infer.image_path=deep.png", "image is uint16.* uint8", "Convert the image"),
    Case("five channels among one", tif(np.zeros((32, 48, 5), np.uint8), planarconfig="contig"), "train", "dots_9.tif: image has 5 channels", "num_channels"),
    Case("five channels to a model of one", tif(np.zeros((32, 48, 5), np.uint8), planarconfig="contig"), f"predict --set infer.image_path={TIF}", "image has 5 channels", "expected 1"),
    Case("two images of one stem", picture("dots/dots_0.bmp"), "train", "dots_0.bmp and dots_0.png would share dots_0.txt", "Rename one"),
    Case("two images of one stem and --text", picture("dots/dots_0.bmp"), "predict --text", "dots_0.* would share one text", "[Rr]ename one"),
    Case("no image that can be read", both(*(write(f"dots/dots_{i}.png", b"") for i in range(6))), "predict", "none of the 6 images", "see above"),
    Case("image file that is a link to nowhere", both(remove(PNG), lambda: Path(PNG).symlink_to("gone.png")), f"predict --set infer.image_path={PNG}", "dots_0.png", "link to .*gone.png"),
]

TEXTS = [
    Case("numbers above 1", write(TXT, "0.2,1.5\n"), "train", "dots_0.txt, line 1: '0.2,1.5' lies outside", "0 to 1"),
    Case("negative numbers", write(TXT, "-0.2,0.5\n"), "train", "dots_0.txt, line 1: '-0.2,0.5' lies outside", "0 to 1"),
    Case("pixels for fractions", write(TXT, "0.1,0.1\n31,12\n"), "train", "dots_0.txt, line 2: '31,12'", "For pixels use convert"),
    Case("nan", write(TXT, "nan,0.5\n"), "train", "dots_0.txt, line 1: 'nan,0.5'", "x,y"),
    Case("inf", write(TXT, "0.5,inf\n"), "train", "dots_0.txt, line 1: '0.5,inf'", "x,y"),
    Case("YOLO boxes", write(TXT, "0 0.5 0.5 0.1 0.1\n"), "train", "dots_0.txt, line 1.* YOLO", "convert"),
    Case("YOLO boxes with commas", write(TXT, "0,0.5,0.5,0.1,0.1\n"), "train", "dots_0.txt, line 1.* YOLO", "convert"),
    Case("semicolons", write(TXT, "0.5;0.5\n"), "train", "dots_0.txt, line 1: '0.5;0.5'", "x,y or x,y,label"),
    Case("blanks", write(TXT, "0.5 0.5\n"), "train", "dots_0.txt, line 1: '0.5 0.5'", "x,y or x,y,label"),
    Case("decimal commas", write(TXT, "0,5;0,25\n"), "train", "dots_0.txt, line 1: '0,5;0,25'", "x,y or x,y,label"),
    Case("decimal commas, comma between", write(TXT, "0,5,0,25\n"), "train", "dots_0.txt, line 1: '0,5,0,25'", "x,y or x,y,label"),
    Case("UTF-16", write(TXT, "0.5,0.5\n".encode("utf-16")), "train", "dots_0.txt is not UTF-8", "[Ss]ave it as UTF-8"),
    Case("zero bytes", write(TXT, b"\0" * 40), "train", "dots_0.txt, line 1", "x,y or x,y,label"),
    Case("header", write(TXT, "x,y\n0.5,0.5\n"), "train", "dots_0.txt, line 1: 'x,y'", "x,y or x,y,label: fractions"),
    Case("four columns", write(TXT, "0.5,0.5,cell,0.9\n"), "train", "dots_0.txt, line 1: '0.5,0.5,cell,0.9'", "without a comma"),
    Case("label first", write(TXT, "cell,0.5,0.5\n"), "train", "dots_0.txt, line 1.* label first", "expected x,y,label"),
    Case("one number", write(TXT, "0.5\n"), "train", "dots_0.txt, line 1: '0.5'", "x,y or x,y,label"),
    Case("line of a megabyte", write(TXT, "a" * 1_000_000), "train", "dots_0.txt, line 1: 'aaa", "x,y or x,y,label"),
    Case("number beyond all bounds", write(TXT, "1e400,0.5\n"), "train", "dots_0.txt, line 1: '1e400,0.5' lies outside", "0 to 1"),
    Case("hexadecimal numbers", write(TXT, "0x1p-1,0.5\n"), "train", "dots_0.txt, line 1: '0x1p-1,0.5'", "x,y or x,y,label"),
    Case("other digits", write(TXT, "\u0660.\u0665,0.5\n"), "train", r"dots_0.txt, line 1: '.\..,0.5'", "x,y or x,y,label"),
    Case("two files joined", write(TXT, "0.5,0.5\n\ufeff0.2,0.2\n"), "train", r"dots_0.txt, line 2: '\\ufeff0.2", "x,y or x,y,label"),
    Case("percent", write(TXT, "50%,50%\n"), "train", "dots_0.txt, line 1: '50%,50%'", "fractions 0 to 1"),
    Case("numbers in quotes", write(TXT, '"0.5","0.5"\n'), "train", """dots_0.txt, line 1: '"0.5","0.5"'""", "x,y or x,y,label"),
    Case("tabs", write(TXT, "0.5\t0.5\n"), "train", r"dots_0.txt, line 1: '0.5\\t0.5'", "x,y or x,y,label"),
    Case("remark in a text", write(TXT, "# mine\n0.5,0.5\n"), "train", "dots_0.txt, line 1: '# mine'", "x,y or x,y,label"),
    Case("Latin-1", write(TXT, b"0.5,0.5,caf\xe9\n"), "train", "dots_0.txt is not UTF-8", "[Ss]ave it as UTF-8"),
    Case("label that a terminal obeys", write(TXT, "0.5,0.5,\x1b[31mred\n"), "train", "dots_0.txt, line 1: .*31mred", "control character.*Rename"),
    Case("label with a zero byte", write(TXT, "0.5,0.5,ce\0ll\n"), "train", "dots_0.txt, line 1: .*ce", "control character.*Rename"),
    Case("label without end", write(TXT, f"0.5,0.5,{'cell' * 999}\n"), "train", "dots_0.txt, line 1: .*cell", "over 200 characters.*Rename"),
    Case("scores for labels", labelled("0.#"), "train", "dots has 30 classes, such as '0.0', for 30 points", "not a score"),
    Case("text that is a link to nowhere", link("/mnt/gone.txt", TXT), "train", "dots_0.txt is a link to /mnt/gone.txt", "Fix it"),
    Case("text that is a link to itself", link("dots_0.txt", TXT), "train", "dots_0.txt is a link to dots_0.txt", "Fix it"),
    Case("pipe in place of a text", pipe(TXT), "train", "dots_0.txt is neither a file nor a folder", "expected a text file of points"),
    Case("last comma", write(TXT, "0.5,0.5,\n"), "train", "dots_0.txt, line 1.* empty label", "Remove the last comma"),
    Case("some named, some not", write(TXT, "0.5,0.5,cell\n0.1,0.1\n"), "train", "dots_0.txt, line 2.* has no label", "Label all points, or none"),
    Case("one file named, others not", write(TXT, "0.5,0.5,cell\n"), "train", "cell.*without a class", "[Nn]ame all"),
    Case("JSON in a text", write(TXT, '{"points": [[0.5, 0.5]]}'), "train", "dots_0.txt, line 1", "x,y or x,y,label"),
    Case("image called .txt", both(picture("dots/x.png"), move("dots/x.png", "dots/dots_1.txt")), "train", "dots_1.txt is not UTF-8", "Save it as UTF-8"),
    Case("folder in place of a text", folder(TXT), "train", "dots_0.txt is a folder", "text file of points"),
    Case("no text at all", lambda: [path.unlink() for path in Path("dots").glob("*.txt")], "train", "none of the 6 images in .*dots is labelled", "Annotate first"),
    Case("texts in capitals", lambda: [path.rename(path.with_suffix(".TXT")) for path in Path("dots").glob("*.txt")], "train", "dots_0.TXT ends in .TXT, expected .txt", "Rename it"),
    Case("texts in a folder of their own", both(folder("dots/labels"), lambda: [path.rename(f"dots/labels/{path.name}") for path in Path("dots").glob("*.txt")]), "train", "none of the 6 images .* is labelled", "Found .*labels/dots_0.txt: text files belong beside"),
    Case("only empty texts", lambda: [path.write_text("") for path in Path("dots").glob("*.txt")], "train", "none of the 5 training images has a point", "Annotate some"),
    Case("list naming an image that is not there", write("dots/train.txt", "dots_1.png\ndots_7.png\n"), "train", "dots_7.png is listed", "Did you mean 'dots_"),
    Case("list naming an unlabelled image", both(remove(TXT), write("dots/val.txt", "dots_0.png\n")), "train", "dots_0.png is listed but has no text", "dots_0.txt"),
    Case("list of absolute paths", write("dots/train.txt", "/home/me/dots_1.png\n"), "train", "/home/me/dots_1.png is listed", "Did you mean 'dots_1.png'"),
    Case("list with backslashes", write("dots/train.txt", "images\\dots_1.png\n"), "train", r"images.dots_1.png is listed", "Did you mean 'dots_1.png'"),
    Case("list without suffixes", write("dots/train.txt", "dots_1\n"), "train", "dots_1 is listed", "Did you mean 'dots_1.png'"),
    Case("one image in two lists", both(write("dots/train.txt", "dots_1.png\ndots_2.png\n"), write("dots/test.txt", "dots_1.png\n")), "train", "dots_1.png is in train.txt and test.txt", "one"),
    Case("list with remarks", write("dots/train.txt", "# mine\ndots_1.png\n"), "train", "# mine is listed", "Known: dots_0.png"),
    Case("list in capitals", write("dots/train.txt", "DOTS_1.PNG\n"), "train", "DOTS_1.PNG is listed", "Did you mean 'dots_1.png'"),
    Case("list in one line", write("dots/train.txt", "dots_1.png,dots_2.png\n"), "train", "dots_1.png,dots_2.png is listed", "Did you mean 'dots_"),
    Case("list in UTF-16", write("dots/test.txt", "dots_1.png\n".encode("utf-16")), "train", "test.txt is not UTF-8", "[Ss]ave it as UTF-8"),
    Case("list that is a folder", folder("dots/val.txt"), "train", "val.txt is a folder", "expected a list"),
    Case("list that is a link to nowhere", link("/mnt/gone.txt", "dots/test.txt"), "train", "test.txt is a link to /mnt/gone.txt", "Fix it"),
    Case("list called in capitals", write("dots/Test.txt", "dots_1.png\n"), "train", "dots/Test.txt is not read", "in lower case. Move or rename it"),
    Case("list among the images", both(folder("set"), move("dots", "set/images"), write("set/images/test.txt", "dots_1.png\n")), "train --set train.dataset_path=set", "images/test.txt is not read", "belong beside images/"),
    Case("list above the images that are named", both(folder("set"), move("dots", "set/images"), write("set/test.txt", "dots_1.png\n")), "train --set train.dataset_path=set/images", "set/test.txt is not read if images/ is named", "Name the folder above it: "),
    Case("empty list", write("dots/val.txt", "\n"), "train", "val.txt is empty", "one file name a line"),
    Case("list of bytes", write("dots/val.txt", b"\xff\xfe\x00"), "train", "val.txt is not UTF-8", "[Ss]ave it as UTF-8"),
    Case("all images in the test list", write("dots/test.txt", "".join(f"dots_{i}.png\n" for i in range(6))), "train", "test.txt of .*dots names every labelled image", "none is left to train"),
    Case("val list of all images", write("dots/val.txt", "".join(f"dots_{i}.png\n" for i in range(6))), "train", "val.txt of .*dots no image is left to train", "Name fewer"),
]

CONFIGS = [
    Case("config of 0 bytes", write(CONFIG, ""), "train", "config.json.* not JSON", "line 1"),
    Case("comma after the last key", write(CONFIG, '{"train": {"num_epochs": 3,}}'), "train", "config.json, line 1", "comma"),
    Case("remarks in the config", write(CONFIG, '{\n// mine\n"train": {}}'), "train", "config.json, line 2", "double quotes"),
    Case("list at the top", write(CONFIG, "[1, 2]"), "train", "config.json is a list", "expected .*train"),
    Case("YAML", write(CONFIG, "train:\n  num_epochs: 3\n"), "train", "config.json, line 1: not JSON", ""),
    Case("deep nest", write(CONFIG, "[" * 100_000), "train", "config.json", "JSON"),
    Case("endless number", write(CONFIG, '{"train": {"seed": ' + "9" * 5000 + "}}"), "train", "config.json", "JSON"),
    Case("config in UTF-16", write(CONFIG, '{"train": {}}'.encode("utf-16")), "train", "config.json is not UTF-8", "Save it as UTF-8"),
    Case("config in Python", write(CONFIG, '{"train": {"augment": True}}'), "train", "config.json, line 1: not JSON", "JSON has no comments"),
    Case("config without sections", write(CONFIG, '{"num_epochs": 1}'), "train", "unknown key 'num_epochs'", "Known: train, infer, annotate"),
    Case("section in a section", write(CONFIG, '{"train": {"train": {}}}'), "train", "unknown key 'train.train'", "Known: dataset_path"),
    Case("section that is null", write(CONFIG, '{"train": null}'), "train --set train.num_epochs=1", "section 'train' is a NoneType", "expected keys and values"),
    Case("true for a number", edit(CONFIG, train__num_epochs=True), "train", "train.num_epochs is True", "expected null or a whole number"),
    Case("true for a rate", edit(CONFIG, train__learning_rate=True), "train", "train.learning_rate is True", "expected a number above 0"),
    Case("true for a sigma", edit(CONFIG, train__gaussian_sigma=True), "train", "train.gaussian_sigma is True", "expected 'auto' or a number"),
    Case("list of images", edit(CONFIG, infer__image_path=["a.png", "b.png"]), "predict", "infer.image_path is ", "expected null or a string"),
    Case("weights of no name", edit(CONFIG, train__encoder_weights=""), "train", "train.encoder_weights is ''", "leave the key out"),
    Case("precision that nobody has", edit(CONFIG, train__precision=16), "train", "train.precision is 16", "'auto', '32' or 'bf16'"),
    Case("radius as a fraction", edit(CONFIG, train__radius=0.05), "train", "train.radius is 0.05", "at least 0.1"),
    Case("radius longer than the images", edit(CONFIG, train__radius=5000), "train", "radius is 5000 px, and no image is over 48 px long", "half the size of the objects"),
    Case("sigma that leaves no hill", edit(CONFIG, train__gaussian_sigma=0.05), "train", "sigma 0.05 px no higher than 0.000", "larger train.gaussian_sigma"),
    Case("scale that leaves no hill", edit(CONFIG, train__gaussian_sigma=3, train__scale=0.01), "train", "sigma 0.03 px no higher than 0.000", "larger train.gaussian_sigma or train.scale"),
    Case("scale that leaves no image", edit(CONFIG, train__scale=1e-6), "train", "train.scale is 1e-06", "at least 0.01"),
    Case("encoder on the network", nothing, "train --set train.encoder=tu-hf-hub:timm/resnet18", "encoder depth 'timm/resnet18'", "whole number"),
    Case("class that a terminal obeys", edit(CONFIG, train__classes=["\x1b[31mred"]), "train", "train.classes is", "control character"),
    Case("--set of a number without end", nothing, f"train --set train.seed={'9' * 5000}", "train.seed is '999", "expected a whole number"),
    Case("--set of a deep nest", nothing, f"train --set train.seed={'[' * 20_000}", r"train.seed is '\[", "expected .*a whole number"),
    Case("--set of a whole section", nothing, "train --set 'train={}'", "--set 'train={}'", "expected section.key=value"),
    Case("one key twice", write(CONFIG, '{"train": {"seed": 1, "seed": 2}}'), "train", "config.json.*'seed' twice", "one"),
    Case("unknown section", edit(CONFIG, trian={}), "train", "unknown key 'trian'", "Did you mean 'train'"),
    Case("unknown key", edit(CONFIG, train__num_epoch=3), "train", "unknown key 'train.num_epoch'", "Did you mean 'num_epochs'"),
    Case("section that is a number", edit(CONFIG, train=5), "train", "train is 5", "expected"),
    Case("words for a number", edit(CONFIG, train__num_epochs="many"), "train", "train.num_epochs is 'many'", "expected .*a whole number"),
    Case("half an epoch", edit(CONFIG, train__num_epochs=2.5), "train", "train.num_epochs is 2.5", "a whole number"),
    Case("negative rate", edit(CONFIG, train__learning_rate=-1), "train", "train.learning_rate is -1", "above 0"),
    Case("batch of none", edit(CONFIG, train__batch_size=0), "train", "train.batch_size is 0", "at least 1"),
    Case("rate NaN", edit(CONFIG, train__learning_rate=float("nan")), "train", "train.learning_rate is nan", "finite number above 0"),
    Case("endless sigma", edit(CONFIG, train__gaussian_sigma=float("inf")), "train", "train.gaussian_sigma is inf", "finite number above 0 and at most 256"),
    Case("huge number", edit(CONFIG, train__crop_size=10**9), "train", "train.crop_size is 1000000000", "at most"),
    Case("huge batch", edit(CONFIG, train__batch_size=10**30), "train", "train.batch_size is 10000", "at most"),
    Case("huge seed", edit(CONFIG, train__seed=2**80), "train", "train.seed is", "below 4,294,967,296"),
    Case("huge sigma", edit(CONFIG, train__gaussian_sigma=1e9), "train", "train.gaussian_sigma is", "at most"),
    Case("no validation", edit(CONFIG, train__val_split=0), "train", "train.val_split is 0", "above 0"),
    Case("all validation", edit(CONFIG, train__val_split=1.0), "train", "train.val_split is 1.0", "below 1"),
    Case("percent for a share", edit(CONFIG, train__val_split=20), "train", "train.val_split is 20", "below 1"),
    Case("sigma 0", edit(CONFIG, train__gaussian_sigma=0), "train", "train.gaussian_sigma is 0", "'auto' or a number above 0"),
    Case("sigma in words", edit(CONFIG, train__gaussian_sigma="big"), "train", "train.gaussian_sigma is 'big'", "'auto' or a number"),
    Case("channels that do not fit", edit(CONFIG, train__num_channels=5), "train", "dots_.*png: image has 1 channels", "expected 5"),
    Case("classes that do not fit", both(write(TXT, "0.5,0.5,cel\n"), edit(CONFIG, train__classes=["cell", "dirt"])), "train", "'cel'|no class", "Did you mean 'cell'|Name all"),
    Case("two classes where the texts name none", edit(CONFIG, train__classes=["cell", "dirt"]), "train", "points without a class|'point'", "cell"),
    Case("no classes", edit(CONFIG, train__classes=[]), "train", r"train.classes is \[\]", "at least 1"),
    Case("one class twice", edit(CONFIG, train__classes=["a", "a"]), "train", r"train.classes is \['a', 'a'\]", "once"),
    Case("class with a comma", edit(CONFIG, train__classes=["a,b"]), "train", "train.classes", "comma"),
    Case("class of half a letter", edit(CONFIG, train__classes=["\ud800"]), "train", "train.classes is", "name, in UTF-8"),
    Case("endless number of epochs", nothing, "train --set train.num_epochs=1e1000", "train.num_epochs is inf", "a whole number of at least 1"),
    Case("yes for a flag", edit(CONFIG, train__augment="maybe"), "train", "train.augment is 'maybe'", "true or false"),
    Case("unknown encoder", edit(CONFIG, train__encoder="resnet19"), "train", "encoder 'resnet19'", "Did you mean 'resnet1"),
    Case("encoder like no other", edit(CONFIG, train__encoder="zzz"), "train", "encoder 'zzz'", "Known: .* more"),
    Case("encoder of timm that is not there", edit(CONFIG, train__encoder="tu-nosuch"), "train", "tu-nosuch", "encoder"),
    Case("depth in words", edit(CONFIG, train__encoder="resnet18:deep"), "train", "encoder depth 'deep'", "whole number"),
    Case("depth 9", edit(CONFIG, train__encoder="resnet18:9"), "train", "resnet18.*9", "depth|3 to 5"),
    Case("depth 0", edit(CONFIG, train__encoder="resnet18:0"), "train", "resnet18.*0", "depth|3 to 5"),
    Case("unknown architecture", edit(CONFIG, train__architecture="Unt"), "train", "architecture 'Unt'", "Did you mean 'Unet'"),
    Case("transformer of one size", edit(CONFIG, train__architecture="DPT", train__encoder="tu-vit_tiny_patch16_224"), "train", "DPT", "train.architecture"),
    Case("batch of one for a global pool", edit(CONFIG, train__architecture="PAN", train__encoder="resnet18", train__batch_size=1), "train", "PAN", "train.batch_size"),
    Case("unknown loss", edit(CONFIG, train__loss="weighted_bse"), "train", "loss 'weighted_bse'", "Did you mean 'weighted_"),
    Case("unknown option of a loss", edit(CONFIG, train__loss_options={"wieght": 3}), "train", "'weighted_bce' with train.loss_options {'wieght': 3.0} fails", "wieght=..."),
    Case("option of a loss in words", edit(CONFIG, train__loss_options={"weight": "much"}), "train", "loss_options.weight is 'much'", "number"),
    Case("strength that is not known", edit(CONFIG, train__augment="storng"), "train", "train.augment", "strong"),
    Case("unknown heatmap", edit(CONFIG, train__heatmap="gauss"), "train", "heatmap 'gauss'", "gaussian_"),
    Case("heatmap that cannot be read back", edit(CONFIG, train__heatmap="density"), "train", "train.heatmap is density", "Use gaussian_max"),
    Case("unknown thresholding", edit(CONFIG, infer__thresholding="find_peak"), "predict", "thresholding 'find_peak'", "Did you mean 'find_peaks'"),
    Case("threshold in percent", edit(CONFIG, infer__threshold=50), "predict", "infer.threshold is 50", "at most 1"),
    Case("threshold NaN", edit(CONFIG, infer__threshold=float("nan")), "predict", "infer.threshold is nan", "finite number of at least 0"),
    Case("negative distance", edit(CONFIG, infer__min_distance=-2), "predict", "infer.min_distance is -2", "at least 0"),
    Case("weights file that is not there", edit(CONFIG, train__encoder_weights="w.safetensors"), "train", "encoder weights file .*w.safetensors does not exist", "Looked in"),
    Case("weights file that is none", both(write("w.safetensors", b"junk" * 9), edit(CONFIG, train__encoder_weights="w.safetensors")), "train", "w.safetensors does not fit|is no", "encoder|safetensors"),
    Case("weights of another encoder", both(tensors("w.safetensors", a=np.zeros(3, np.float32)), edit(CONFIG, train__encoder_weights="w.safetensors")), "train", "w.safetensors lacks", "this encoder"),
    Case("weights of a name that nobody has", edit(CONFIG, train__encoder_weights="imagnet"), "train", "imagnet", "imagenet|null"),
    Case("pickled weights", both(write("w.pth", b"\x80\x02}q\0."), edit(CONFIG, train__encoder_weights="w.pth")), "train", "w.pth may run code", "expected a .safetensors file"),
    Case("output that is a file", edit(CONFIG, train__output="dots/points.csv"), "train", "points.csv is a file", "another"),
    Case("output in a file", edit(CONFIG, train__output="dots/points.csv/model"), "train", "points.csv is a file", "another"),
    Case("output that holds something else", both(write("papers/a.txt", "mine"), edit(CONFIG, train__output="papers")), "train", "papers contains something that is not a model", "name another"),
    Case("output onto the images", edit(CONFIG, train__output="dots"), "train", "dots contains something that is not a model", "name another"),
    Case("predictions into a file", edit(CONFIG, infer__output="dots/points.csv"), "predict", "points.csv is a file", "another"),
    Case("report into a file", nothing, "evaluate model dots --output config.json", "config.json is a file", "another"),
    Case("name that is too long", edit(CONFIG, infer__output="a" * 300), "predict", "a{20}", "[Ss]horter"),
    Case("accelerator that is not here", edit(CONFIG, train__accelerator="tpu"), "train", "accelerator 'tpu'", "train.accelerator=auto or cpu"),
    Case("accelerator that nobody has", edit(CONFIG, train__accelerator="warp"), "train", "accelerator 'warp'", "train.accelerator=auto or cpu"),
    Case("99 devices", edit(CONFIG, train__devices=99, train__accelerator="cpu"), "train", "99 device", "train.threads|train.devices"),
    Case("--set without a value", nothing, "train --set train.num_epochs", "--set 'train.num_epochs'", "expected section.key=value"),
    Case("--set without a section", nothing, "train --set num_epochs=5", "--set 'num_epochs=5'", "expected section.key=value"),
    Case("--set of a section that nobody knows", nothing, "train --set trian.num_epochs=5", "unknown key 'trian'", "Did you mean 'train'"),
]

CODE = [
    Case("no such file of code", nothing, LOSS, "mine.py does not exist", "Looked in"),
    Case("no such function", code("g = 1"), LOSS, "no function f", "Known|Did you mean"),
    Case("code that is not Python", code("def f(:\n"), LOSS, "mine.py, line 1.*SyntaxError", "Fix this code"),
    Case("code that fails when it is read", code("import nosuchmodule"), LOSS, "mine.py, line 1.*nosuchmodule", "Fix this code|install"),
    Case("package that is not installed", nothing, "train --set train.loss=nosuch.module:f", "nosuch", "imported|install"),
    Case("colon without a module", nothing, "train --set train.loss=:f", "':f'", "package.module:function"),
    Case("function that is a number", code("f = 3"), LOSS, "no function f", ""),
    Case("loss that raises", code("def f(logits, target):\n    return 1 / 0"), LOSS, "mine.py, line 2.*ZeroDivisionError", "Fix this code"),
    Case("loss of one argument", code("def f(logits):\n    return logits.mean()"), LOSS, "mine.py.*TypeError|f\\(\\) takes 1", "logits, target"),
    Case("loss that is a number", code("def f(logits, target):\n    return 0.5"), LOSS, "mine.py:f.* float", "scalar|tensor"),
    Case("loss a pixel", code("def f(logits, target):\n    return logits - target"), LOSS, r"mine.py:f.*shape", "scalar|one number|mean"),
    Case("loss NaN", code("def f(logits, target):\n    return logits.mean() * float('nan')"), LOSS, "loss (became|is) nan", "train.learning_rate|log"),
    Case("heatmap that raises", code("def f(points, shape, *, sigma):\n    raise RuntimeError('no')"), HEAT, "mine.py, line 2.*RuntimeError: no", "Fix this code"),
    Case("heatmap of another shape", code("import torch\n\ndef f(points, shape, *, sigma):\n    return torch.zeros(3, 3)"), HEAT, r"mine.py:f.*\(3, 3\)", r"\(H, W\)"),
    Case("heatmap of NaN", code("import torch\n\ndef f(points, shape, *, sigma):\n    return torch.full(shape, float('nan'))"), HEAT, "mine.py:f.*nan", "0 to 1"),
    Case("heatmap of None", code("def f(points, shape, *, sigma):\n    pass"), HEAT, "mine.py:f.*None", r"\(H, W\)"),
    Case("heatmap of y, x", code(DRAW + "y, x = torch.meshgrid(*map(torch.arange, shape), indexing='ij')\n    h = [torch.exp(-((x - b) ** 2 + (y - a) ** 2) / 18) for a, b in points.tolist()]\n    return torch.stack([torch.zeros(shape), *h]).amax(0)"), HEAT, "draws a point at x 25, y 9 at x 9, y 25", "swap the two"),
    Case("heatmap on its side", code(DRAW + "return torch.ones(shape[::-1])"), HEAT, r"\(40, 32\) for a shape of \(32, 40\)", r"\(H, W\)"),
    Case("heatmap of nothing", code(DRAW + "return torch.zeros(shape)"), HEAT, "draws a point .* no higher than 0.000", "draw points up to 1"),
    Case("heatmap of 255", code(DRAW + "return torch.full(shape, 255.0)"), HEAT, "returns values from 255 to 255", "0 to 1"),
    Case("heatmap in pieces", code("def f(points, shape, *, sigma):\n    yield 1"), HEAT, "mine.py:f.*generator", r"\(H, W\)"),
    Case("loss that is complex", code(LEARN + "return (logits * 1j).mean()"), LOSS, "mine.py:f.*Tensor of shape", "one number per batch"),
    Case("loss that is cut off", code(LEARN + "return logits.detach().mean()"), LOSS, "mine.py:f.*Tensor of shape", "torch can differentiate"),
    Case("loss that leaves", code("import sys\n\ndef f(logits, target):\n    sys.exit(3)"), LOSS, "mine.py, line 4 raises SystemExit: 3", "Fix this code"),
    Case("loss without end", code("def f(logits, target):\n    return f(logits, target)"), LOSS, "mine.py, line 2 raises RecursionError", "Fix this code"),
    Case("loss that is a class", nothing, "train --set train.loss=torch.nn:MSELoss", "torch.nn:MSELoss' fails", "loss_fn.logits, target"),
    Case("code of zero bytes", write("mine.py", b"\0\0"), LOSS, "mine.py raises SyntaxError", "Fix this code"),
    Case("folder in place of code", folder("mine.py"), LOSS, "mine.py is a folder", "expected a Python file"),
    Case("network without weights", code("import torch\n\ndef f(in_channels, n_classes):\n    return torch.nn.Identity()"), NET, "mine.py:f' has no weights to train", "layer of torch.nn"),
    Case("network of two outputs", code("import torch\n\nclass Net(torch.nn.Conv2d):\n    def forward(self, batch):\n        return super().forward(batch), 1\n\ndef f(in_channels, n_classes):\n    return Net(in_channels, n_classes, 1)"), NET, "mine.py:f' fails: TypeError", "must take a batch"),
    Case("thresholding of y, x", code(FIND + "found = np.argwhere(heatmap >= threshold)\n    return found.astype(float), heatmap[heatmap >= threshold]"), CHOOSE, "f finds a point at x 25, y 9 at x 9, y 25", r"return points\[:, ::-1\]"),
    Case("thresholding of y, x in a comparison", code(FIND + "found = np.argwhere(heatmap >= threshold)\n    return found.astype(float), heatmap[heatmap >= threshold]"), "compare --threshold find_peaks,mine.py:f", "f finds a point at x 25, y 9 at x 9, y 25", r"return points\[:, ::-1\]"),
    Case("thresholding outside the image", code(FIND + "return np.array([[1e6, 5.0]]), np.ones(1)"), CHOOSE, "f returned something unfit.*1000000.0, 5.0.*outside", "points, scores"),
    Case("thresholding with scores that are none", code(FIND + "return np.array([[1.0, 5.0]]), np.array([np.nan])"), CHOOSE, r"f returned something unfit.*scores\[0\] is NaN", "points, scores"),
    Case("thresholding in pieces", code("def f(heatmap, *, threshold, min_distance):\n    yield 1"), CHOOSE, "f returned generator", "points, scores"),
    Case("network that raises", code("def f(in_channels, n_classes):\n    raise ValueError('oh')"), NET, "mine.py, line 2.*ValueError: oh", "Fix this code"),
    Case("network that is none", code("def f(in_channels, n_classes):\n    return 5"), NET, "mine.py:f.* int", "[Mm]odule"),
    Case("network of another size", code("import torch\n\ndef f(in_channels, n_classes):\n    return torch.nn.Conv2d(in_channels, n_classes, 3, stride=2)"), NET, "mine.py:f", r"\(B, n_classes, H, W\)|H, W"),
    Case("network of other channels", code("import torch\n\ndef f(in_channels, n_classes):\n    return torch.nn.Conv2d(7, n_classes, 3)"), NET, "mine.py:f", "channels"),
    Case("network without a function's name", code("f = 1"), "train --set train.model=mine.py", "'mine.py'|mine.py", "file.py:function"),
    Case("thresholding that raises", code("def f(heatmap, *, threshold, min_distance):\n    return [][1]"), CHOOSE, "mine.py, line 2.*IndexError", "Fix this code"),
    Case("thresholding of other columns", code("import numpy as np\n\ndef f(heatmap, *, threshold, min_distance):\n    return np.zeros((4, 3)), np.zeros(4)"), CHOOSE, r"f returned .*\(4, 3\)", r"\(N, 2\)"),
    Case("thresholding without scores", code("import numpy as np\n\ndef f(heatmap, *, threshold, min_distance):\n    return np.zeros((4, 2))"), CHOOSE, "f returned ndarray", "points, scores"),
    Case("thresholding that is another function", nothing, "predict --set infer.thresholding=math:sin", "thresholding: sin", "threshold_fn"),
    Case("loss that is another function", nothing, "train --set train.loss=math:sin", "'math:sin' fails", "loss_fn.logits, target"),
    Case("name of a module for a function", nothing, "train --set train.loss=os:path", "no function path", "Did you mean"),
    Case("module without a package", nothing, "train --set train.loss=..a:b", "'..a:b' cannot be imported", "package.module:function"),
    Case("code that leaves", code("import sys\n\nsys.exit(0)"), LOSS, "mine.py", "Fix this code"),
    Case("network of one size only", code(ONE_SIZE), NET, "mine.py, line 9 raises AssertionError", "Fix"),
]

MODELS = [
    Case("model without its description", remove(INFO), "predict", "pointlib.json does not exist", "model description"),
    Case("model without its weights", remove(WEIGHTS), "predict", "model.safetensors does not exist", "weights file"),
    Case("model without its network", remove("model/config.json"), "predict", "model/config.json does not exist", "network description"),
    Case("another schema", edit(INFO, schema=99), "predict", "pointlib.json has schema 99", "reads schema 1"),
    Case("no schema", edit(INFO, schema=...), "predict", "pointlib.json has schema None|no schema", "schema 1"),
    Case("unknown key in a model", edit(INFO, treshold=1), "predict", "unknown key 'treshold'", "Did you mean 'thresholds'"),
    Case("threshold NaN in a model", edit(INFO, thresholds={"point": float("nan")}), "predict", "pointlib.json: thresholds.point is nan", "finite number"),
    Case("description of another model", edit(INFO, classes=["a", "b"], thresholds={}, min_distances={}), "predict", "has classes 1, and pointlib.json 2", "Copy the folder again"),
    Case("channels beyond reason", edit(INFO, n_channels=10**9), "predict", "pointlib.json: n_channels is 1000000000", "at most"),
    Case("code of its own that raises", both(edit(INFO, custom="custom_model.py:f"), write("model/custom_model.py", "def f(in_channels, n_classes):\n    1 / 0")), "predict --trust-code", "custom_model.py, line 2 raises ZeroDivisionError", "Fix this code"),
    Case("description that is not JSON", write(INFO, "{"), "predict", "pointlib.json is not JSON", ""),
    Case("description that is a list", write(INFO, "[]"), "predict", "pointlib.json", "schema"),
    Case("no classes in a model", edit(INFO, classes=...), "predict", "pointlib.json.*classes", ""),
    Case("classes of a model that are a word", edit(INFO, classes="cell"), "predict", "pointlib.json: classes is 'cell'", "expected a list of strings"),
    Case("channels in words", edit(INFO, n_channels="one"), "predict", "pointlib.json: n_channels is 'one'", "expected a whole number"),
    Case("a sigma of 0", edit(INFO, sigma=0), "evaluate model dots", "pointlib.json: sigma is 0", "above 0"),
    Case("threshold in words", edit(INFO, thresholds={"point": "high"}), "predict", "pointlib.json: thresholds.*'high'", "number"),
    Case("spread of 0", edit(INFO, std=[0, 0]), "predict", "pointlib.json: std", "at least 1e-06|values for 1"),
    Case("weights of NaN", weights(lambda w: {k: v * np.float32("nan") if v.dtype == np.float32 else v for k, v in w.items()}), "predict", "has NaN or infinite numbers", "copy the folder again"),
    Case("one weight without end", weights(lambda w: w | {"segmentation_head.0.bias": np.full(1, np.inf, np.float32)}), "predict", "segmentation_head.0.bias has NaN or infinite", "copy the folder again"),
    Case("weights of whole numbers", weights(lambda w: {k: v.astype(np.int64) for k, v in w.items()}), "predict", r"is torch.int64, not torch.float32", "copy the folder again"),
    Case("weights without one", weights(lambda w: {k: v for k, v in w.items() if k != "segmentation_head.0.bias"}), "predict", "Missing key.*segmentation_head.0.bias", "copy the folder again"),
    Case("weights that promise more than any memory", write(WEIGHTS, struct.pack("<Q", 2**62) + b"{}"), "predict", "model is not a complete model", "copy the folder again"),
    Case("pipe in place of the weights", pipe(WEIGHTS), "predict", "model.safetensors is neither a file nor a folder", "expected a weights file"),
    Case("one class twice in a model", edit(INFO, classes=["a", "a"], thresholds={}, min_distances={}), "predict", r"classes are \['a', 'a'\]", "names, each once"),
    Case("class of a model with a line break", edit(INFO, classes=["a\nb"], thresholds={}, min_distances={}), "predict", "classes are", "names, each once"),
    Case("class of a model without a name", edit(INFO, classes=[""], thresholds={}, min_distances={}), "predict", "classes are", "names, each once"),
    Case("range upside down", edit(INFO, low=[255], high=[0]), "predict", r"low \(255.0,\) is above high \(0.0,\)", "Copy the folder again"),
    Case("threshold below 0", edit(INFO, thresholds={"point": -1}), "predict", "thresholds.point is -1", "at least 0"),
    Case("threshold of a model in percent", edit(INFO, thresholds={"point": 30}), "predict", "thresholds.point is 30", "at most 1"),
    Case("threshold of a class that is none", edit(INFO, thresholds={"cel": 0.5}), "predict", "thresholds or min_distances name 'cel'", "not a class"),
    Case("distance below 0", edit(INFO, min_distances={"point": -3}), "predict", "min_distances.point is -3", "at least 0"),
    Case("scale beyond reason", edit(INFO, scale=1e9), "predict", "scale is 1000000000", "at most 1"),
    Case("scale next to nothing", edit(INFO, scale=1e-9), "predict", "scale is 1e-09", "at least 0.01"),
    Case("three ranges for one channel", edit(INFO, low=[1, 2, 3]), "predict", "pointlib.json: low has 3 values for 1 channels", "Copy the folder again"),
    Case("description that is a deep nest", write(INFO, '{"schema": 1, "a": ' + "[" * 100_000), "predict", "pointlib.json is not JSON", "Copy the model folder again"),
    Case("code outside the model's folder", both(edit(INFO, custom="../evil.py:f"), write("evil.py", "1 / 0")), "predict --trust-code", "custom is '../evil.py:f'", "file in the model folder"),
    Case("code anywhere", edit(INFO, custom="/evil.py:f"), "predict --trust-code", "custom is '/evil.py:f'", "file in the model folder"),
    Case("network that is fetched", edit("model/config.json", encoder_name="tu-hf-hub:timm/resnet18.a1_in1k"), "predict", "encoder 'tu-hf-hub:timm/resnet18.a1_in1k'", "Known|Did you mean"),
    Case("network of another folder", edit("model/config.json", encoder_name="tu-local-dir:/tmp"), "predict", "encoder 'tu-local-dir:/tmp'", "Known|Did you mean"),
    Case("network with a pickled file", both(write("evil.pth", b"\x80\x02}q\0."), edit("model/config.json", encoder_name="tu-resnet18", checkpoint_path="evil.pth")), "predict", "config.json names 'checkpoint_path'", "Copy it again"),
    Case("network of an architecture that is a number", edit("model/config.json", _model_class=5), "predict", "model is not a complete model", "copy the folder again"),
    Case("half the weights", cut(WEIGHTS, 0.5), "predict", "model is not a complete model", "copy the folder again"),
    Case("weights of 0 bytes", write(WEIGHTS, b""), "predict", "model is not a complete model", "copy the folder again"),
    Case("pickled weights in a model", write(WEIGHTS, b"\x80\x02}q\x00."), "predict", "model is not a complete model", "copy the folder again"),
    Case("weights of other shapes", edit("model/config.json", decoder_channels=[64, 32, 24]), "predict", "config.json describes decoder.*safetensors has .*two models mixed", "Copy the folder again"),
    Case("network of a class that nobody knows", edit("model/config.json", _model_class="Unot"), "predict", "names the architecture 'Unot'", "Did you mean|Known"),
    Case("network without a class", edit("model/config.json", _model_class=...), "predict", "model is not a complete model.*_model_class", "copy the folder again"),
    Case("code of its own that nobody trusts", edit(INFO, custom="custom_model.py:build"), "predict", "code of its own", "--trust-code"),
    Case("code of its own that is gone", edit(INFO, custom="custom_model.py:build"), "predict --trust-code", "custom_model.py does not exist", "Looked in"),
    Case("weights file in place of the model", nothing, f"predict --set infer.model={WEIGHTS}", "model.safetensors is a file", "expected a model folder"),
    Case("images in place of the model", nothing, "predict --set infer.model=dots", "dots/pointlib.json does not exist", "model description"),
    Case("classes that the model does not know", write(TXT, "0.5,0.5,weed\n"), "evaluate model dots", "'weed'|weed", "Name all|Did you mean|Known"),
    Case("output of a model that is no folder", edit(CONFIG, infer__output=PNG), "predict", "dots_0.png is a file", "another"),
]

ARGUMENTS = [
    Case("unknown command", nothing, "tran", "No such command 'tran'", "Did you mean|Usage|--help"),
    Case("unknown option", nothing, "train --fast", "No such option", "--help"),
    Case("argument that is missing", nothing, "evaluate model", "Missing argument 'folder'", "--help"),
    Case("argument too many", nothing, "train config.json more", "unexpected extra argument", "--help"),
    Case("radius below 0", nothing, "evaluate model dots --radius -3", "--radius -3", "greater than or equal to 0.001"),
    Case("radius NaN", nothing, "evaluate model dots --radius nan", "--radius nan", "greater than"),
    Case("endless radius", nothing, "evaluate model dots --radius inf", "radius is inf", "expected a number of pixels"),
    Case("images that lie where predictions go", both(folder("x"), move("dots", "x/text")), "predict --text --set infer.image_path=x/text --set infer.output=x", "all of .*x/text is where", "name another output"),
    Case("radius in words", nothing, "evaluate model dots --radius wide", "--radius wide", "valid number"),
    Case("list that is not there", nothing, "evaluate model dots --list nosuch", "list dots/nosuch.txt does not exist", "Did you mean|Looked in"),
    Case("points against themselves", nothing, "evaluate ./dots/../dots dots --radius 3", "dots is on both sides", "Name another"),
    Case("points against a model", nothing, "evaluate dots model --radius 3", "model holds no image", "It is a model: name a folder of images"),
    Case("radius that joins all", nothing, "evaluate model dots --radius 1e6", r"radius is 1e\+06 px, and no image is over 48 px long", "half the size of the objects"),
    Case("argument of bytes", nothing, "evaluate model 'd\udcff'", r"d\\udcff does not exist", "Looked in"),
    Case("argument that a terminal obeys", nothing, "evaluate model 'd\x1b[2J'", r"d\\x1b\[2J does not exist", "Looked in"),
    Case("folder called .json to annotate", folder("x.json"), "annotate x.json", "x.json holds no image", r"\.png"),
    Case("annotate with a model without weights", remove(WEIGHTS), "annotate dots --model model", "model.safetensors does not exist", "model file"),
    Case("annotate with a class of two lines", nothing, "annotate dots --classes 'a\nb'", "classes are", "at least one name, without .*a line break"),
    Case("points without a radius", nothing, "evaluate dots dots", "has no pointlib.json", "give --radius"),
    Case("points of other images", write("other/a.txt", "0.5,0.5\n"), "evaluate other dots --radius 3", "no text file of other", "belongs to a labelled image of dots"),
    Case("images that are not there", nothing, "evaluate model dotz", "dotz does not exist", "Did you mean dots"),
    Case("annotate a folder without images", folder("void"), "annotate void", "void holds no image", r"\.png"),
    Case("annotate without a class", nothing, "annotate dots --classes ,", "classes", "at least one name"),
    Case("annotate with a model that is none", nothing, "annotate dots --model dots", "dots/pointlib.json does not exist", "model"),
    Case("annotate two folders", nothing, "annotate dots model", "one folder at a time", "model"),
    Case("port that nobody has", nothing, "annotate dots --port 99999", "--port 99999", "65535"),
]

CONVERSIONS = [
    Case("format that nobody knows", nothing, "convert dots/points.csv new --from cvs", "format 'cvs' is unknown", "Did you mean 'csv'"),
    Case("source that is not there", nothing, "convert dots/point.csv new", "point.csv does not exist", "Did you mean points.csv"),
    Case("target that exists", nothing, "convert dots/points.csv dots", "dots already exists", "Give a new name"),
    Case("target that is a link to nowhere", link("/mnt/gone", "new"), CSV, "new is a broken link", "another"),
    Case("target in a file", nothing, "convert dots/points.csv config.json/new", "config.json is a file", "another"),
    Case("table of 0 bytes", write("dots/points.csv", ""), CSV, "points.csv has no columns of positions that are known", "it has no line"),
    Case("table without x", write("dots/points.csv", "image,y\ndots_0.png,3\n"), CSV, "points.csv has no columns of positions that are known", "Its columns are 'image', 'y'.*--columns"),
    Case("table with thousands", write("dots/points.csv", "image;x;y\ndots_0.png;1.003,5;4,5\n"), CSV, "points.csv, line 2.*'1.003,5'", "expected a number, with a decimal point"),
    Case("workbook called .csv", write("dots/points.csv", spreadsheet()), CSV, "points.csv is (not|no)", "[Ss]ave|[Ee]xport"),
    Case("workbook with readable bytes", write("dots/points.csv", b"PK\x03\x04\x14\0\0\0"), CSV, "points.csv is not a text file", "Save the table as CSV"),
    Case("words for numbers", write("dots/points.csv", HEADER + "dots_0.png,left,4\n"), CSV, "points.csv, line 2.*'left'", "expected a number"),
    Case("decimal commas in a table", write("dots/points.csv", HEADER + "dots_0.png,3,5,4,5\n"), CSV, "points.csv, line 2 does not have 3 fields", "image, x, y"),
    Case("NaN in a table", write("dots/points.csv", HEADER + "dots_0.png,nan,4\n"), CSV, "points.csv, line 2.*nan", "expected a number"),
    Case("huge number in a table", write("dots/points.csv", HEADER + f"dots_0.png,{'9' * 400},4\n"), CSV, "points.csv, line 2.*9999", "expected a number"),
    Case("points outside", write("dots/points.csv", HEADER + "dots_0.png,60,4\n"), CSV, r"dots_0.png: points\[0\] is \[60.0, 4.0\], outside", "width 48"),
    Case("x and y swapped", write("dots/points.csv", HEADER + "dots_0.png,20,40\n"), CSV, "outside", "With x and y swapped all would fit"),
    Case("image of a table that is not there", write("dots/points.csv", HEADER + "dot_0.png,3,4\n"), CSV, "points.csv, line 2: image 'dot_0.png' is not in", "Did you mean 'dots_0.png'"),
    Case("one image by two names", write("dots/points.csv", HEADER + "a/dots_0.png,3,4\nb/dots_0.png,3,4\n"), CSV, "both mean dots_0.png", "Rename one"),
    Case("some classes in a table", write("dots/points.csv", "image,x,y,label\ndots_0.png,3,4,cell\ndots_0.png,4,4,\n"), CSV, "cell.*no class", "[Nn]ame all"),
    Case("field without end", write("dots/points.csv", HEADER + "a" * 200_000 + ",1,2\n"), CSV, "points.csv.*field", "quot"),
    Case("table of other sizes", both(write("dots/points.csv", HEADER), write("dots/images.csv", "image,width,height\ndots_0.png,480,320\n")), CSV, "dots_0.png is 48 x 32, .* 480 x 320", "Use the image"),
    Case("texts that do not read", write(TXT, "one,two\n"), "convert dots new --from origin", "dots_0.txt, line 1: 'one,two'", "expected x,y"),
    Case("NaN in another tool's text", write(TXT, "nan,0.5\n"), "convert dots new --from origin", "dots_0.txt, line 1: 'nan,0.5'", "expected x,y"),
    Case("folder that two formats fit", nothing, "convert dots new", "dots may be csv or txt", "Choose one: --from csv"),
    Case("file that no format fits", nothing, f"convert {CONFIG} new", "config.json is not recognised", "Name its format with --from: coco, crowd, csv"),
    Case("images of a table in another folder", both(folder("void"), move("dots/points.csv", "void/points.csv")), "convert void/points.csv new", "void has no images", r"\.png"),
    Case("no folder of images", nothing, f"{CSV} --images dotz", "folder of images dotz does not exist", "Did you mean dots"),
    Case("class that nobody has", nothing, f"{CSV} --map cell=dot", "class 'cell' is to be renamed, but is not in the source", "Its classes are"),
    Case("class renamed without a sign", nothing, f"{CSV} --map cell", "--map 'cell' names no classes", "expected old=new"),
    Case("class of a table with a comma", write("dots/points.csv", 'image,x,y,label\ndots_0.png,3,4,"a,b"\n'), CSV, "class 'a,b' has a comma.*txt cannot hold", "--map 'a,b=a b'"),
    Case("convention that nobody has", nothing, f"{CSV} --convention center", "'center' is unknown", "Did you mean 'centre'"),
    Case("convention of the kit's own texts", nothing, "convert dots new --from txt --convention centre", "txt counts from the corner", "[Ll]eave out --convention"),
    Case("box without a side", nothing, f"{CSV} --to csv --box 0", "box is 0.0", "above 0"),
    Case("links into a folder that is moved", nothing, "convert dots/points.csv dots --overwrite --link", "dots is in dots, which is moved", "Leave out --link"),
    Case("score that is none", write("dots/points.csv", "image,x,y,score\ndots_0.png,3,4,87\n"), CSV, "dots_0.png: score 87", "expected 0 to 1"),
    Case("columns that nobody knows", write("dots/points.csv", "foto links unten\ndots_0.png 3 4\n"), CSV, "points.csv has no columns of positions that are known. Its columns are 'foto', 'links', 'unten'", "Name them: --columns 'image=foto,x=links,y=unten'"),
    Case("image in place of a table", nothing, f"convert {PNG} new", "dots_0.png is (not|no)", "text|--from"),
]

BEFORE_AND_BESIDE = [
    Case("check of a folder that is not there", nothing, "check dotz", "dataset folder dotz does not exist", "Did you mean dots"),
    Case("check of one image", nothing, f"check {PNG}", "dots_0.png is a file", "expected a dataset folder"),
    Case("check that would write into the images", nothing, "check dots --output dots/report", "dots/report is inside dots", "name another"),
    Case("check with its output in a file", nothing, "check dots --output config.json", "config.json is a file", "another"),
    Case("check with a radius that joins all", nothing, "check dots --radius 1e6", "no image is over 48 px long", "half the size of the objects"),
    Case("comparison onto the images", nothing, "compare --loss mse,focal --output dots", "dots has the images, and the leaderboard is one too", "Name another"),
    Case("check with a radius below 0", nothing, "check dots --radius -1", "--radius -1", "greater than"),
    Case("comparison of one", nothing, "compare --loss mse", "one combination cannot be compared", "name two values"),
    Case("comparison of losses that nobody has", nothing, "compare --loss mse,mes", "loss 'mes'", "Did you mean 'mse'"),
    Case("comparison of keys that nobody has", nothing, "compare --vary lerning_rate=0.1,0.2", "lerning_rate", "Did you mean 'learning_rate'"),
    Case("comparison of nothing", nothing, "compare --vary learning_rate", "learning_rate is ''", "expected a value"),
    Case("comparison of words for numbers", nothing, "compare --vary learning_rate=low,high", "learning_rate is 'low'", "number"),
    Case("comparison without time", nothing, "compare --loss mse,focal --minutes 0", "--minutes 0", "greater than"),
    Case("comparison into a file", nothing, "compare --loss mse,focal --output config.json", "config.json is a file", "another"),
    Case("comparison without images", edit(CONFIG, train__dataset_path=...), "compare --loss mse,focal", "train.dataset_path is not set", "name the folder"),
    Case("comparison of thresholdings that nobody has", nothing, "compare --loss mse,focal --threshold find_peak", "'find_peak'", "Did you mean 'find_peaks'"),
    Case("config that another program cut short", cut(CONFIG, 0.5), "train", "config.json, line", "not JSON"),
]
# fmt: on

CASES = [
    *FILES,
    *IMAGES,
    *TEXTS,
    *CONFIGS,
    *CODE,
    *MODELS,
    *ARGUMENTS,
    *CONVERSIONS,
    *BEFORE_AND_BESIDE,
]
