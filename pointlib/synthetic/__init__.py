"""Synthetic images whose points are known exactly: cells, seedlings in a field, pupils of cats.

For tests, for lessons and for the folder `data`. Not about training on them, and not a simulator:
the optics are simple. `python -m pointlib.synthetic data` draws the sample sets again, byte for
byte.
"""

from pointlib.synthetic.cats import draw_cats
from pointlib.synthetic.cells import draw_cells
from pointlib.synthetic.field import draw_field
from pointlib.synthetic.scene import Scene
from pointlib.synthetic.sets import SETS, draw_sample, draw_set

__all__ = ["SETS", "Scene", "draw_cats", "draw_cells", "draw_field", "draw_sample", "draw_set"]
