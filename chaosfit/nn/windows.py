"""Training data as named tensors that share their first axis; windows are strided views, never copies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor


class Samples:
    """Training examples: the same rows of several named tensors.

    Parameters
    ----------
    views : dict of str to Tensor
        Tensors whose first axes index examples. They are kept as they are, so views stay views.
    rows : Tensor of shape (n_examples,), optional
        Which first-axis positions are examples; all of them when left out.

    Examples
    --------
    >>> import torch
    >>> samples = Samples({"points": torch.arange(6.0).reshape(3, 2)})
    >>> len(samples), samples.batch(torch.tensor([2]))["points"].tolist()
    (3, [[4.0, 5.0]])
    """

    def __init__(self, views: Mapping[str, Tensor], rows: Tensor | None = None):
        self.views = dict(views)
        self.rows = torch.arange(min(len(view) for view in self.views.values())) if rows is None else rows

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, positions: Tensor, device: str | torch.device = "cpu") -> dict[str, Tensor]:
        """Copy the examples at `positions` (B,) to `device`: name -> (B, ...)."""
        rows = self.rows[positions]
        return {name: view[rows].to(device) for name, view in self.views.items()}


def pairs(inputs: Tensor, targets: Tensor) -> Samples:
    """Examples of input and target with equal first axis, for fields, columns and flow maps."""
    if len(inputs) != len(targets):
        raise ValueError(f"inputs and targets must have equally many rows, got {len(inputs)} and {len(targets)}")
    return Samples({"inputs": inputs, "targets": targets})


def points(values: Tensor) -> Samples:
    """Examples that are single states, for densities and scores."""
    return Samples({"points": values})


def windows(
    past: Mapping[str, Sequence[Tensor]],
    future: Mapping[str, Sequence[Tensor]],
    length: int,
    horizon: int = 1,
    *,
    stride: int = 1,
) -> Samples:
    """Every window of `length` rows with the `horizon` rows that belong to its end.

    A window that ends at row t takes rows t-L+1 .. t of what is `past` and rows t .. t+H-1 of what is `future`:
    a future series holds at row t what follows row t. No window crosses a border between trajectories.

    Parameters
    ----------
    past, future : dict of str to sequence of Tensors of shape (n_i, any)
        One tensor for each trajectory, equally long in all series.
    length, horizon : int
        L >= 1 and H >= 1 rows.
    stride : int
        Rows between the starts of consecutive windows of one trajectory.

    Returns
    -------
    Samples
        (B, L, any) under the names of `past`, (B, H, any) under those of `future`.

    Raises
    ------
    ValueError
        If no trajectory has L + H - 1 rows.

    Examples
    --------
    >>> import torch
    >>> rows = torch.arange(5.0)[:, None]
    >>> samples = windows({"past": [rows[:-1]]}, {"future": [rows[1:]]}, length=2, horizon=2)
    >>> batch = samples.batch(torch.tensor([1]))
    >>> batch["past"].flatten().tolist(), batch["future"].flatten().tolist()
    ([1.0, 2.0], [3.0, 4.0])
    """
    counts = [len(values) for values in next(iter(past.values()))]
    span = length + horizon - 1
    starts = np.cumsum([0, *counts])[:-1]
    rows = [np.arange(start, start + count - span + 1, stride) for start, count in zip(starts, counts, strict=True)]
    examples = torch.from_numpy(np.concatenate(rows))
    if len(examples) == 0:
        raise ValueError(
            f"every trajectory must have at least {span} rows with a target for a context of {length} and a "
            f"horizon of {horizon}; the longest has {max(counts)}. Give longer trajectories or a shorter context."
        )
    views = {name: _sliding(_stack(series), length) for name, series in past.items()}
    for name, series in future.items():
        views[name] = _sliding(_stack(series)[length - 1 :], horizon)
    return Samples(views, examples)


def split_tail(counts: Sequence[int], fraction: float, shortest: int) -> tuple[list[slice], list[slice]]:
    """Rows of every trajectory for training and for validation, without a common row.

    With five trajectories or more the last ones are held out whole, otherwise the tail of each. A block of
    fewer than `shortest` rows cannot hold a window: then that trajectory is used for training alone.

    Returns
    -------
    training, validation : lists of slice
        One slice for each trajectory; empty slices where it does not take part.

    Examples
    --------
    >>> split_tail([100], 0.1, shortest=5)
    ([slice(0, 90, None)], [slice(90, 100, None)])
    >>> split_tail([20], 0.1, shortest=5)
    ([slice(0, 20, None)], [slice(20, 20, None)])
    """
    training, validation = [], []
    n_held_out = round(fraction * len(counts)) if len(counts) >= 5 else 0
    n_held_out = max(n_held_out, 1) if len(counts) >= 5 and fraction > 0 else 0
    for position, count in enumerate(counts):
        if n_held_out:
            cut = 0 if position >= len(counts) - n_held_out else count
        else:
            cut = count - round(fraction * count)
        if count - cut < shortest or 0 < cut < shortest:
            cut = count
        training.append(slice(0, cut))
        validation.append(slice(cut, count))
    return training, validation


def _stack(series: Sequence[Tensor]) -> Tensor:
    return series[0] if len(series) == 1 else torch.cat(list(series))


def _sliding(values: Tensor, width: int) -> Tensor:
    """View (n, d) as (n - width + 1, width, d)."""
    return values.unfold(0, width, 1).transpose(1, 2)
