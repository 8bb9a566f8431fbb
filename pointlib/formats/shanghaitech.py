"""`shanghaitech`, a MATLAB file for each image, as in crowd datasets: GT_IMG_1.mat for IMG_1.jpg.

Pixels, x before y, in one of these variables: `image_info`, a cell with a struct whose `location`
is (N, 2) (ShanghaiTech, read everywhere as `mat["image_info"][0, 0][0, 0][0]`), `annPoints`
(UCF-QNRF and UCF_CC_50, IMG_ann.mat; NWPU) or `locations`. No classes. A file without points
means "looked, nothing there"; no file, "not labelled yet". The files are in `ground_truth` or
`ground-truth` beside `images`, or beside the images. Only numbers, cells and structs are read.

No dataset says where (0, 0) is: unverified. Public code uses int(x) as the pixel, so numbers are
taken from the image's edge (corner). The true points of ShanghaiTech, rounded down, fill columns 0
to 1023 of images 1024 wide and leave 1024 almost empty, which supports this; in MATLAB's own
convention, with 1 as the centre of the first pixel, they would be half a pixel off. Some are
outside their images: `--skip` leaves those out.
"""

import io

import numpy as np

from pointlib.errors import InputError
from pointlib.files import write_atomic
from pointlib.formats.shared.base import Format, Record
from pointlib.formats.shared.companions import find_companions, has_companions
from pointlib.formats.shared.mat5 import Unread, read_mat
from pointlib.formats.shared.safe import peek

FOLDER = "ground_truth"
PLACES = {
    "suffixes": (".mat",),
    "folders": (FOLDER, "ground-truth", "groundtruth", "gt", "mats", "mat", "annotations"),
}
KEYS = ("image_info", "annPoints", "locations", "location", "points", "loc")


def read(source, pictures, form):
    """Yield a Record for each image that has a MATLAB file."""
    for image, file in find_companions(source, pictures, names=_image_names, **PLACES):
        if not pictures.is_missing(image):
            points = form.to_points(_read_values(file), pictures.shape(image))
            yield Record(image, None, points, np.full(len(points), ""))


def write(folder, records, form):
    """Write ground_truth/GT_NAME.mat for each record's image."""
    from scipy.io import savemat  # slow to import

    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    for record in records:
        values = form.from_points(record.points, record.shape)
        info = np.empty((1, 1), dtype=[("location", object), ("number", object)])
        info[0, 0] = values, len(values)
        cell = np.empty((1, 1), dtype=object)
        cell[0, 0] = info
        savemat(data := io.BytesIO(), {"image_info": cell}, do_compression=True)
        write_atomic(folder / FOLDER / f"GT_{record.stem}.mat", data.getvalue())


def looks(source):
    """Return whether there are MATLAB files beside images or in a folder of their own."""
    is_own = lambda file, _alone: peek(file, 6) == "MATLAB"  # noqa: E731
    return has_companions(source, is_own=is_own, **PLACES)


def _image_names(file, _alone):
    """Return possible names of a file's image: without a leading GT_ or a trailing _ann."""
    bare = file.stem[3:] if file.stem[:3].upper() == "GT_" else file.stem
    return [bare, bare.removesuffix("_ann"), file.stem, file.stem.removesuffix("_ann")]


def _read_values(file):
    """Return the file's numbers (N, 2), unchanged."""
    variables = read_mat(file)
    if not (known := [key for key in KEYS if key in variables]):
        names = ", ".join(variables)[:300] or "nothing"
        raise InputError(f"{file} has {names}; expected image_info, annPoints or locations.")
    values = _innermost(variables[known[0]])
    if isinstance(values, Unread):
        raise InputError(f"{file}: {known[0]} is {values}; expected numbers (N, 2).")
    values = values.reshape(values.shape[-2:]) if set(values.shape[:-2]) == {1} else values
    if values.ndim != 2 or (values.size and values.shape[1] != 2):
        hint = " Transpose it." if values.shape[0] == 2 else ""
        raise InputError(f"{file}: points have shape {values.shape}; expected (N, 2).{hint}")
    if not np.isfinite(values).all():
        raise InputError(f"{file}: a point is NaN or infinite; expected finite x and y.")
    return values.astype(float)


def _innermost(value):
    """Return the array in nested cells and structs: the first value, or the field named in KEYS."""
    while isinstance(value, (list, dict)):
        if isinstance(value, dict):
            value = [value[key] for key in KEYS if key in value] or [*value.values()]
        value = value[0] if value else np.empty((0, 2))
    return value


FORMAT = Format(
    "shanghaitech",
    "a MATLAB file per image, GT_NAME.mat, as in crowd datasets",
    read,
    write,
    looks,
    convention="corner",
    carries=frozenset({"empty"}),
    nests=False,
)
