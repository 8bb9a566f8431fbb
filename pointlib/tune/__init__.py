"""The tuner: thresholds are chosen on predicted heatmaps, with every number at once.

About the widget and what it computes. Not about how thresholds are chosen in a training: sweep.py.
"""

from pointlib.tune.widget import Tuner

__all__ = ["Tuner"]
