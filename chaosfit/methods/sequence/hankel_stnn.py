"""A small network whose weight matrices have Hankel structure."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import numpy as np
from torch import nn

from chaosfit.methods.sequence.mlp import _Flat
from chaosfit.nn.forecaster import COUNT, NeuralForecaster
from chaosfit.nn.hankel import KINDS, MODES, HankelLinear
from chaosfit.nn.trainer import Trainer
from chaosfit.validation import StrOptions


class HankelStNN(NeuralForecaster):
    r"""Structured network: layers of Hankel matrices from a window of states to the block that follows it.

    .. math:: z_0 = (x_{t-L+1}, \ldots, x_t), \quad z_{i+1} = \mathrm{gelu}\Bigl(\beta_i + \sum_{k=1}^{p}
              \mathrm{diag}(a_{ik})\, H(c_{ik})\, \mathrm{diag}(b_{ik})\, z_i\Bigr), \quad
              x_{t+j} = x_t + s_j (W z_n)_j

    with s_j the deviation of the increment over j steps. Longer forecasts feed the block back.

    Parameters
    ----------
    context_length : int >= 1, default=8
        Rows L that the network sees.
    horizon : int >= 1, default=1
        Rows k that one evaluation predicts.
    n_units : int >= 1, default=64
        Units of each structured layer.
    n_layers : int >= 1, default=2
    n_terms : int >= 1, default=4
        Hankel matrices p in each layer.
    kind : {"hankel", "vandermonde"}, default="hankel"
        Free entries, or sums of damped exponentials; see `HankelLinear`.
    rank : int >= 1 or None, default=None
        Exponentials of a term with "vandermonde"; None means an eighth of the layer's larger side.
    mode : {"auto", "dense", "fft"}, default="auto"
        How the layers multiply. Below some hundred units building the matrix is faster than transforming.
    trainer : Trainer or None, default=None
        Options of training; None means `Trainer()`.
    random_state : int, RandomState or None, default=None
        Seeds initial weights and batches.

    Attributes
    ----------
    network_ : torch.nn.Module
        (B, L, d) scaled -> (B, k, m) scaled.
    history_ : list of dict
        Losses during training.
    n_parameters_, dense_equivalent_parameters_ : int
        Trained numbers, and those of the same network with dense layers.
    flops_per_step_, dense_equivalent_flops_ : int
        Additions and multiplications of one evaluation for one window, without activations; equal where the
        layers multiply by a dense matrix.
    hankel_matrices_ : list of ndarray of shape (p, n_out, n_in)
        H(c) of each layer.
    exponents_ : list of ndarray of shape (p, R), complex
        log z of each layer, "vandermonde" only.

    Notes
    -----
    In the spirit of the reference, not a reproduction: its idea is that Hankel operators of delay measurements are
    products of sparse factors; layers, widths and training are our own, since neither code nor sizes were at hand. On
    Lorenz's equations the structure saves parameters at equal width; `ReservoirComputer` and `NGRC` forecast better.

    References
    ----------
    Aluvihare, Lingsch, Li and Perera, A Low-complexity Structured Neural Network to Realize States of Dynamical
    Systems, arXiv:2503.23697

    Examples
    --------
    >>> import numpy as np
    >>> from chaosfit.methods.sequence.hankel_stnn import HankelStNN
    >>> from chaosfit.nn.trainer import Trainer
    >>> X = np.sin(0.3 * np.arange(300) + np.array([[0.0], [1.57]])).T
    >>> model = HankelStNN(n_units=16, n_terms=1, trainer=Trainer(max_steps=200), random_state=0).fit(X)
    >>> model.n_parameters_, model.dense_equivalent_parameters_, bool(model.score(X) > 0.99)
    (192, 578, True)
    """

    _accepts_inputs = True
    _parameter_constraints: ClassVar[dict] = {
        **NeuralForecaster._parameter_constraints,
        "n_units": [COUNT],
        "n_layers": [COUNT],
        "n_terms": [COUNT],
        "kind": [StrOptions(set(KINDS))],
        "rank": [COUNT, None],
        "mode": [StrOptions(set(MODES))],
    }

    def __init__(
        self,
        context_length=8,
        horizon=1,
        n_units=64,
        n_layers=2,
        n_terms=4,
        kind="hankel",
        rank=None,
        mode="auto",
        trainer=None,
        random_state=None,
    ):
        self.context_length = context_length
        self.horizon = horizon
        self.n_units = n_units
        self.n_layers = n_layers
        self.n_terms = n_terms
        self.kind = kind
        self.rank = rank
        self.mode = mode
        self.trainer = trainer
        self.random_state = random_state

    def _network(self, n_features, n_outputs, n_inputs):
        n_first = self.context_length * n_features + self.horizon * n_inputs
        options = {"kind": self.kind, "rank": self.rank, "mode": self.mode}
        parts: list[nn.Module] = []
        for n_in, n_out in pairwise([n_first] + [self.n_units] * self.n_layers):
            parts += [HankelLinear(n_in, n_out, self.n_terms, **options), nn.GELU()]
        return _Flat(nn.Sequential(*parts, nn.Linear(self.n_units, self.horizon * n_outputs)), self.horizon)

    # ------------------------------------------------------------------ what was learned, and what it costs
    def _layers(self) -> list[HankelLinear]:
        return [part for part in self.network_.modules() if isinstance(part, HankelLinear)]

    def _n_head(self) -> int:
        return (self.n_units + 1) * self.horizon * self.n_outputs_

    @property
    def n_parameters_(self) -> int:
        """Number of trained real numbers."""
        return sum(layer.n_parameters for layer in self._layers()) + self._n_head()

    @property
    def dense_equivalent_parameters_(self) -> int:
        """Number of parameters of a dense network of the same widths."""
        return sum(layer.dense_parameters for layer in self._layers()) + self._n_head()

    @property
    def flops_per_step_(self) -> int:
        """Operations of one evaluation for one window."""
        return sum(layer.flops for layer in self._layers()) + 2 * self.n_units * self.horizon * self.n_outputs_

    @property
    def dense_equivalent_flops_(self) -> int:
        """Operations of a dense network of the same widths."""
        return sum(layer.dense_flops for layer in self._layers()) + 2 * self.n_units * self.horizon * self.n_outputs_

    @property
    def hankel_matrices_(self) -> list[np.ndarray]:
        """Hankel matrices (p, n_out, n_in) of each layer."""
        return [layer.hankel_matrices().detach().numpy() for layer in self._layers()]

    @property
    def exponents_(self) -> list[np.ndarray]:
        """Exponents (p, R) of each layer, from one position of its input to the next."""
        if self.kind != "vandermonde":
            raise AttributeError("exponents_ needs kind='vandermonde'")
        return [layer.exponents().numpy() for layer in self._layers()]

    @classmethod
    def get_test_params(cls):
        """See `BaseDynamics.get_test_params`."""
        brief = Trainer(max_steps=150, learning_rate=1e-2, batch_size=64)
        small = {"n_units": 16, "n_terms": 2, "trainer": brief, "random_state": 0}
        return [
            {"context_length": 1, **small},
            {"context_length": 3, "horizon": 2, "kind": "vandermonde", "mode": "fft", **small},
        ]
