"""Figures of a comparison. Each function draws on a matplotlib figure that it is given."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np

from chaosfit.analysis.embedding import lag_by_autocorrelation
from chaosfit.metrics.forecast import error_growth

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from chaosfit.report.comparison import Comparison

# Okabe and Ito's colours (without yellow, which is faint on white) for the leaders, in the order of rank ...
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
# ... and greys with different dashes for the others, so that the page stays readable with many methods.
_GREYS = (("#555555", "--"), ("#888888", ":"), ("#777777", "-."), ("#AAAAAA", "--"))
_INK, _FAINT = "#222222", "#BBBBBB"
# Above this number of variables a forecast is drawn as a picture over space and time.
MAX_CURVES = 6

STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.edgecolor": "#666666",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": "#666666",
    "ytick.color": "#666666",
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "svg.hashsalt": "chaosfit",
    "figure.constrained_layout.use": True,
}


def style() -> AbstractContextManager[None]:
    """Settings of all figures, as a context."""
    import matplotlib

    return matplotlib.rc_context(STYLE)


def line_styles(methods: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Colour and dashes of every method, given in the order of rank; the same in all figures."""
    greys = [_GREYS[i % len(_GREYS)] for i in range(max(len(methods) - len(_COLOURS), 0))]
    return dict(zip(methods, [*((colour, "-") for colour in _COLOURS), *greys], strict=False))


def draw_valid_times(ax: Axes, comparison: Comparison) -> None:
    """Draw one dot for every start, a bar for the quartiles and a tick for the median of every method."""
    methods, horizon = comparison.ranking, comparison.horizon
    end = _end_of_interest(comparison)
    rng = np.random.default_rng(0)  # only spreads the dots
    for position, (method, (colour, _)) in enumerate(line_styles(methods).items()):
        values = np.asarray(comparison.record(method)["valid_time"])
        low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
        jitter = position + rng.uniform(-0.18, 0.18, len(values))
        ax.plot(values, jitter, "o", ms=3.5, mec="none", color=colour, alpha=0.45, clip_on=False)
        ax.plot([low, high], [position, position], color=colour, lw=5, alpha=0.35, solid_capstyle="butt")
        ax.plot([median, median], [position - 0.32, position + 0.32], color=colour, lw=2.2)
    if end == horizon:
        ax.axvline(horizon, color=_FAINT, lw=0.8, ls=":")
        label: dict[str, Any] = {"transform": ax.get_xaxis_transform(), "ha": "right", "va": "bottom"}
        ax.text(horizon, 1.0, "horizon", color="#888888", fontsize=8, **label)
    ax.set(xlabel=f"valid time [{comparison.unit}]", xlim=(0, 1.02 * end))
    ax.set_yticks(range(len(methods)), methods)
    ax.set_ylim(len(methods) - 0.5, -0.6)
    ax.tick_params(axis="y", length=0)


def draw_error_growth(ax: Axes, comparison: Comparison) -> None:
    """Draw the median over the starts of the scaled error, with quartiles for the three best methods."""
    parts, time = comparison.parts, comparison.time
    lowest = 1.0
    for rank, (method, (colour, dashes)) in enumerate(line_styles(comparison.ranking).items()):
        errors = error_growth(parts.targets, comparison.forecasts[method], scale=parts.scale)
        low, median, high = np.quantile(errors, [0.25, 0.5, 0.75], axis=0, method="nearest")
        ax.plot(time, np.where(np.isfinite(median), median, np.nan), dashes, color=colour, label=method)
        if rank < 3:
            shown = np.isfinite(high)
            ax.fill_between(time[shown], low[shown], high[shown], color=colour, alpha=0.12, lw=0)
        positive = median[np.isfinite(median) & (median > 0)]
        lowest = min([lowest, *positive])
    threshold = comparison.protocol.threshold
    ax.axhline(threshold, color=_INK, lw=0.9, ls="--")
    label: dict[str, Any] = {"transform": ax.get_yaxis_transform(), "ha": "right", "va": "top"}
    ax.text(1, threshold, f"valid below {threshold:g}", fontsize=8, **label)
    ax.set(xlabel=f"time after the start [{comparison.unit}]", ylabel="error / standard deviation")
    ax.set(yscale="log", ylim=(max(lowest / 2, 1e-13), 4), xlim=(0, _end_of_interest(comparison)))
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def draw_forecasts(figure: Figure, comparison: Comparison, start: int) -> None:
    """Draw every method's forecast of the first variable from one start against the truth."""
    truth, time = comparison.parts.targets[start, :, 0], comparison.time
    labels = f"time [{comparison.unit}]", comparison.data.columns[0]
    axes = _grid(figure, len(comparison.ranking), 2, *labels)
    for ax, (method, (colour, _)) in zip(axes, line_styles(comparison.ranking).items(), strict=False):
        n_valid = comparison.record(method)["valid_steps"][start]
        draw_forecast(ax, time, truth, comparison.forecasts[method][start, :, 0], n_valid, colour)
        _mark_valid(ax, comparison, method, start)
        ax.set_xlim(0, _end_of_interest(comparison))


def draw_forecast(
    ax: Axes, time: np.ndarray, truth: np.ndarray, forecast: np.ndarray, n_valid: int, colour: str
) -> None:
    """Draw the truth in grey, the forecast in colour as long as it is valid, thin afterwards."""
    margin = 0.15 * np.ptp(truth) or 1.0
    ax.plot(time, truth, color=_FAINT, lw=2.6)
    ax.plot(time[: n_valid + 1], forecast[: n_valid + 1], color=colour)
    ax.plot(time[n_valid:], forecast[n_valid:], color=colour, lw=0.8, alpha=0.8)
    ax.set_ylim(truth.min() - margin, truth.max() + margin)


def draw_fields(figure: Figure, comparison: Comparison, start: int) -> None:
    """Draw truth and forecasts from one start as pictures: time to the right, variables upwards."""
    truth = comparison.parts.targets[start]
    methods = comparison.ranking
    axes = _grid(figure, len(methods) + 1, 2, f"time [{comparison.unit}]", "variable")
    low, high = truth.min(), truth.max()
    for ax, method in zip(axes, [None, *methods], strict=False):
        states = truth if method is None else comparison.forecasts[method][start]
        extent = (0.0, comparison.time[-1], -0.5, truth.shape[1] - 0.5)
        picture = {"cmap": "cividis", "vmin": low, "vmax": high, "interpolation": "nearest"}
        ax.imshow(states.T, aspect="auto", origin="lower", extent=extent, **picture)
        if method is None:
            ax.set_title("truth")
        else:
            _mark_valid(ax, comparison, method, start)


def draw_attractors(figure: Figure, comparison: Comparison) -> None:
    """Draw the states of the truth and of each method's forecasts from all starts, in one projection."""
    parts = comparison.parts
    project, labels = projection(parts.train, comparison.data.columns, parts.targets.shape[1])
    truth = project(parts.targets)
    methods = comparison.ranking
    axes = _grid(figure, len(methods) + 1, 4, *labels)
    low, high = truth.min(axis=0), truth.max(axis=0)
    margin = np.where(high > low, 0.12 * (high - low), 1.0)
    panels = [("truth", truth, _INK)] + [
        (method, project(comparison.forecasts[method]), colour) for method, (colour, _) in line_styles(methods).items()
    ]
    for ax, (title, states, colour) in zip(axes, panels, strict=False):
        ax.plot(*states.T, ".", ms=1.6, mew=0, color=colour, alpha=0.6)
        ax.set_title(title)
        seen = ((states >= low - margin) & (states <= high + margin)).all(axis=1).mean()
        if seen < 0.995:
            label: dict[str, Any] = {"transform": ax.transAxes, "ha": "right", "va": "top"}
            ax.text(1, 1, f"{1 - seen:.0%} outside", fontsize=8, **label)
    axes[0].set_xlim(low[0] - margin[0], high[0] + margin[0])
    axes[0].set_ylim(low[1] - margin[1], high[1] + margin[1])


def projection(train: np.ndarray, columns: Sequence[str], horizon: int | None = None):
    """Return a function (B, h, d) -> (N, 2) that shows the attractor well, and the labels of its axes."""
    d = train.shape[1]
    if d == 1:
        # Short forecasts still show half of their states; a single step lies on the diagonal.
        lag = min(lag_by_autocorrelation(train[:, 0]) or 1, (horizon or len(train)) // 2)
        x = columns[0]

        def delayed(states: np.ndarray) -> np.ndarray:
            past, now = states[:, : states.shape[1] - lag, 0], states[:, lag:, 0]
            return np.stack([now.ravel(), past.ravel()], axis=1)

        return delayed, (f"{x}(t)", f"{x}(t − {lag} steps)")
    if d <= 3:
        pair = [0, d - 1]
        return (lambda states: states[..., pair].reshape(-1, 2)), (columns[0], columns[d - 1])
    mean, scale = train.mean(axis=0), train.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    _, _, axes = np.linalg.svd((train - mean) / scale, full_matrices=False)
    directions = axes[:2].T / scale[:, np.newaxis]
    labels = ("principal component 1", "principal component 2")
    return (lambda states: ((states - mean) @ directions).reshape(-1, 2)), labels


def _mark_valid(ax: Axes, comparison: Comparison, method: str, start: int) -> None:
    """Title with the valid time from this start, and a line where it ends."""
    valid = comparison.record(method)["valid_time"][start]
    digits = 2 if valid < 100 else 0
    if valid < comparison.horizon:
        ax.set_title(f"{method}: {valid:.{digits}f}")
        ax.axvline(valid, color=_INK, lw=0.8, ls="--")
    else:
        ax.set_title(f"{method}: ≥ {valid:.{digits}f}")


def _end_of_interest(comparison: Comparison) -> float:
    """Somewhat later than the longest valid time: after that there is nothing to tell apart."""
    longest = max(max(comparison.record(method)["valid_time"]) for method in comparison.ranking)
    return min(comparison.horizon, max(1.3 * longest, comparison.time[0]))


def _grid(figure: Figure, n_panels: int, n_columns: int, xlabel: str, ylabel: str) -> list[Axes]:
    """Panels with common axes; labels at the left, and at the bottom, also above a gap."""
    n_rows = -(-n_panels // n_columns)
    axes = list(figure.subplots(n_rows, n_columns, squeeze=False, sharex=True, sharey=True).ravel())
    for number, ax in enumerate(axes):
        if number >= n_panels:
            ax.remove()
            continue
        if number % n_columns == 0:
            ax.set_ylabel(ylabel)
        if number + n_columns >= n_panels:
            ax.set_xlabel(xlabel)
            ax.tick_params(labelbottom=True)
    return axes[:n_panels]


def size(n_panels: int, n_columns: int, height: float) -> tuple[float, float]:
    """Width and height in inches of a figure that holds a grid of panels of that height."""
    return 9.0, height * -(-n_panels // n_columns) + 0.4
