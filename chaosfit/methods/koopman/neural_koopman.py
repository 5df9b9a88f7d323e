"""Eigenfunctions of the Koopman operator as a neural network."""

from __future__ import annotations

from numbers import Real
from typing import ClassVar, cast

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn import functional

from chaosfit.nn.forecaster import COUNT, NeuralForecaster
from chaosfit.nn.layers import perceptron
from chaosfit.nn.trainer import Trainer
from chaosfit.nn.windows import split_tail
from chaosfit.numerics.delay import windows
from chaosfit.validation import Interval, StrOptions, check_states

__all__ = ["NeuralKoopman"]


class NeuralKoopman(NeuralForecaster):
    r"""An encoder whose outputs evolve linearly, each pair by its own rotation and growth, and a decoder.

    .. math:: \varphi = f(x_{t-L+1}, \ldots, x_t) \in \mathbb{C}^r, \qquad
              x_{t+k} \approx x_t + g(\lambda_1^k \varphi_1, \ldots, \lambda_r^k \varphi_r) - g(\varphi)

    An operator with other eigenvectors would be the same model, since the encoder ends in a linear layer. Training
    adds three mean squared errors: of the forecast, k = 1 ... T, of the reconstruction :math:`g(\varphi) \approx x_t`,
    and of :math:`\varphi(x_{t+k}) - \lambda^k \varphi(x_t)` relative to the variance of :math:`\varphi`, so that
    neither small nor constant functions win.

    Parameters
    ----------
    n_pairs : int >= 1, default=8
        Eigenfunctions r, each standing for a conjugate pair.
    context_length : int >= 1, default=1
        Rows L that the encoder sees.
    horizon : int >= 1, default=10
        Steps T over which training demands linearity, and after which a re-lifted forecast encodes anew.
    hidden : tuple of int >= 1, default=(64, 64)
        Units of the encoder's hidden layers; the decoder has them in reverse.
    constraint : {None, "stable", "imaginary"}, default=None
        No growth, or neither growth nor decay: |lambda| <= 1 or |lambda| = 1.
    relift : bool, default=True
        Encode the forecast anew every `horizon` steps: a nonlinear model. False: the linear forecast, right for
        (quasi-)periodic and decaying dynamics.
    dt : float > 0, default=1.0
        Time between rows, for `continuous_eigenvalues_`.
    trainer : Trainer or None, default=None
        Options of training; None means `Trainer()`.
    random_state : int, RandomState or None, default=None
        Seeds initial weights and batches.

    Attributes
    ----------
    network_ : torch.nn.Module
        (B, L, d) scaled -> (B, T, m) scaled.
    history_ : list of dict
        Losses during training.
    eigenvalues_, continuous_eigenvalues_ : ndarray of shape (r,), complex
        lambda, one of each conjugate pair, by falling absolute value, and log(lambda) / dt.
    residuals_ : ndarray of shape (r,)
        |g(F(x)) - lambda g(x)| / deviation of g for each eigenfunction g, on the held-out rows of the trainer
        (on all rows without them).

    Notes
    -----
    Not a proof that eigenvalues exist: a small residual marks a nearly invariant function, and a mixing system has
    those, too. On Lorenz's equations at dt = 0.05 all eight residuals are near 0.06 and the linear forecast lasts
    0.6 Lyapunov times, the re-lifted one 1.0. Nor are eigenvalues unique: with g also |g|^p is an eigenfunction, and
    nothing here prefers p = 1. The decoder is nonlinear, so there are no modes. Where a dictionary of polynomials
    or delays suffices, `EDMD` is exact and takes milliseconds.

    References
    ----------
    Lusch, Kutz, Brunton, Nat. Commun. 9, 4950 (2018), arXiv:1712.09707; Otto, Rowley, SIAM J. Appl. Dyn. Syst. 18,
    558 (2019), arXiv:1712.01378. The relative loss of linearity is our own.

    Examples
    --------
    >>> import numpy as np
    >>> from chaosfit.methods.koopman.neural_koopman import NeuralKoopman
    >>> from chaosfit.nn.trainer import Trainer
    >>> angle = 0.3 * np.arange(400)
    >>> X = np.column_stack([np.cos(angle), np.sin(angle)])
    >>> model = NeuralKoopman(1, hidden=(), trainer=Trainer(max_steps=300), random_state=0).fit(X)
    >>> np.angle(model.eigenvalues_).round(2), bool(model.residuals_[0] < 0.05)
    (array([0.3]), True)
    """

    _parameter_constraints: ClassVar[dict] = {
        **NeuralForecaster._parameter_constraints,
        "n_pairs": [COUNT],
        "hidden": [tuple, list],
        "constraint": [None, StrOptions({"stable", "imaginary"})],
        "relift": ["boolean"],
        "dt": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        n_pairs=8,
        context_length=1,
        horizon=10,
        hidden=(64, 64),
        constraint=None,
        relift=True,
        dt=1.0,
        trainer=None,
        random_state=None,
    ):
        self.n_pairs = n_pairs
        self.context_length = context_length
        self.horizon = horizon
        self.hidden = hidden
        self.constraint = constraint
        self.relift = relift
        self.dt = dt
        self.trainer = trainer
        self.random_state = random_state

    # ------------------------------------------------------------------ network and training
    def _network(self, n_features, n_outputs, n_inputs):
        sizes = [self.context_length * n_features, *self.hidden, 2 * self.n_pairs]
        encoder, decoder = perceptron(sizes), perceptron([*sizes[:0:-1], n_outputs])
        starts_at_state = n_outputs == n_features and self._self_supervised
        return _Rotations(encoder, decoder, self.n_pairs, self.horizon, self.constraint, starts_at_state)

    def _scaled_network(self, n_features, n_outputs, n_inputs):
        return self._network(n_features, n_outputs, n_inputs)  # takes its increments itself

    def _loss(self, network, batch):
        past, future = batch["past"], batch["future"]
        now = network.encode(past)
        ahead = network.advance(now, self.horizon)
        terms = {"forecast": functional.mse_loss(network.forecast(past[:, -1:], now, ahead), future)}
        if not self._self_supervised:  # other targets are no states that could be encoded
            return terms
        terms["reconstruction"] = functional.mse_loss(network.decode(now), past[:, -1])
        states = torch.cat([past, future], 1).unfold(1, self.context_length, 1).transpose(2, 3)
        error = network.encode(states[:, 1:]) - ahead
        variance = (now - now.mean(0)).abs().square().mean(0)
        terms["linearity"] = (error.abs().square().mean((0, 1)) / variance.clamp_min(1e-6)).mean()
        return terms

    def _target_moments(self, targets, rows):
        if self._self_supervised:  # forecasts are encoded, so they are scaled like what the encoder sees
            return self.input_mean_, self.input_scale_
        return super()._target_moments(targets, rows)

    def _fit(self, trajectories):
        super()._fit(trajectories)
        with torch.no_grad():
            eigenvalues = self.network_.exponents().exp().numpy()
        self._order = np.lexsort((np.angle(eigenvalues), -np.abs(eigenvalues).round(12)))
        self.eigenvalues_ = eigenvalues[self._order]
        self.continuous_eigenvalues_ = np.log(self.eigenvalues_) / self.dt
        if self._self_supervised:
            self.residuals_ = self._held_out_residuals([t.states for t in trajectories])

    def _held_out_residuals(self, trajectories: list[np.ndarray]) -> np.ndarray:
        fraction = (self.trainer or Trainer()).validation_fraction
        shortest = self.context_length + self.horizon - 1
        parts = split_tail([len(X) - 1 for X in trajectories], fraction, shortest)
        chosen = parts[1] if any(part.stop > part.start for part in parts[1]) else parts[0]
        series = [X[part.start : part.stop + 1] for X, part in zip(trajectories, chosen, strict=True)]
        phi = [self._encoded(X) for X in series if len(X) > self.context_length]
        now = np.concatenate([values[:-1] for values in phi])
        error = np.concatenate([values[1:] for values in phi]) - self.eigenvalues_ * now
        size = now.std(axis=0)
        missed = np.sqrt(np.mean(np.abs(error) ** 2, axis=0))
        return np.divide(missed, size, out=np.full(len(size), np.inf), where=size > 0)

    def _encoded(self, X: np.ndarray) -> np.ndarray:
        """Eigenfunctions (n - L + 1, r) at every full window of X (n, d)."""
        scaled = torch.from_numpy((windows(X, self.context_length) - self.input_mean_) / self.input_scale_)
        with torch.no_grad():
            return np.asarray(cast(_Rotations, self.network_).encode(scaled))[:, self._order]

    # ------------------------------------------------------------------ engine
    def _free_run(self, context, n_steps, u):
        if self.relift:
            return super()._free_run(context, n_steps, u)
        with torch.no_grad():
            scaled = torch.from_numpy((context[:, -self.context_length :] - self.input_mean_) / self.input_scale_)
            path = self.network_(scaled, n_steps)
        return path.numpy() * self.target_scale_ + self.target_mean_

    # ------------------------------------------------------------------ analysis
    def eigenfunctions(self, X) -> np.ndarray:
        """Evaluate the eigenfunctions along a trajectory X (n, d): (n, r), complex; see `EDMD.eigenfunctions`.

        Rows without history repeat the first row.
        """
        check_is_fitted(self)
        X, _ = check_states(self, X, reset=False)
        return self._encoded(np.concatenate([np.repeat(X[:1], self.context_length - 1, axis=0), X]))

    def verified(self, tolerance: float = 0.05) -> np.ndarray:
        """Return which eigenvalues have a held-out residual below the tolerance, (r,) bool."""
        check_is_fitted(self)
        if not self._self_supervised:
            raise ValueError("NeuralKoopman was fitted with y, so it holds no operator. Fit it without y.")
        return self.residuals_ < tolerance

    @classmethod
    def get_test_params(cls):
        """See `BaseDynamics.get_test_params`."""
        brief = Trainer(max_steps=200, learning_rate=1e-2, batch_size=64)
        small = {"n_pairs": 4, "hidden": (16,), "trainer": brief, "random_state": 0}
        return [
            {"horizon": 2, **small},
            {"context_length": 3, "horizon": 2, "relift": False, "constraint": "stable", **small},
        ]


class _Rotations(nn.Module):
    """Encoder, decoder and the eigenvalues between them."""

    encoder: nn.Module
    decoder: nn.Module

    def __init__(self, encoder: nn.Module, decoder: nn.Module, n_pairs: int, horizon: int, constraint, starts_at_state):
        super().__init__()
        self.encoder, self.decoder, self.horizon = encoder, decoder, horizon
        self.constraint, self.starts_at_state = constraint, starts_at_state
        growth = -4.0 if constraint == "stable" else 0.0  # softplus(-4) = 0.02: slow decay
        self.growth = nn.Parameter(torch.full((n_pairs,), growth), requires_grad=constraint != "imaginary")
        self.angle = nn.Parameter(torch.linspace(0, 0.5, n_pairs + 2)[1:-1].clone())

    def exponents(self) -> Tensor:
        """Return log lambda (r,)."""
        growth = -functional.softplus(self.growth) if self.constraint == "stable" else self.growth
        return torch.complex(growth, self.angle)

    def encode(self, windows: Tensor) -> Tensor:
        """Map windows (..., L, d) to eigenfunctions (..., r)."""
        return torch.view_as_complex(self.encoder(windows.flatten(-2)).unflatten(-1, (-1, 2)))

    def advance(self, phi: Tensor, n_steps: int) -> Tensor:
        """Return lambda^k phi for k = 1 .. n_steps: (B, r) -> (B, n_steps, r)."""
        steps = torch.arange(1, n_steps + 1, dtype=self.growth.dtype, device=phi.device)
        return phi[:, None] * torch.exp(steps[:, None] * self.exponents())

    def decode(self, phi: Tensor) -> Tensor:
        """Map eigenfunctions (..., r) to outputs (..., m)."""
        outputs: Tensor = self.decoder(torch.view_as_real(phi).flatten(-2))
        return outputs

    def forecast(self, last: Tensor, now: Tensor, ahead: Tensor) -> Tensor:
        """Return what follows the last row (B, 1, d), from the eigenfunctions there (B, r) and ahead (B, k, r)."""
        outputs = self.decode(ahead)
        # What the decoder misses now it would miss ahead, too.
        return last + outputs - self.decode(now)[:, None] if self.starts_at_state else outputs

    def forward(self, past: Tensor, n_steps: int | None = None) -> Tensor:
        """Map past (B, L, d) to (B, T, m)."""
        now = self.encode(past)
        return self.forecast(past[:, -1:], now, self.advance(now, n_steps or self.horizon))
