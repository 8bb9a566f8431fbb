"""Maps: points of GeoTIFFs in map coordinates and back, with every kind of transform."""

import json

import numpy as np
import pytest
import tifffile

from pointlib.errors import InputError
from pointlib.formats import FORMATS, convert, recognise
from pointlib.formats.shared import maps
from pointlib.formats.shared.base import Pictures
from pointlib.points import read_points, write_points
from pointlib.synthetic import draw_cells

rasterio = pytest.importorskip("rasterio")
pyogrio = pytest.importorskip("pyogrio")
pyproj = pytest.importorskip("pyproj")

SHAPE = (60, 90)
NORTH_UP = rasterio.Affine(0.2, 0, 500_000.0, 0, -0.2, 5_400_000.0)
TURNED = NORTH_UP @ rasterio.Affine.rotation(30) @ rasterio.Affine.shear(4)
GEO_TAGS = (33550, 33922, 34264, 34735, 34736, 34737)  # of a GeoTIFF
TRANSFORMS = pytest.mark.parametrize("transform", [NORTH_UP, TURNED], ids=["north up", "turned"])
BOTH = pytest.mark.parametrize("name", ["gpkg", "geojson"])


def geotiff(path, transform=NORTH_UP, crs="EPSG:32633"):
    """Write a GeoTIFF of drawn cells; return their points."""
    scene = draw_cells(SHAPE, n=12, seed=len(path.name))
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"height": SHAPE[0], "width": SHAPE[1], "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", driver="GTiff", crs=crs, transform=transform, **options) as file:
        file.write(scene.image.reshape(SHAPE), 1)
    return scene.points


def dataset(folder, names=("a.tif",), **options):
    """Write GeoTIFFs with their text files; return {name: points}."""
    found = {}
    for name in names:
        found[name] = geotiff(folder / name, **options)
        labels = ["oak", "ash"] * (len(found[name]) // 2)
        write_points((folder / name).with_suffix(".txt"), found[name], SHAPE, labels=labels)
    return found


@TRANSFORMS
def test_the_first_pixels_centre_is_half_a_pixel_in(tmp_path, transform):
    """(0, 0) of the kit is at transform * (0.5, 0.5), and rasterio says the same of any pixel."""
    geotiff(tmp_path / "a.tif", transform)
    place = maps.place_of(tmp_path / "a.tif", SHAPE)
    assert place.to_map(np.zeros((1, 2)))[0] == pytest.approx(transform @ (0.5, 0.5), abs=1e-9)
    with rasterio.open(tmp_path / "a.tif") as file:
        expected = np.column_stack(file.xy([3, 50], [7, 80]))  # rows, columns
    np.testing.assert_allclose(place.to_map(np.array([[7, 3], [80, 50]])), expected, rtol=1e-12)


@BOTH
@TRANSFORMS
def test_there_and_back_nothing_moves(tmp_path, name, transform):
    """Points and classes come back to their pixels, and no picture is copied to the map."""
    points = dataset(tmp_path / "set", transform=transform)["a.tif"]
    convert(tmp_path / "set", tmp_path / "map", from_="txt", to=name)
    assert not (tmp_path / "map" / "images").exists()
    assert recognise(tmp_path / "map").name == name
    convert(tmp_path / "map", tmp_path / "back", images=tmp_path / "set")
    found, labels = read_points(tmp_path / "back" / "images" / "a.txt", SHAPE)
    np.testing.assert_allclose(found, points, atol=1e-5)
    assert labels.tolist() == ["oak", "ash"] * 6


@BOTH
def test_a_map_names_its_system_and_columns(tmp_path, name):
    """Other programs find the CRS, and image, label and score of each point."""
    dataset(tmp_path / "set")
    convert(tmp_path / "set", tmp_path / "map", from_="txt", to=name)
    meta, _, _, columns = pyogrio.raw.read(
        tmp_path / "map" / FORMATS[name].read.__globals__["FILE"]
    )
    assert meta["crs"] == "EPSG:32633"
    assert list(meta["fields"]) == ["image", "label", "score"]
    assert set(columns[0]) == {"a.tif"}


def test_points_of_another_system_arrive_at_their_pixels(tmp_path):
    """Longitude and latitude are transformed; points that lie in no picture are told and left out."""
    points = geotiff(tmp_path / "photos" / "a.tif", TURNED)
    places = maps.place_of(tmp_path / "photos" / "a.tif", SHAPE).to_map(points)
    change = pyproj.Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True)
    lonlat = np.column_stack(change.transform(*places.T)).tolist()
    features = [
        {"type": "Feature", "properties": {}, "geometry": {"type": "Point", "coordinates": place}}
        for place in [*lonlat, [15.5, 40.0]]
    ]
    data = {"type": "FeatureCollection", "features": features}
    (tmp_path / "trees.geojson").write_text(json.dumps(data))
    lines = []
    convert(
        tmp_path / "trees.geojson",
        tmp_path / "out",
        from_="geojson",
        images=tmp_path / "photos",
        log=lines.append,
    )
    found, _ = read_points(tmp_path / "out" / "images" / "a.txt", SHAPE)
    np.testing.assert_allclose(found, points, atol=0.01)
    assert any("1 points of" in line and "lie in none of the images" in line for line in lines)


def test_areas_are_their_centroids_and_belong_to_their_picture(tmp_path):
    """Crowns drawn as polygons become points, each in the picture that it lies in."""
    east = NORTH_UP @ rasterio.Affine.translation(90, 0)
    geotiff(tmp_path / "photos" / "a.tif", NORTH_UP)
    geotiff(tmp_path / "photos" / "b.tif", east)
    ring = np.array([[10.0, 10], [20, 10], [20, 30], [10, 30], [10, 10]])
    rings = [[list(NORTH_UP @ tuple(p)) for p in ring], [list(east @ tuple(p)) for p in ring + 5]]
    features = [
        {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [r]}}
        for r in rings
    ]
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
    data = {"type": "FeatureCollection", "crs": crs, "features": features}
    (tmp_path / "crowns.geojson").write_text(json.dumps(data))
    convert(tmp_path / "crowns.geojson", tmp_path / "out", images=tmp_path / "photos")
    for name, centre in (("a", [14.5, 19.5]), ("b", [19.5, 24.5])):
        found, _ = read_points(tmp_path / "out" / "images" / f"{name}.txt", SHAPE)
        np.testing.assert_allclose(found, [centre], atol=1e-5)


@BOTH
def test_a_picture_without_a_place_is_a_sentence(tmp_path, name):
    """What is missing, in which file, and what to do."""
    dataset(tmp_path / "set", crs=None)
    with pytest.raises(InputError, match=r"a\.tif has no georeference .* Give the GeoTIFF"):
        convert(tmp_path / "set", tmp_path / "map", from_="txt", to=name)


def test_map_coordinates_over_plain_pictures_are_refused(tmp_path):
    """UTM metres are never taken for pixels."""
    dataset(tmp_path / "set")
    convert(tmp_path / "set", tmp_path / "map", from_="txt", to="geojson")
    dataset(tmp_path / "plain", crs=None)
    match = r"is in map coordinates, WGS 84 / UTM zone 33N, such as 5000.* has no georeference"
    with pytest.raises(InputError, match=match):
        convert(tmp_path / "map" / "points.geojson", tmp_path / "o", images=tmp_path / "plain")


def test_scores_of_one_picture_do_not_hang_on_anothers(tmp_path):
    """Found points keep their scores beside a picture whose points were clicked."""
    east = NORTH_UP @ rasterio.Affine.translation(90, 0)
    features = []
    for name, transform, own in (("a.tif", NORTH_UP, {"score": 0.75}), ("b.tif", east, {})):
        geotiff(tmp_path / "photos" / name, transform)
        place = list(transform @ (20.5, 30.5))
        geometry = {"type": "Point", "coordinates": place}
        features.append({"type": "Feature", "properties": own, "geometry": geometry})
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
    data = {"type": "FeatureCollection", "crs": crs, "features": features}
    (tmp_path / "t.geojson").write_text(json.dumps(data))
    records = maps.read_places(tmp_path / "t.geojson", Pictures(tmp_path / "photos"))
    scores = {record.image.name: record.scores for record in records}
    assert scores["a.tif"].tolist() == [0.75]
    assert scores["b.tif"] is None


def test_a_turned_tiff_is_refused(tmp_path):
    """Its pixels are shown upright and its transform is not: points would land elsewhere."""
    geotiff(tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        tags = [t for t in file.pages[0].tags if t.code in GEO_TAGS]
        kept = [(t.code, t.dtype, t.count, t.value, True) for t in tags]
    options = {"extratags": [*kept, (274, "H", 1, 6, True)], "metadata": None}
    tifffile.imwrite(tmp_path / "a.tif", np.zeros(SHAPE, np.uint8), **options)
    with pytest.raises(InputError, match=r"stored turned \(orientation 6\)"):
        maps.place_of(tmp_path / "a.tif", SHAPE)


@pytest.mark.filterwarnings("ignore:The given matrix is equal to Affine.identity")
def test_a_system_without_a_transform_is_no_place(tmp_path):
    """Pixels are never taken for metres where a TIFF says its CRS only."""
    geotiff(tmp_path / "a.tif", rasterio.Affine.identity())
    assert maps.place_of(tmp_path / "a.tif", SHAPE) is None


def test_a_picture_leads_to_no_other_file(tmp_path):
    """A list of other files that is called .tif, which GDAL would follow, has no place."""
    geotiff(tmp_path / "a.tif")
    source = f"<SourceFilename>{tmp_path / 'a.tif'}</SourceFilename><SourceBand>1</SourceBand>"
    band = f'<VRTRasterBand dataType="Byte" band="1"><SimpleSource>{source}</SimpleSource>'
    text = (
        '<VRTDataset rasterXSize="90" rasterYSize="60"><SRS>EPSG:32633</SRS>'
        f"<GeoTransform>5e5,.2,0,5.4e6,0,-.2</GeoTransform>{band}</VRTRasterBand></VRTDataset>"
    )
    (tmp_path / "v.tif").write_text(text)
    with rasterio.open(tmp_path / "v.tif") as followed:
        assert followed.crs is not None
    assert maps.place_of(tmp_path / "v.tif", SHAPE) is None


def test_pictures_of_two_systems_share_the_first_ones(tmp_path):
    """The second picture's points are transformed, and come back to their pixels."""
    points = dataset(tmp_path / "set", ["a.tif"])
    west = rasterio.Affine(0.2, 0, 900_000.0, 0, -0.2, 5_410_000.0)
    points |= dataset(tmp_path / "set", ["bb.tif"], transform=west, crs="EPSG:32632")
    convert(tmp_path / "set", tmp_path / "map", from_="txt", to="gpkg")
    assert pyogrio.read_info(tmp_path / "map" / "points.gpkg")["crs"] == "EPSG:32633"
    convert(tmp_path / "map", tmp_path / "back", images=tmp_path / "set")
    for name, expected in points.items():
        path = (tmp_path / "back" / "images" / name).with_suffix(".txt")
        np.testing.assert_allclose(read_points(path, SHAPE)[0], expected, atol=0.01)
