"""`geojson`, GeoJSON with a reference system: points of georeferenced pictures in map coordinates.

The member `crs` names the system (GeoJSON of 2008; GDAL and QGIS write it); a file without one is
taken for QuPath's, in pixels, or with `--from geojson` for longitude and latitude, as RFC 7946 has
it. Otherwise as `gpkg`.
"""

from pointlib.errors import InputError
from pointlib.formats.shared.base import Format
from pointlib.formats.shared.jsons import heads, names_crs
from pointlib.formats.shared.maps import read_places, write_places

FILE = "points.geojson"
SUFFIXES = (".geojson", ".json")


def read(source, pictures, _form):
    """Yield a Record for each picture with a point."""
    yield from read_places(_file(source), pictures)


def write(folder, records, _form):
    """Write points.geojson."""
    write_places(folder / FILE, records, "GeoJSON")


def looks(source):
    """Return whether this is GeoJSON that names a reference system, or a folder with one."""
    return any(map(names_crs, heads(source, *SUFFIXES)))


def _file(source):
    """Return the one file."""
    if not source.is_dir():
        return source
    found = [path for suffix in SUFFIXES for path in sorted(source.glob(f"*{suffix}"))]
    found = [path for path in found if looks(path)] or found
    if len(found) != 1:
        raise InputError(f"{source} has {len(found)} GeoJSON files; expected one. Name the file.")
    return found[0]


FORMAT = Format(
    "geojson",
    "GeoJSON with a CRS, map coordinates of GeoTIFFs",
    read,
    write,
    looks,
    unit="map",
    convention="corner",
    carries=frozenset({"labels", "scores"}),
    checked="rasterio",
    brings_images=False,
)
