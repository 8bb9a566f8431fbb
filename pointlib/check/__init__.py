"""Check a dataset folder before training: what is in it and what is wrong with it.

Not about reading a dataset for training: dataset.py does that.
"""
