"""Safe TIFF: damaged or hostile files are refused before tifffile runs out of memory or time.

About endless pages, planes that are declared but missing, and strips that decompress to far too
much. Not about which pages are an image: images.py.
"""

import lzma
import math
import struct
import xml.etree.ElementTree as ET
import zlib

import tifffile

from pointlib.errors import InputError

MAX_PAGES = 10_000  # of one file
ROOM = 200_000_000  # bytes that tiles may take beyond four times their image, for small images
NEEDS_CODECS = "pip install 'pointlib[large]'"
SLACK = 4096  # bytes by which a strip may be too large
# attributes of OME-XML: tifffile makes lists of these lengths
_COUNTS = {"SizeZ", "SizeC", "SizeT", "FirstZ", "FirstC", "FirstT", "IFD"}
_COUNTS |= {"NumPlanes", "PlaneCount", "SamplesPerPixel"}
_INFLATERS = {8: zlib.decompressobj, 32946: zlib.decompressobj, 34925: lzma.LZMADecompressor}


def open_tiff(path):
    """Return a TiffFile of this file alone, with pages and series that are safe to access.

    InputError if its pages do not end, or if it declares more planes than MAX_PAGES.
    """
    # formats of several files would open any file that they name
    tiff = tifffile.TiffFile(path, _multifile=False, is_mmstack=False, is_ndtiff=False)
    try:
        _check_pages(tiff, path)
        if tiff.is_ome:
            _check_planes(tiff, path)
    except BaseException:
        tiff.close()
        raise
    return tiff


def missing_codec(path, page, error):
    """Return a sentence if an error only says that a decompressor is not installed, else ""."""
    # tifffile asks for the package, or for the standard library's of a newer Python
    if not (isinstance(error, ImportError) or "imagecodecs" in str(error)):
        return ""
    name = getattr(page.compression, "name", page.compression)
    bits = page.bitspersample * page.samplesperpixel
    return (
        f"{path} is compressed with {name} ({bits} bits a pixel), which needs imagecodecs: "
        f"{NEEDS_CODECS}. Or save it uncompressed, or with Deflate."
    )


def check_strips(page):
    """Raise EOFError or ValueError if strips or tiles cannot be what the header says.

    They must lie in the file and, compressed or not, be hardly larger than their pixels.
    """
    file = page.parent.filehandle
    chunk = math.prod(page.chunks) * (page.dtype.itemsize if page.dtype else 8)
    if chunk * len(page.dataoffsets) > 4 * page.nbytes + ROOM:
        raise ValueError(f"{len(page.dataoffsets):,} tiles of {chunk:,} bytes for so few pixels")
    most = 2 * chunk + SLACK
    for offset, size in zip(page.dataoffsets, page.databytecounts, strict=False):
        if offset + size > file.size:
            raise EOFError("truncated")
        if page.compression != 1 and size > most:
            raise ValueError(f"a strip of {size:,} bytes; expected at most {most:,}")
        if page.compression in _INFLATERS and size:
            file.seek(offset)
            inflated = _INFLATERS[page.compression]().decompress(file.read(size), most + 1)
            if len(inflated) > most:
                raise ValueError(f"a strip that decompresses to over {most:,} bytes")


def _check_pages(tiff, path):
    """Follow the chain of pages: if pages take more bytes than the file has, they form a loop."""
    file, form = tiff.filehandle, tiff.tiff
    file.seek(4 if form.offsetsize == 4 else 8)
    n_pages = n_bytes = 0
    try:
        while offset := _number(file, form.offsetformat, form.offsetsize):
            file.seek(offset)
            n_tags = _number(file, form.tagnoformat, form.tagnosize)
            n_pages += 1
            n_bytes += form.tagnosize + n_tags * form.tagsize
            if n_bytes > file.size:
                raise InputError(f"{path} is damaged: its pages loop. Copy or export it again.")
            if n_pages > MAX_PAGES:
                raise InputError(f"{path} has over {MAX_PAGES:,} pages. Save one as its own file.")
            file.seek(offset + form.tagnosize + n_tags * form.tagsize)
    except (struct.error, OSError):
        return  # truncated or out of range: tifffile decides what can be read


def _number(file, form, size):
    return struct.unpack(form, file.read(size))[0]


def _check_planes(tiff, path):
    """Check how many planes the OME-XML declares, as tifffile makes lists of them."""
    text = tiff.ome_metadata or "<none/>"
    try:
        if "<!DOCTYPE" in text:
            raise InputError(f"{path}: its OME-XML has a document type. Export it again.")
        root = ET.fromstring(text)  # noqa: S314 - without a document type it cannot grow
    except ET.ParseError:
        return  # tifffile ignores it too
    said = [n for element in root.iter() for n in _planes_of(element, tiff.pages.first.size)]
    most = max(said, default=0)
    if not most <= MAX_PAGES or len(said) > 10 * MAX_PAGES:
        raise InputError(
            f"{path} is damaged, or not a single image: it declares {most:,.0f} planes. Save one "
            "page as its own file."
        )


def _planes_of(element, page_size):
    """Yield the numbers of planes that one element of the OME-XML declares."""
    numbers = {key: _count(value) for key, value in element.attrib.items()}
    yield from (n for key, n in numbers.items() if key in _COUNTS)
    sizes = [n for key, n in numbers.items() if key.startswith("Size")]
    if sizes and element.tag.endswith("Pixels"):
        yield math.prod(sizes) / max(1, page_size)
    if {"Start", "End"} <= numbers.keys():
        start, end, step = (float(element.attrib.get(key, 1)) for key in ("Start", "End", "Step"))
        yield abs(end - start) / (abs(step) or math.inf)


def _count(text):
    """Return a text as an int, 0 if it is not one."""
    try:
        return int(text)
    except ValueError:
        return 0
