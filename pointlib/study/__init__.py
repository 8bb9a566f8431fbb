"""What stands behind a score: kinds of errors, trust, ceilings, what more clicks would give.

About numbers that lessons and the tuner show. Not about one image's points: predict/ finds them.
"""
