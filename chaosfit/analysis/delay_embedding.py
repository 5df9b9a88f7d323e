"""Delay embedding as a transformer: rows of present states become rows of delay vectors."""

from __future__ import annotations

from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from chaosfit.analysis.embedding import embedding_parameters
from chaosfit.numerics.delay import delay_vectors, window_span
from chaosfit.validation import Interval, StrOptions, check_states

__all__ = ["DelayEmbedding"]


class DelayEmbedding(TransformerMixin, BaseEstimator):
    """Delay vectors of a series, one for every row, newest sample first.

    Z[t] = [X[t], X[t - lag], ..., X[t - (n_delays - 1) lag]], rows before the first repeat the first row.

    The number of rows stays, so the embedding composes with everything that works row by row: with a
    dynamics model in `TransformedDynamics`, with a regressor in a `Pipeline`.

    Parameters
    ----------
    n_delays : int >= 1 or "auto", default="auto"
        Samples per delay vector, q. "auto" takes the smallest number with Cao's E1 >= 0.9.
    lag : int >= 1 or "auto", default="auto"
        Distance of two samples. "auto" asks `lag_method`.
    lag_method : {"autocorrelation", "mutual_information"}, default="autocorrelation"
        First lag with correlation below 1/e, or first minimum of the mutual information.
    max_delays : int >= 1, default=10
        Largest number of delays that "auto" tries; fewer in series shorter than 10 max_delays lag.
    threshold : float in (0, 1), default=0.9
        Value of E1 that "auto" asks for.

    Attributes
    ----------
    n_delays_, lag_ : int
    context_length_ : int
        Rows that one output row depends on, (n_delays_ - 1) lag_ + 1.
    curves_ : CaoCurves or None
        Cao's E1 and E2, and the determinism statistic; None when both numbers were given.
    n_features_in_ : int, d

    Notes
    -----
    Not a feature generator for shuffled rows: rows are consecutive, equally spaced times of one series, and
    `transform` of several trajectories needs one call for each.

    References
    ----------
    F. Takens, in Dynamical Systems and Turbulence (1981), doi:10.1007/BFb0091924; L. Cao, Physica D 110, 43
    (1997), doi:10.1016/S0167-2789(97)00118-8.

    Examples
    --------
    >>> import numpy as np
    >>> from chaosfit.analysis.delay_embedding import DelayEmbedding
    >>> X = np.sin(0.1 * np.arange(2000))[:, None]
    >>> embedding = DelayEmbedding().fit(X)
    >>> embedding.n_delays_, embedding.lag_, embedding.transform(X).shape
    (2, 12, (2000, 2))
    """

    _parameter_constraints: ClassVar[dict] = {
        "n_delays": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "lag": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "lag_method": [StrOptions({"autocorrelation", "mutual_information"})],
        "max_delays": [Interval(Integral, 1, None, closed="left")],
        "threshold": [Interval(Real, 0, 1, closed="neither")],
    }

    def __init__(self, n_delays="auto", lag="auto", lag_method="autocorrelation", max_delays=10, threshold=0.9):
        self.n_delays = n_delays
        self.lag = lag
        self.lag_method = lag_method
        self.max_delays = max_delays
        self.threshold = threshold

    def fit(self, X, y=None) -> DelayEmbedding:
        """Choose lag and number of delays from X (n, d), the training part of a series; y is ignored."""
        self._validate_params()
        X, _ = check_states(self, X, reset=True, min_rows=2)
        self.curves_ = None
        n_delays, lag = self.n_delays, self.lag
        if "auto" in (n_delays, lag):
            found = embedding_parameters(
                X,
                lag=None if lag == "auto" else lag,
                lag_method=self.lag_method,
                max_dimension=self.max_delays,
                threshold=self.threshold,
            )
            self.curves_ = found.curves
            n_delays = found.n_delays if n_delays == "auto" else n_delays
            lag = found.lag
        self.n_delays_, self.lag_ = int(n_delays), int(lag)
        self.context_length_ = window_span(self.n_delays_, self.lag_)
        return self

    def transform(self, X) -> np.ndarray:
        """Return the delay vectors (n, n_delays_ d); rows without history repeat the first row."""
        check_is_fitted(self)
        X, _ = check_states(self, X, reset=False)
        history = np.repeat(X[:1], self.context_length_ - 1, axis=0)
        return delay_vectors(np.concatenate([history, X]), self.n_delays_, self.lag_)

    def inverse_transform(self, Z) -> np.ndarray:
        """Return the present states (n, d), the first columns of delay vectors Z (n, n_delays_ d)."""
        check_is_fitted(self)
        Z = np.asarray(Z, dtype=np.float64)
        width = self.n_delays_ * self.n_features_in_
        if Z.ndim != 2 or Z.shape[1] != width:
            raise ValueError(f"expected delay vectors of shape (n, {width}), got shape {Z.shape}")
        return Z[:, : self.n_features_in_].copy()

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """Return names like x0, x0[t-5], x0[t-10]."""
        check_is_fitted(self)
        if input_features is None:
            default = [f"x{i}" for i in range(self.n_features_in_)]
            input_features = getattr(self, "feature_names_in_", default)
        shifts = [j * self.lag_ for j in range(self.n_delays_)]
        names = [f"{name}[t-{s}]" if s else str(name) for s in shifts for name in input_features]
        return np.array(names, dtype=object)
