"""Combinations of losses, heatmaps, networks and thresholding functions, tried on the same images.

About combinations and which is best. Not about one training: train/ does that.
"""
