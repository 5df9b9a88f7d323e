"""The same numbers as the reference packages on clean data, where they are installed."""

import numpy as np
import pytest
from sklearn.preprocessing import PolynomialFeatures

from chaosfit.methods.koopman.edmd import EDMD
from chaosfit.methods.koopman.hankel_dmd import HankelDMD


def match(ours, theirs):
    """Largest distance from an eigenvalue to the nearest one of the other set."""
    return np.abs(np.subtract.outer(ours, theirs)).min(axis=1).max()


@pytest.mark.filterwarnings("ignore")  # of the peer
def test_eigenvalues_and_forecast_are_those_of_pydmd():
    pydmd = pytest.importorskip("pydmd", reason="pydmd is not installed")
    t = 0.1 * np.arange(400)
    x = np.cos(t) + np.cos(2**0.5 * t + 1) + 0.5 * np.exp(-0.01 * t) * np.cos(2.7 * t)
    ours = HankelDMD(n_delays=20, rank=6).fit(x[:, np.newaxis])
    theirs = pydmd.HankelDMD(svd_rank=6, d=20, exact=True).fit(x[np.newaxis])
    assert match(ours.eigenvalues_, theirs.eigs) < 1e-10


@pytest.mark.filterwarnings("ignore")
def test_eigenvalues_are_those_of_kooplearn():
    linear_model = pytest.importorskip("kooplearn.linear_model", reason="kooplearn is not installed")
    X = np.empty((60, 2))
    X[0] = [1.0, 0.5]
    for i in range(59):  # a slow manifold, on which the dictionary is invariant
        X[i + 1] = 0.95 * X[i, 0], 0.7 * X[i, 1] + (0.95**2 - 0.7) * X[i, 0] ** 2
    dictionary = PolynomialFeatures(2, include_bias=False)
    peer = linear_model.Ridge(alpha=None, reduced_rank=False, eigen_solver="dense").fit(dictionary.fit_transform(X))
    assert match(EDMD(dictionary, relift=False).fit(X).eigenvalues_, peer.eig()) < 1e-8
