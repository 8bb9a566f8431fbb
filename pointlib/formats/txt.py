"""`txt`, the kit's own files: a text beside each image, as `pointlib.points` describes it.

x,y[,label] a line, fractions of the image's edges (corner). An empty text says "looked, nothing
there"; no text, "not labelled yet".
"""

from pointlib.formats.base import Format, Record
from pointlib.points import label_state, read_points, text_path, write_points


def read(_source, pictures, _form):
    """Yield a Record of each image that has a text file."""
    for image in pictures.paths:
        if label_state(image) != "unlabelled":
            shape = pictures.shape(image)
            yield Record(image, None, *read_points(text_path(image), shape))


def write(folder, records, _form):
    """Write a text file beside each record's image."""
    for record in records:
        path = text_path(folder / "images" / record.image.name)
        write_points(path, record.points, record.shape, labels=record.labels)


FORMAT = Format(
    "txt", "the kit's texts beside the images", read, write, unit="fraction", convention="corner"
)
