"""Find things by their centres: from clicks to a detector, in notebooks.

Data flows one way, a module a step::

    images + clicks -> points -> heatmaps -> model -> heatmaps -> points -> metrics

Import the module you need, by name: ``from pointlib.heatmaps import gaussian_max``.
The coordinate convention stands in :mod:`pointlib.points`.
"""

import os

__version__ = "0.1.0"

# Idle threads of torch sleep instead of spinning: 5 times faster where another program also wants
# the processor, no slower where none does. Read once, when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
