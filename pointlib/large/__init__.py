"""Large: pictures of any size, piece by piece, by several processes, resumed after a stop.

About jobs (jobs.py). Not about reading windows (windows.py) or about seams (predict/tiles.py).
"""

from pointlib.large.jobs import is_large as is_large
from pointlib.large.jobs import predict_large as predict_large
