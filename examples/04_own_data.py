"""Your own file: which method forecasts it best, and how far ahead? From Python and from the command line."""

import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

import chaosfit

folder = Path(tempfile.mkdtemp())

# A file as a laboratory would write it: a time column, two measured quantities, some noise, one column too many.
X = chaosfit.Rossler().simulate(3000, dt=0.1, random_state=0)
rng = np.random.default_rng(0)
noisy = X + 0.01 * X.std(axis=0) * rng.standard_normal(X.shape)
frame = pd.DataFrame(noisy, columns=["voltage", "current", "flux"])
frame.insert(0, "seconds", 0.1 * np.arange(len(frame)))
frame["operator"] = "A. N. Other"
frame.to_csv(folder / "measurement.csv", index=False)

# On the command line. The Lyapunov exponent is estimated from the data, since no one knows it.
command = [
    "chaosfit", "compare", str(folder / "measurement.csv"), "--time-column", "seconds",
    "--columns", "voltage,current,flux", "--methods", "persistence,linear_autoregression,ngrc",
    "--out", str(folder / "result"),
]  # fmt: skip
subprocess.run(command, check=True)
print("page:", (folder / "result" / "comparison.html").exists())

# From Python, on the array itself.
comparison = chaosfit.compare(noisy, methods=["persistence", "ngrc", "local_analogues"], dt=0.1)
print(comparison)
comparison.to_html(folder / "mine.html")

# What a file must not contain is said with its place.
frame.loc[1234, "current"] = np.nan
try:
    chaosfit.NGRC().fit(frame[["voltage", "current", "flux"]])
except ValueError as error:
    print("refused:", error)
