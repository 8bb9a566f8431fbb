"""The annotator: points are clicked on images in a notebook, and every click is kept.

About how a person annotates: the widget, its messages, what is kept and how, suggestions. Not about
reading points for a training: dataset.py does that.
"""

from pointlib.annotate.widget import Annotator, recorded_edits

__all__ = ["Annotator", "recorded_edits"]
