"""Evaluation: how good found points are, in numbers and on one page.

About scoring a model or a folder of points. Not about the matching rule: matching.py.
"""
