"""The check of a dataset folder: what is in it and what is wrong with it, before a training.

About looking and telling. Not about reading a dataset for a training: dataset.py does that.
"""
