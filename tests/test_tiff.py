"""TIFFs that are damaged or made to do harm: each ends in a sentence, none takes its time."""

import io
import lzma
import struct
import sys
import zlib

import numpy as np
import pytest
import tifffile

from pointlib.errors import InputError
from pointlib.images import image_shape, read_image
from pointlib.tiff import MAX_PAGES

IMAGE = np.arange(24 * 32, dtype=np.uint16).reshape(24, 32)


def write_tiff(path, image=IMAGE, **options):
    """Write a TIFF and return its path."""
    tifffile.imwrite(path, image, **options)
    return path


def chain(n_pages, *, back_to=None, n_tags=0):
    """Return a TIFF of pages without an image, the last one leading back to another, or nowhere."""
    size = 2 + 12 * n_tags + 4
    data = b"II*\0" + struct.pack("<I", 8)
    for page in range(n_pages):
        following = page + 1 if page + 1 < n_pages else back_to
        offset = 0 if following is None else 8 + size * following
        tags = struct.pack("<HHII", 256, 4, 1, 5) * n_tags
        data += struct.pack("<H", n_tags) + tags + struct.pack("<I", offset)
    return data


def ome(**attributes):
    """Return the OME-XML of one plane, with attributes in the place of its own."""
    own = {"DimensionOrder": "XYCZT", "Type": "uint16", "SizeX": 32, "SizeY": 24}
    own |= {"SizeC": 1, "SizeZ": 1, "SizeT": 1} | attributes
    words = " ".join(f'{key}="{value}"' for key, value in own.items())
    return f"<OME><Image><Pixels {words}>{{}}</Pixels></Image></OME>"


@pytest.mark.parametrize(
    ("n_pages", "back_to", "n_tags"), [(1, 0, 0), (1, 0, 9), (3, 1, 0), (500, 200, 2), (150, 0, 0)]
)
def test_pages_that_go_in_a_circle_are_refused(tmp_path, n_pages, back_to, n_tags):
    """However long the circle is, and wherever it begins."""
    (tmp_path / "a.tif").write_bytes(chain(n_pages, back_to=back_to, n_tags=n_tags))
    for look in (read_image, image_shape):
        with pytest.raises(InputError, match=r"a\.tif is damaged.*pages loop.*Copy or export it"):
            look(tmp_path / "a.tif")


def test_the_file_that_hung_everything_is_refused(real):
    """274 bytes whose pages never end inside tifffile's series."""
    with pytest.raises(InputError, match="its pages loop"):
        image_shape(real.parent / "cases" / "hang_min.tif")


def test_more_pages_than_any_image_has_are_refused(tmp_path):
    """A long film is no image, and its pages are not looked at one by one."""
    (tmp_path / "a.tif").write_bytes(chain(MAX_PAGES + 1))
    with pytest.raises(InputError, match=rf"over {MAX_PAGES:,} pages. Save one"):
        image_shape(tmp_path / "a.tif")
    (tmp_path / "a.tif").write_bytes(chain(MAX_PAGES))
    with pytest.raises(InputError, match=f"has {MAX_PAGES} pages"):
        image_shape(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("attributes", "inside"),
    [
        ({"SizeC": 10**9}, ""),
        ({"SizeX": 10**9, "SizeY": 10**9}, ""),
        ({}, '<TiffData IFD="0" PlaneCount="4000000000"/>'),
        ({}, '<TiffData IFD="0" NumPlanes="4000000000"/>'),
        ({"SizeT": 100, "SizeZ": 100, "SizeC": 100}, '<TiffData IFD="0"/>'),
    ],
)
def test_planes_that_are_only_described_are_refused(tmp_path, attributes, inside):
    """OME's XML may speak of billions of planes: tifffile would make lists as long."""
    path = write_tiff(tmp_path / "a.ome.tif", description=ome(**attributes).format(inside))
    with pytest.raises(InputError, match=r"a\.ome\.tif is damaged.*declares .* planes"):
        image_shape(path)


def test_a_described_axis_of_endless_steps_is_refused(tmp_path):
    """Modulo annotations count their steps as well."""
    text = (
        '<OME><StructuredAnnotations><XMLAnnotation ID="A" Namespace="modulo"><Value><Modulo>'
        '<ModuloAlongT Start="0" End="1e12" Step="1"/></Modulo></Value></XMLAnnotation>'
        "</StructuredAnnotations></OME>"
    )
    with pytest.raises(InputError, match="planes"):
        image_shape(write_tiff(tmp_path / "a.ome.tif", description=text))


def test_xml_with_entities_is_refused(tmp_path):
    """Entities grow without bound: OME's XML needs none."""
    text = f'<!DOCTYPE a [<!ENTITY b "c">]>{ome()}'.format("")
    with pytest.raises(InputError, match="document type"):
        image_shape(write_tiff(tmp_path / "a.ome.tif", description=text))


def test_ome_of_one_plane_and_of_channels_is_read(tmp_path):
    """What microscopes write goes on to be read."""
    stack = np.stack([IMAGE, IMAGE + 1, IMAGE + 2])
    options = {"ome": True, "metadata": {"axes": "CYX"}, "photometric": "minisblack"}
    found = read_image(write_tiff(tmp_path / "a.ome.tif", stack, **options))
    assert np.array_equal(found, stack.transpose(1, 2, 0))
    one = write_tiff(tmp_path / "b.ome.tif", ome=True, metadata={"axes": "YX"})
    assert np.array_equal(read_image(one), IMAGE)


def test_a_tiff_opens_no_other_file(tmp_path):
    """OME's XML may name other files, anywhere: they stay closed."""
    other = write_tiff(tmp_path / "other.tif", 9 + IMAGE)
    opened = []
    sys.addaudithook(lambda event, told: event == "open" and opened.append(str(told[0])))
    inside = f'<TiffData IFD="0"><UUID FileName="{other}">urn:uuid:1</UUID></TiffData>'
    text = ome(SizeC=2).format('<TiffData FirstC="0" IFD="0"/>' + inside)
    path = write_tiff(tmp_path / "a.ome.tif", description=text)
    assert np.array_equal(read_image(path), IMAGE)
    assert str(path) in opened
    assert str(other) not in opened


@pytest.mark.parametrize("compression", ["zlib", "lzma"])
def test_a_strip_that_grows_out_of_proportion_is_refused(tmp_path, compression):
    """A small strip may inflate to gigabytes; no more is inflated than the image can need."""
    bomb = {"zlib": zlib.compress, "lzma": lzma.compress}[compression](bytes(50_000_000))
    file = io.BytesIO()
    options = {"compression": compression, "metadata": None, "rowsperstrip": 1000}
    noise = np.random.default_rng(0).integers(0, 65_535, (300, 400), np.uint16)
    tifffile.imwrite(file, noise, **options)
    file.seek(0)
    with tifffile.TiffFile(file) as tiff:
        place = tiff.pages[0].dataoffsets[0]
        assert tiff.pages[0].databytecounts[0] > len(bomb)
    data = bytearray(file.getvalue())
    data[place : place + len(bomb)] = bomb
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(
        InputError, match=r"a\.tif cannot be read.*a strip that decompresses to over"
    ):
        read_image(tmp_path / "a.tif")


def test_a_strip_much_larger_than_its_pixels_is_refused(tmp_path):
    """Each of many strips may be the whole file: it would be read as often."""
    noise = np.random.default_rng(0).integers(0, 65_535, (100, 100), np.uint16)
    path = write_tiff(tmp_path / "a.tif", noise, compression="zlib", rowsperstrip=1)
    assert np.array_equal(read_image(path), noise)
    with tifffile.TiffFile(path) as tiff:
        tag = tiff.pages[0].tags["StripByteCounts"]
        place, size = tag.valueoffset, {3: 2, 4: 4}[tag.dtype]
    data = bytearray(path.read_bytes())
    for strip in range(50):
        data[place + size * strip : place + size * (strip + 1)] = (5000).to_bytes(size, "little")
    path.write_bytes(data)
    with pytest.raises(InputError, match="a strip of .* bytes; expected at most"):
        read_image(path)


def test_tiles_out_of_proportion_to_their_image_are_refused(tmp_path):
    """Many large tiles for a few pixels would each be read; ordinary margins are no fault."""
    small = np.arange(400, dtype=np.uint16).reshape(20, 20)
    path = write_tiff(tmp_path / "a.tif", small, tile=(512, 512), compression="zlib")
    assert np.array_equal(read_image(path), small)
    path = write_tiff(tmp_path / "b.tif", small, tile=(10_240, 10_240), compression="zlib")
    with pytest.raises(InputError, match=r"b\.tif cannot be read.*1 tiles of 209,715,200 bytes"):
        read_image(path)


def test_planes_that_are_not_in_the_file_are_told(tmp_path):
    """OME's XML speaks of four channels where the file holds three."""
    stack = np.stack([IMAGE, IMAGE + 1, IMAGE + 2])
    options = {"ome": True, "metadata": {"axes": "CYX"}, "photometric": "minisblack"}
    path = write_tiff(tmp_path / "a.ome.tif", stack, **options)
    path.write_bytes(path.read_bytes().replace(b'SizeC="3"', b'SizeC="4"'))
    with pytest.raises(InputError, match="planes that it does not contain"):
        read_image(path)
