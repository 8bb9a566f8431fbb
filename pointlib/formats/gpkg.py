"""`gpkg`, GeoPackage: the points of georeferenced pictures in map coordinates, for QGIS and others.

One layer, `points`, with the columns image, label and score. Points and areas (their centroids) are
read, in any reference system; each belongs to the picture that it lies in, or that `image` names.
Pictures without a point cannot be expressed. See shared/maps.py for the coordinates.
"""

from pointlib.errors import InputError
from pointlib.formats.shared.base import Format
from pointlib.formats.shared.maps import read_places, write_places

FILE = "points.gpkg"


def read(source, pictures, _form):
    """Yield a Record for each picture with a point."""
    yield from read_places(_file(source), pictures)


def write(folder, records, _form):
    """Write points.gpkg."""
    write_places(folder / FILE, records, "GPKG")


def looks(source):
    """Return whether this is a GeoPackage, or a folder with one."""
    return any(path.suffix.lower() == ".gpkg" for path in _candidates(source))


def _candidates(source):
    return sorted(source.glob("*.gpkg")) if source.is_dir() else [source]


def _file(source):
    """Return the one GeoPackage."""
    found = _candidates(source)
    if len(found) != 1:
        raise InputError(f"{source} has {len(found)} GeoPackages; expected one. Name the file.")
    return found[0]


FORMAT = Format(
    "gpkg",
    "GeoPackage, map coordinates of GeoTIFFs",
    read,
    write,
    looks,
    unit="map",
    convention="corner",
    carries=frozenset({"labels", "scores"}),
    checked="rasterio",
    brings_images=False,
)
