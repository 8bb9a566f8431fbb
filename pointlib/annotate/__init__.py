"""The annotator: people click points on images in a notebook, and every click is saved.

About annotating: the widget, its messages, how edits are saved, suggestions. Not about reading
points for training: dataset.py does that.

A click goes from annotate.js to server.py (messages), ledger.py (threads and listeners), store.py
(consistency) and from there to journal.py and texts.py; steps.py says what an edit means.
"""

from pointlib.annotate.widget import Annotator, recorded_edits

__all__ = ["Annotator", "recorded_edits"]
