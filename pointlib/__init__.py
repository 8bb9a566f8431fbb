"""Find things by their centres: from clicks to a detector, in notebooks.

Data flows one way, a module a step::

    images + clicks -> points -> heatmaps -> model -> heatmaps -> points -> metrics

Import the module you need, by name: ``from pointlib.heatmaps import gaussian_max``.
The coordinate convention stands in :mod:`pointlib.points`.
"""

__version__ = "0.1.0"
