"""The tuner: choose thresholds on predicted heatmaps, and see every metric at once.

About the widget and what it computes. Not about how training chooses thresholds: sweep.py.
"""

from pointlib.tune.widget import Tuner

__all__ = ["Tuner"]
