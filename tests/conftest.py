"""Settings for the whole suite: reproducible property tests, one thread per process."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

from hypothesis import settings

settings.register_profile("chaosfit", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("chaosfit")
