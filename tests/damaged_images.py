"""Damage images at random and read them: each ends well or in InputError, soon and in little memory.

    python tests/damaged_images.py --kind tiff --seed 0 --runs 1000
    python tests/damaged_images.py --repeat tiff/0/17 --keep somewhere

A run fails where another exception comes, where one image takes SECONDS or where it asks for more
than MEMORY. What a case does follows from its name KIND/SEED/NUMBER alone. Needs setrlimit (Linux,
macOS). Not about what is read: test_images.py says that.
"""

import argparse
import faulthandler
import io
import resource
import sys
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from pointlib.errors import InputError
from pointlib.images import image_header, read_image
from pointlib.widgets.pictures import browser_picture, thumbnail

SECONDS, MEMORY = 10, 2_000_000_000  # of one image, of CPU time
PATIENCE = 10  # so many times that on a busy machine: then it hangs
HEAD = 400  # bytes: half of all damage is done there
VALUES = [0, 1, 2, 7, 8, 255, 256, 65_535, 2**24, 2**31 - 1, 2**31, 2**32 - 1]


def make_picture(shape, dtype=np.uint8):
    """Return an image that does not compress to nothing."""
    rng = np.random.default_rng(len(shape))
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype)


def by_pillow(name, shape, dtype=np.uint8, **options):
    """Return the bytes of a file that Pillow writes."""
    file = io.BytesIO()
    Image.fromarray(make_picture(shape, dtype)).save(file, name, **options)
    return file.getvalue()


def by_tifffile(shape, dtype=np.uint16, **options):
    """Return the bytes of a file that tifffile writes."""
    file = io.BytesIO()
    tifffile.imwrite(file, make_picture(shape, dtype), **options)
    return file.getvalue()


def pages():
    """Return a TIFF with a preview of its own."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as tiff:
        tiff.write(make_picture((24, 32, 3)), photometric="rgb", metadata=None)
        tiff.write(make_picture((12, 16, 3)), photometric="rgb", subfiletype=1, metadata=None)
    return file.getvalue()


KINDS = {  # name: suffix, what a program wrote
    "bmp": (".bmp", lambda: by_pillow("BMP", (24, 32, 3))),
    "gif": (".gif", lambda: by_pillow("GIF", (24, 32))),
    "jpeg": (".jpg", lambda: by_pillow("JPEG", (24, 32, 3))),
    "progressive": (".jpg", lambda: by_pillow("JPEG", (24, 32, 3), progressive=True)),
    "pgm": (".pgm", lambda: by_pillow("PPM", (24, 32))),
    "ppm": (".ppm", lambda: by_pillow("PPM", (24, 32, 3))),
    "png": (".png", lambda: by_pillow("PNG", (24, 32, 3))),
    "png16": (".png", lambda: by_pillow("PNG", (24, 32), np.uint16)),
    "webp": (".webp", lambda: by_pillow("WEBP", (24, 32, 3))),
    "lossless": (".webp", lambda: by_pillow("WEBP", (24, 32, 3), lossless=True)),
    "tiff": (".tif", lambda: by_tifffile((24, 32))),
    "rgb": (".tif", lambda: by_tifffile((24, 32, 3), np.uint8, photometric="rgb")),
    "deflate": (".tif", lambda: by_tifffile((24, 32), compression="zlib", rowsperstrip=5)),
    "tiles": (".tif", lambda: by_tifffile((40, 48), compression="zlib", tile=(16, 16))),
    "lzw": (".tif", lambda: by_pillow("TIFF", (24, 32, 3), compression="tiff_lzw")),
    "bigtiff": (".tif", lambda: by_tifffile((24, 32), bigtiff=True, byteorder=">")),
    "ome": (".ome.tif", lambda: by_tifffile((3, 24, 32), ome=True, metadata={"axes": "CYX"})),
    "imagej": (".tif", lambda: by_tifffile((3, 24, 32), imagej=True, metadata={"axes": "CYX"})),
    "shaped": (".tif", lambda: by_tifffile((5, 24, 32), metadata={"axes": "CYX"})),
    "pages": (".tif", pages),
}


def flip_bit(data, at, _size, rng):
    """Change one bit."""
    data[at] ^= 1 << int(rng.integers(8))


def set_byte(data, at, _size, rng):
    """Put one byte in the place of another."""
    data[at] = int(rng.choice([0, 1, 127, 255, int(rng.integers(256))]))


def set_number(data, at, _size, rng):
    """Put a number of four bytes in: a large one, the length, its own place."""
    order = "little" if rng.random() < 0.7 else "big"
    data[at : at + 4] = int(rng.choice([*VALUES, len(data), at])).to_bytes(4, order)


def set_digit(data, _at, _size, rng):
    """Change a number that is written in digits."""
    if places := [i for i, byte in enumerate(data) if 48 <= byte <= 57]:
        at = int(rng.choice(places))
        data[at : at + 1] = rng.choice([b"0", b"9", b"-1", b"99999999", b"1e9"])


def blank(data, at, size, _rng):
    """Put zeros in the place of a piece."""
    data[at : at + size] = bytes(len(data[at : at + size]))


def copy_piece(data, at, size, rng):
    """Put another piece in the place of one."""
    start = int(rng.integers(len(data)))
    data[at : at + size] = data[start : start + size]


def insert(data, at, size, rng):
    """Put noise between."""
    data[at:at] = bytes(rng.integers(0, 256, size, np.uint8))


def cut(data, at, _size, rng):
    """Take the end away, now and then."""
    if rng.random() < 0.3:
        del data[max(at, 1) :]


FAULTS = (flip_bit, set_byte, set_number, set_digit, blank, copy_piece, insert, cut)


def damage(data, rng):
    """Return bytes with one fault or a few, half of them near the beginning."""
    data = bytearray(data)
    for _ in range(1 + int(rng.exponential())):
        end = min(HEAD, len(data)) if rng.random() < 0.5 else len(data)
        at, size = int(rng.integers(end)), int(2 ** rng.uniform(0, 8))
        FAULTS[rng.integers(len(FAULTS))](data, at, size, rng)
    return mend_checksums(data) if rng.random() < 0.5 else bytes(data)


def mend_checksums(data):
    """Return a PNG whose chunks have the checksums that they need, other bytes as they are."""
    if data[:4] != b"\x89PNG":
        return bytes(data)
    out, at = bytes(data[:8]), 8
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4])
        chunk = bytes(data[at + 4 : at + 8 + size])
        out += bytes(data[at : at + 4]) + chunk + zlib.crc32(chunk).to_bytes(4)
        at += 12 + size
    return out


def make_case(name):
    """Return the bytes of a case KIND/SEED/NUMBER."""
    kind, seed, number = name.split("/")
    rng = np.random.default_rng([int(seed), int(number), *kind.encode()])
    return damage(KINDS[kind][1](), rng)


def run_case(path):
    """Read a file in every way there is; returns the InputError that came, or ""."""
    words = ""
    for read in (image_header, read_image, thumbnail, browser_picture):
        try:
            read(path)
        except InputError as error:
            words = str(error)
            if "MemoryError" in words:
                raise
    return words


def limit_memory():
    """Let this process have so much more than it has now."""
    with open("/proc/self/statm", encoding="ascii") as file:
        has = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (has + MEMORY, has + MEMORY))


def run(names, folder):
    """Run cases one after the other; print how many were read, and how many refused."""
    n_refused = 0
    suffix, write = KINDS[names[0].partition("/")[0]]
    path = Path(folder) / f"case{suffix}"
    path.write_bytes(write())
    assert not run_case(path), "the whole file is refused"
    for name in names:
        path.write_bytes(make_case(name))
        print(name, file=sys.stderr, flush=True)  # the last line names the one that ended it all
        began = time.process_time()
        faulthandler.dump_traceback_later(PATIENCE * SECONDS, exit=True)
        n_refused += bool(run_case(path))
        faulthandler.cancel_dump_traceback_later()
        assert time.process_time() - began < SECONDS, f"{name} took too long"
    print(f"{len(names) - n_refused} read, {n_refused} refused")


def main():
    """Read what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kind", choices=KINDS, default="tiff")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--repeat", metavar="KIND/SEED/NUMBER")
    parser.add_argument("--keep", type=Path, help="folder for the files; else a temporary one")
    told = parser.parse_args()
    names = [f"{told.kind}/{told.seed}/{number}" for number in range(told.runs)]
    if sys.platform == "linux":
        limit_memory()
    with tempfile.TemporaryDirectory() as folder:
        run([told.repeat] if told.repeat else names, told.keep or folder)


if __name__ == "__main__":
    main()
