"""Networks that carry a hidden state along time, trained by `chaosfit.nn`. Read `lstm.py` first."""
