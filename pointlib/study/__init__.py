"""What is behind a score: kinds of errors, trust, ceilings, what more clicks would bring.

About numbers that lessons and the tuner show. Not about one image's points: predict/ finds them.
"""
