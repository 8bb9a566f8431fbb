"""What the columns of a table mean: by their names, by what is in them, or as the user says.

A role is what a column is for: image, x, y, label and so on. About names and numbers, not about
how a table is written (tables.py).
"""

import re
import unicodedata
from typing import NamedTuple

from pointlib.errors import InputError, suggest
from pointlib.formats.shared.tables import is_blank, is_number, looks_like_image
from pointlib.formats.shared.units import is_length

IMAGEJ_PLACES = (("X", "Y"), ("XM", "YM"), ("BX", "BY", "Width", "Height"))
IMAGEJ_OWN = {
    "Area",
    "Mean",
    "Min",
    "Max",
    "Slice",
    "Counter",
    "Count",
    "Ch",
    "Frame",
    "Pos",
    "Type",
}
EDGES = ("left", "top", "right", "bottom")
SPANS = ("left", "top", "width", "height")
ROLES = ("image", "x", "y", *EDGES, "width", "height", "label", "score", "frame")
MOST_LOOKED = 200  # rows, to find out what a column holds
# Names as `plain` leaves them, likeliest first.
NAMES = {
    "image": (
        "image imagename imagefile imagefilename imagepath imagefilepath images filename file "
        "filepath img imgname imgpath imgfile picture picturename photo photoname path "
        "relativepath bild dateiname datei imagen archivo fichier name imageid imgid"
    ),
    "x": (
        "x pointx xpoint posx xpos positionx xposition coordx xcoord xcoordinate xpixel xpixels "
        "pixelx xpx pxx cx xc xcenter xcentre centerx centrex centroidx xcentroid locationx "
        "xlocation locationcenterx locx col column axis1 centroid1 weightedcentroid1 xm xrel relx "
        "xnorm normx xnormalized xfraction xpercent xpct spalte columna colonne"
    ),
    "y": (
        "y pointy ypoint posy ypos positiony yposition coordy ycoord ycoordinate ypixel ypixels "
        "pixely ypx pxy cy yc ycenter ycentre centery centrey centroidy ycentroid locationy "
        "ylocation locationcentery locy row axis0 centroid0 weightedcentroid0 ym yrel rely "
        "ynorm normy ynormalized yfraction ypercent ypct zeile fila ligne"
    ),
    "left": "left xmin minx x1 xtl bboxx bboxleft bboxxmin boxleft xleft x0 bx tlx topleftx",
    "top": "top ymin miny y1 ytl bboxy bboxtop bboxymin boxtop ytop y0 by tly toplefty",
    "right": "right xmax maxx x2 xbr bboxright bboxxmax boxright xright brx bottomrightx",
    "bottom": "bottom ymax maxy y2 ybr bboxbottom bboxymax boxbottom ybottom bry bottomrighty",
    "width": "bboxwidth bboxw boxwidth boxw bw width w",
    "height": "bboxheight bboxh boxheight boxh bh height h",
    "label": (
        "label labelname labels class classname classlabel category categoryname species "
        "speciesname classification type celltype taxon kind group annotation objecttype klasse "
        "art classe clase espece especie name"
    ),
    "score": "score scores confidence conf probability prob likelihood detectionscore",
    "frame": "frame frameidx frameindex slice z t positionz timepoint plane",
}
RANKS = {role: {name: i for i, name in enumerate(text.split())} for role, text in NAMES.items()}
_UNIT = re.compile(
    r"[(\[](?P<in>[^)\]]*)[)\]]|[\s_](?P<bare>px|µm|μm|um|micron|microns|nm|mm)$", re.IGNORECASE
)


class Columns(NamedTuple):
    """Which column has which role.

    Attributes
    ----------
    of : dict
        ``{role: index}``.
    kind : "points", "edges" (left, top, right, bottom) or "spans" (left, top, width, height)
    unit : str
        Of the coordinates, if their names say one, else "".
    notes : list of str
        What could also be meant otherwise.
    """

    of: dict
    kind: str
    unit: str = ""
    notes: list = []  # noqa: RUF012 - never written to

    @property
    def places(self):
        """The roles that hold the coordinates."""
        return {"points": ("x", "y"), "edges": EDGES, "spans": SPANS}[self.kind]


def plain(name):
    """Return a column's name in lower case, letters and digits only, without its unit."""
    letters = unicodedata.normalize("NFKD", _UNIT.sub("", name.strip().lower()))
    return re.sub(r"[^a-z0-9]", "", letters)


def parse_columns(text):
    """Return {role: name or number} of a text such as image=Name,x=Column,y=Row."""
    named = {}
    for part in text.split(","):
        role, sign, column = (piece.strip() for piece in part.partition("="))
        if not sign or not column:
            raise InputError(
                f"--columns {part!r} names no column; expected role=name, such as "
                "image=Name,x=Column,y=Row."
            )
        if role not in ROLES:
            raise InputError(f"--columns: {role!r} is no role. {suggest(role, ROLES)}")
        named[role] = column
    if not named:
        raise InputError("--columns is empty; expected image=Name,x=Column,y=Row or the like.")
    return named


def named_columns(table, named):
    """Return the Columns that a user names; the rest is found by the names in the header.

    Coordinates are either all named or all found.
    """
    of = {role: _index(table, role, column) for role, column in named.items()}
    found = find_columns(table)
    places = {"x", "y", *EDGES, *SPANS}
    if found and not places & of.keys():
        of = {role: found.of[role] for role in found.places} | of
    for role in ("image", "label", "score") if found else ():
        if role in found.of and found.of[role] not in of.values():
            of.setdefault(role, found.of[role])
    kind = _kind(of)
    if kind is None:
        raise InputError(
            f"{table.path}: --columns names {', '.join(named)}; expected x and y, or the box left, "
            f"top and right, bottom or width, height. {show(table)}"
        )
    return Columns(of, kind, _unit(table, of))


def find_columns(table):
    """Return the Columns of a table, or None if its coordinates are not recognised."""
    return _by_names(table) if table.header else _by_content(table)


def is_results(table):
    """Return whether a table is ImageJ's Results: numbered from 1 under a blank, or labelled."""
    header = table.header or [""]
    names = set(header)
    if not any(set(places) <= names for places in IMAGEJ_PLACES):
        return False
    own = bool(names & IMAGEJ_OWN)
    numbered = header[0] == "" and bool(table.rows) and table.rows[0][1][0] == "1"
    return numbered or (own and (header[0] == "" or "Label" in names))


def why_not(table):
    """Return a sentence on a table that is not understood: what is in it, and what to type."""
    names = [name for name in table.header or () if name]
    image, x, y = names[:3] if len(names) >= 3 else ("1", "2", "3")
    return f"{show(table)} Name them: --columns 'image={image},x={x},y={y}' (names, or numbers)."


def show(table):
    """Return a sentence with the columns and the first line of a table."""
    first = table.rows[0][1] if table.rows else []
    line = f"its first line is {' | '.join(first)[:160]!r}." if first else "it has no line."
    if table.header is None:
        return f"Its {table.n_columns} columns have no names; {line}"
    return f"Its columns are {', '.join(map(repr, table.header))[:300]}; {line}"


def _index(table, role, column):
    """Return the index of a column given by its name or its number, from 1."""
    names = [name.strip().lower() for name in table.header or ()]
    for key, known in ((column.lower(), names), (plain(column), [plain(n) for n in names])):
        if key and key in known:
            return known.index(key)
    if column.isdecimal() and 1 <= int(column) <= table.n_columns:
        return int(column) - 1
    raise InputError(f"{table.path} has no column {column!r} for {role}. {show(table)}")


def _by_names(table):
    names = [plain(name) for name in table.header]
    of = {}
    for role, rank in RANKS.items():
        known = [(rank[name], i) for i, name in enumerate(names) if name in rank]
        free = [(order, i) for order, i in sorted(known) if i not in of.values()]
        if free:
            of[role] = free[0][1]
    _prefer_images(table, of)
    kind, notes = _kind(of), []
    if kind is None:
        return None
    if kind == "points" and plain(table.header[of["x"]]) == "x" and _are_boxes(table, of):
        of, kind = {**of, "left": of["x"], "top": of["y"]}, "spans"
        typed = f"x={table.header[of['x']]},y={table.header[of['y']]}"
        notes.append(
            "x, y, width and height are read as boxes from their upper left corner. If x, y is the "
            f"centre: --columns '{typed}'."
        )
    return Columns(of, kind, _unit(table, of), notes)


def _kind(of):
    """Return how the coordinates are given, None if they are not."""
    if all(role in of for role in EDGES):
        return "edges"
    if {"x", "y"} <= of.keys():
        return "points"
    return "spans" if all(role in of for role in SPANS) else None


def _prefer_images(table, of):
    """Change the role image to the column whose cells are names of images, if there is one."""
    rows = [cells for _, cells in table.rows[:MOST_LOOKED]]

    def holds(index):
        cells = [row[index] for row in rows if index < len(row) and not is_blank(row[index])]
        return bool(cells) and all(map(looks_like_image, cells))

    own = of.get("image")
    if own is not None and holds(own):
        return
    named = [i for i in range(table.n_columns) if holds(i)]
    if named:
        for role in [role for role, index in of.items() if index == named[0]]:
            del of[role]
        of["image"] = named[0]
    elif own is not None and plain(table.header[own]) == "name":  # of a class, or of an object
        del of["image"]
        of.setdefault("label", own)
    if "label" not in of and own is not None and named and own != named[0]:
        of["label"] = own


def _are_boxes(table, of):
    """Return whether x, y, width and height are boxes; not if width and height are the image's."""
    if not {"width", "height"} <= of.keys():
        return False
    least = max(of[role] for role in ("width", "height", "image") if role in of)
    rows = [cells for _, cells in table.rows if len(cells) > least]
    sizes = {}
    for cells in rows:
        image = cells[of["image"]] if "image" in of else ""
        sizes.setdefault(image, set()).add((cells[of["width"]], cells[of["height"]]))
    varied = any(len(own) > 1 for own in sizes.values())
    return varied or not all(_within(cells, of) for cells in rows)


def _within(cells, of):
    """Return whether x, y lies in the width and height of the same row, as in a picture."""
    try:
        x, y, width, height = (
            float(cells[of[role]].replace(",", ".")) for role in ("x", "y", "width", "height")
        )
    except (ValueError, IndexError):
        return True
    return x <= width and y <= height


def _unit(table, of):
    """Return the unit that the names of the coordinates say, "" if none or pixels."""
    if not table.header:
        return ""
    for role in ("x", "y", *EDGES):
        name = table.header[of[role]] if role in of and of[role] < len(table.header) else ""
        found = _UNIT.search(name.strip())
        unit = (found["in"] or found["bare"] or "").strip() if found else ""
        if is_length(unit):
            return unit
        if unit == "%" or plain(name).endswith(("percent", "pct")):
            return "%"
    return ""


def _by_content(table):
    """Return the Columns of a table without a header, from what is in them, or None."""
    rows = [cells for _, cells in table.rows[:MOST_LOOKED]]
    width = max(map(len, rows), default=0)
    filled = [
        [row[i] for row in rows if i < len(row) and not is_blank(row[i])] for i in range(width)
    ]
    numeric = [i for i, cells in enumerate(filled) if cells and all(map(is_number, cells))]
    texts = [i for i, cells in enumerate(filled) if cells and i not in numeric]
    images = [i for i in texts if all(map(looks_like_image, filled[i]))]
    labels = [i for i in texts if i not in images]
    if len(images) > 1 or len(labels) > 1:
        return None
    of = ({"image": images[0]} if images else {}) | ({"label": labels[0]} if labels else {})
    numeric = _without_size(numeric, images)
    if len(numeric) == 3 and _counts_up(filled[numeric[0]]):
        numeric = numeric[1:]
    if len(numeric) == 2:
        return Columns(of | dict(zip("xy", numeric, strict=True)), "points")
    if len(numeric) != 4 or not images:
        return None
    return _boxes(of, numeric, [[float(c.replace(",", ".")) for c in filled[i]] for i in numeric])


def _boxes(of, numeric, values):
    """Return the Columns of four numbers without names: edges, or a corner and a size."""
    rows = zip(*values, strict=False)  # a blank cell makes one shorter
    as_edges = all(a <= c and b <= d for a, b, c, d in rows)
    label_first = "label" in of and of["label"] < min(numeric) < of["image"]  # as make-sense has it
    kind = "edges" if as_edges and not label_first else "spans"
    read = "left, top, right, bottom" if kind == "edges" else "left, top, width, height"
    other = SPANS if kind == "edges" else EDGES
    typed = ",".join(f"{role}={i + 1}" for role, i in zip(other, numeric, strict=True))
    note = (
        f"The four numbers are read as {read}. If not: --columns image={of['image'] + 1},{typed}."
    )
    roles = EDGES if kind == "edges" else SPANS
    return Columns(of | dict(zip(roles, numeric, strict=True)), kind, notes=[note])


def _without_size(numeric, images):
    """Return the numeric columns without two last ones after the image: its width and height."""
    if len(numeric) in (4, 6) and images and numeric[-2] > images[0] > numeric[0]:
        return numeric[:-2]
    return numeric


def _counts_up(cells):
    """Return whether a column numbers its lines, from 0 or 1."""
    if not all(cell.removesuffix(".0").isdecimal() for cell in cells):
        return False
    numbers = [int(cell.removesuffix(".0")) for cell in cells]
    return len(numbers) > 1 and numbers in (
        list(range(len(numbers))),
        list(range(1, len(numbers) + 1)),
    )
