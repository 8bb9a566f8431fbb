"""Files of programs whose formats are not read: how they look, and the way out.

One table, so that an error names the program and what to do. Not about formats that are read: the
folder above.
"""

import re
from itertools import islice
from typing import NamedTuple

from pointlib.formats.shared.safe import peek

MOST_LISTED = 200  # files of a folder, and of each folder in it, that are looked at
MOST_FOLDERS = 30
COCO = "export it from there as COCO"
CSV = "save it as a table with the columns image, x, y (CSV)"


class Program(NamedTuple):
    """A program's files.

    Attributes
    ----------
    name : str
    way : str
        What to do instead.
    suffixes : tuple of str
        Lower case; () for any.
    begins : bytes
        What the file begins with; b"" for anything.
    holds : tuple of str
        Regular expressions, all found in its first 64 kB as text; () for a binary file.
    """

    name: str
    way: str
    suffixes: tuple = ()
    begins: bytes = b""
    holds: tuple = ()


_N = r"[-+]?\d+(?:\.\d+)?"
_HDF5, _ZIP, _OLE = b"\x89HDF", b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
PROGRAMS = (
    # JSON
    Program("Datumaro's JSON", "export it with `datum convert -f coco`, or as CVAT 1.1",
            (".json",), holds=('"items"', '"categories"', '"annotations"', '"label_id"')),
    Program("FiftyOne's dataset", "export it with dataset_type=fo.types.COCODetectionDataset",
            (".json", ".jsonl"), holds=(r'"_cls"|"_media_type"|"sample_fields"',)),
    Program("FiftyOne's dataset", "export it with dataset_type=fo.types.COCODetectionDataset",
            (".json",), holds=('"filepath"', '"(?:detections|keypoints)"')),
    Program("Supervisely's JSON", COCO,
            (".json",), holds=(r'"objects"', r'"(?:geometryType|classTitle)"')),
    Program("Labelbox's export", "convert it to COCO with labelbox's own converter, or write a "
            "table image,x,y from its points",
            (".json", ".ndjson", ".jsonl"), holds=(r'"data_row"|"DataRow ID"|"Labeled Data"',)),
    Program("V7 Darwin's JSON", COCO, (".json",), holds=(r"darwin-annotations|darwin_v7|v7labs",)),
    Program("SuperAnnotate's JSON", COCO,
            (".json",), holds=(r'"instances"', r'"(?:className|classId)"')),
    Program("SageMaker Ground Truth's manifest", "convert it to COCO first",
            (".manifest", ".json", ".jsonl"), holds=('"source-ref"',)),
    Program("MegaDetector's results", "its boxes are animals, not clicks: export them as COCO with "
            "megadetector-utils", (".json",), holds=('"detection_categories"', '"detections"')),
    Program("VIA 3's project", "export it from VIA as COCO, or annotate in VIA 2",
            (".json",), holds=('"attribute"', '"metadata"', '"vid"')),
    Program("Zooniverse's classifications", "extract the points with `panoptes aggregate`, and "
            "give that table", (".csv",), holds=(r"^[^\n]*classification_id[^\n]*subject_data",)),
    Program("a table with all points of an image in one cell", "write one line per point: image, "
            "x, y", (".csv",), holds=(r"^[^\n]*(?:locations|points)", r"\[\([\d. ]+, ?[\d. ]+\)")),
    # XML
    Program("dlib's imglab XML", "convert it to Pascal VOC or COCO first",
            (".xml",), holds=("<dataset", "<images", r"<image file=")),
    Program("TrackMate's XML", "in TrackMate choose Display options, Spots, Export to CSV, and "
            "give that table", (".xml",), holds=("<TrackMate",)),
    Program("Aperio ImageScope's XML", "open the slide in QuPath and export GeoJSON",
            (".xml",), holds=("<Annotations", "<Regions?")),
    Program("ASAP's XML", "open the slide in QuPath and export GeoJSON",
            (".xml",), holds=("<ASAP_Annotations",)),
    Program("Icy's XML", "in Icy export the ROIs to a table (ROI statistics), and give that",
            (".xml",), holds=("<roi>", "<classname>plugins")),
    Program("Hamamatsu NDP.view's annotations", "open the slide in QuPath and export GeoJSON",
            (".ndpa",)),
    Program("a MOT or VBB video annotation", "export single images as COCO", (".vbb",)),
    Program("Google Earth's KML", "in QGIS export it as GeoPackage, and give that with the GeoTIFF",
            (".kml", ".kmz")),
    # texts
    Program("DOTA's texts", "convert its rotated boxes with DOTA_devkit to COCO",
            (".txt",), holds=(rf"^(?:imagesource:.*\n|gsd:.*\n)*(?:{_N} ){{8}}\S+ [012]\b",)),
    Program("VisDrone's texts", "its boxes are left,top,width,height,...: convert them to YOLO or "
            "COCO (Ultralytics has VisDrone.yaml)",
            (".txt",), holds=(rf"^(?:{_N},){{7}}{_N},?\s*(?:\n|$)",)),
    Program("a MOT Challenge table", "it numbers the frames of a video: write a table "
            "image,x,y from it", (".txt", ".csv"), holds=(rf"^(?:{_N}, ?){{8,9}}{_N}\s*(?:\n|$)",)),
    Program("KITTI's texts", "convert them to COCO first",
            (".txt",), holds=(rf"^[A-Za-z]\w+ {_N} {_N} {_N}(?: {_N}){{11}}",)),
    Program("WIDER FACE's list", "convert it to COCO first",
            (".txt",), holds=(rf"^\S+\.jpg\n\d+\n(?:{_N} ){{4,}}",)),
    # binary
    Program("an Excel workbook", "save the sheet as CSV (UTF-8)", (".xlsx", ".xlsm"), _ZIP),
    Program("an old Excel workbook", "save the sheet as CSV (UTF-8)", (".xls",), _OLE),
    Program("an OpenDocument table", "save the sheet as CSV (UTF-8)", (".ods",), _ZIP),
    Program("SLEAP's file", "in SLEAP choose File, Export Analysis CSV, and give that table",
            (".slp",)),
    Program("DeepLabCut's HDF5", "give CollectedData_NAME.csv, which lies beside it (or "
            "deeplabcut.convertcsv2h5's source)", (".h5", ".hdf5"), _HDF5),
    Program("a MATLAB file of version 7.3", "save it in MATLAB with '-v7'", (".mat",), _HDF5),
    Program("Imaris's file", "in Imaris export the statistics of the spots as CSV", (".ims",)),
    Program("ilastik's project", "in ilastik export the object table as CSV", (".ilp",)),
    Program("numpy's array", "write it as a table: np.savetxt('NAME.csv', points, delimiter=',', "
            "header='x,y', comments='')", (".npy", ".npz")),
    Program("a shapefile", "in QGIS export it as GeoPackage, and give that with the GeoTIFF",
            (".shp", ".shx", ".dbf")),
    Program("a Parquet table", CSV, (".parquet", ".feather", ".arrow")),
    Program("a pickle", f"pickles can run code and are not read: {CSV}", (".pkl", ".pickle")),
    Program("R's data", CSV, (".rds", ".rdata", ".rda")),
    Program("TensorFlow's records", COCO, (".tfrecord", ".record")),
)  # fmt: skip
SUFFIXES = frozenset(suffix for program in PROGRAMS for suffix in program.suffixes)


def way_out(source):
    """Return a sentence that names the program whose file a source is, "" if none is known.

    Of a folder, the first file in it, or in one of its folders, that is known.
    """
    for path in [source] if source.is_file() else _inside(source):
        for program in PROGRAMS:
            if _is_of(path, program):
                what = path.name if source.is_dir() else "This"
                return f"{what} looks like {program.name}, which is not read: {program.way}."
    return ""


def _inside(folder):
    """Yield files in a folder and in its folders that may be a program's."""
    try:
        entries = sorted(islice(folder.iterdir(), MOST_LISTED))
        places = [path for path in entries if path.is_dir() and path.name[0] != "."]
        for place in [folder, *places[:MOST_FOLDERS]]:
            for path in sorted(islice(place.iterdir(), MOST_LISTED)):
                if path.suffix.lower() in SUFFIXES and path.is_file():
                    yield path
    except OSError:
        return


def _is_of(path, program):
    if program.suffixes and path.suffix.lower() not in program.suffixes:
        return False
    if program.begins:
        try:
            with path.open("rb") as file:
                return file.read(len(program.begins)) == program.begins
        except OSError:
            return False
    head = peek(path).replace("\r\n", "\n") if program.holds else ""
    return all(re.search(sign, head, re.MULTILINE) for sign in program.holds)
