"""Daily demand that is partly chaotic: a stand-in for records of cash withdrawals, which banks keep to themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from chaosfit.systems.maps import Henon
from chaosfit.validation import check_n_steps

if TYPE_CHECKING:
    from pandas import Series

__all__ = ["load_demand"]

#: Monday to Sunday, relative to an average day.
WEEK = (1.25, 1.05, 0.95, 0.9, 1.0, 1.2, 0.65)


def load_demand(n_days: int = 1000, random_state: int | None = None) -> Series:
    r"""Make a daily series with a weekly profile, a chaotic part and noise.

    .. math:: y_t = 500 \, w_{weekday(t)} \, (1 + 0.3 \, h_t) \, e^{0.02 \epsilon_t}

    with h the first variable of Henon's map and epsilon standard normal. Synthetic, whatever the name suggests: it
    tells whether a pipeline finds season and chaos, not how well it would do for a bank.

    Parameters
    ----------
    n_days : int >= 1, default 1000
    random_state : int, optional
        Seed of the chaotic orbit and of the noise.

    Returns
    -------
    Series of length n_days, indexed by day; the first day is a Monday.

    Examples
    --------
    >>> y = load_demand(3, random_state=0)
    >>> y.index[0].day_name(), y.shape
    ('Monday', (3,))
    """
    import pandas as pd

    n_days = check_n_steps(n_days)
    days = pd.date_range("2020-01-06", periods=n_days, freq="D", name="day")
    chaos = Henon().simulate(n_days, random_state=random_state)[:, 0]
    noise = np.random.default_rng(random_state).standard_normal(n_days)
    level = 500.0 * np.take(WEEK, days.dayofweek) * (1.0 + 0.3 * chaos)
    return pd.Series(level * np.exp(0.02 * noise), index=days, name="demand")
