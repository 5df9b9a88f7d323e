"""The one training loop: phases, budgets, early stopping, best weights, seeds, threads, checkpoints."""

from __future__ import annotations

import dataclasses
import math
import re
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from numbers import Integral, Real
from os import PathLike, path
from typing import Any, ClassVar

import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor, nn

from chaosfit.nn import checkpoint
from chaosfit.nn.windows import Samples
from chaosfit.validation import Interval, StrOptions

_COUNT = Interval(Integral, 1, None, closed="left")
_POSITIVE = Interval(Real, 0, None, closed="neither")
_OPTIMIZERS = {"adamw": torch.optim.AdamW, "radam": torch.optim.RAdam}
_SCHEDULES: dict[str, Callable[[float], float]] = {
    "cosine": lambda progress: 0.5 * (1.0 + math.cos(math.pi * progress)),
    "exponential": lambda progress: 1e-3**progress,
    "constant": lambda progress: 1.0,
}
#: Validation reads at most this many examples, evenly spaced over the held-out block.
VALIDATION_EXAMPLES = 4096

Loss = Callable[[nn.Module, dict[str, Tensor]], dict[str, Tensor]]


class NonFiniteLossError(FloatingPointError):
    """Three steps in a row had a loss or gradient that is not finite."""


@dataclasses.dataclass(frozen=True)
class Phase:
    """One stretch of training with one loss.

    Attributes
    ----------
    name : str
    loss : callable(network, batch) -> dict of str to scalar Tensor
        Terms whose sum is minimised. It runs under `torch.no_grad` in validation.
    parameters : str
        Regular expression; only parameters whose name contains a match are trained. Default: all.
    learning_rate, max_steps, max_seconds : optional
        In place of the trainer's.
    monitor : callable(network) -> float, optional
        What early stopping minimises instead of the validation loss.
    """

    name: str
    loss: Loss
    parameters: str = ""
    learning_rate: float | None = None
    max_steps: int | None = None
    max_seconds: float | None = None
    monitor: Callable[[nn.Module], float] | None = None


class Trainer(BaseEstimator):
    """All options of training, as one parameter object of a neural estimator.

    Parameters
    ----------
    learning_rate : float > 0, default=5e-3
        Step size of the optimizer at the start of a phase.
    batch_size : int >= 1, default=256
        Windows in one step.
    max_steps : int >= 1, default=3000
        Steps of a phase.
    max_seconds : float > 0 or None, default=None
        Wall-clock limit of a phase. With it, results depend on the machine.
    optimizer : {"adamw", "radam"}, default="adamw"
    weight_decay : float >= 0, default=0.0
        Not applied to parameters with an attribute `no_weight_decay`.
    schedule : {"cosine", "exponential", "constant"}, default="cosine"
        Learning rate over the budget of a phase: to 0, to a thousandth, or kept.
    clip_norm : float > 0 or None, default=1.0
        Largest norm of the gradient.
    validation_fraction : float in [0, 0.5], default=0.1
        Last part of the data, held out to stop early and to choose the weights. With 0, or with too few rows
        for one window, the weights of the last step are kept.
    validate_every : int >= 1, default=100
        Steps between two validations.
    patience : int >= 1 or None, default=None
        Stop a phase after this many validations without improvement.
    device : str, default="auto"
        "auto" takes CUDA where there is one. Fitted networks live on the CPU in any case.
    n_threads : int >= 1 or None, default=1
        Threads of torch while it trains; None leaves them. Only one thread gives the same bits every time.
    checkpoint : path or None, default=None
        File to which the run is saved at every validation. A fit that finds it goes on from there, provided data,
        parameters and seed are the same (so `random_state` must be an integer).
    verbose : bool, default=False
        Show a progress bar.

    Examples
    --------
    >>> from chaosfit.nn.trainer import Trainer
    >>> Trainer(max_steps=10).get_params()["max_steps"]
    10
    """

    _parameter_constraints: ClassVar[dict] = {
        "learning_rate": [_POSITIVE],
        "batch_size": [_COUNT],
        "max_steps": [_COUNT],
        "max_seconds": [_POSITIVE, None],
        "optimizer": [StrOptions(set(_OPTIMIZERS))],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "schedule": [StrOptions(set(_SCHEDULES))],
        "clip_norm": [_POSITIVE, None],
        "validation_fraction": [Interval(Real, 0, 0.5, closed="both")],
        "validate_every": [_COUNT],
        "patience": [_COUNT, None],
        "device": [str],
        "n_threads": [_COUNT, None],
        "checkpoint": [str, PathLike, None],
        "verbose": ["boolean"],
    }

    def __init__(
        self,
        learning_rate=5e-3,
        batch_size=256,
        max_steps=3000,
        max_seconds=None,
        optimizer="adamw",
        weight_decay=0.0,
        schedule="cosine",
        clip_norm=1.0,
        validation_fraction=0.1,
        validate_every=100,
        patience=None,
        device="auto",
        n_threads=1,
        checkpoint=None,
        verbose=False,
    ):
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_steps = max_steps
        self.max_seconds = max_seconds
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.clip_norm = clip_norm
        self.validation_fraction = validation_fraction
        self.validate_every = validate_every
        self.patience = patience
        self.device = device
        self.n_threads = n_threads
        self.checkpoint = checkpoint
        self.verbose = verbose

    def train(
        self,
        network: nn.Module,
        training: Samples,
        phases: list[Phase],
        *,
        validation: Samples | None = None,
        seed: int = 0,
    ) -> list[dict[str, Any]]:
        """Train `network` in place, one phase after another; keep the best weights of each.

        Returns
        -------
        list of dict
            One record a validation: `phase`, `step`, `learning_rate`, `seconds`, `loss`, the terms of the loss
            (means since the record before) and, with validation data, `validation_loss`.

        Raises
        ------
        NonFiniteLossError
            If three steps in a row had a loss or gradient that is not finite.
        """
        self._validate_params()
        device = _device(self.device)
        with torch_threads(self.n_threads), seeded(seed, device):
            network.to(device).train()
            run = _Run(self, network, training, phases, validation, seed, device)
            while run.position < len(phases):
                run.train_phase()
        network.cpu().eval()
        return run.history


class _Run:
    """One call of `Trainer.train`: what changes from step to step, and how it is saved and resumed."""

    def __init__(self, trainer, network, training, phases, validation, seed, device):
        self.trainer, self.network, self.phases, self.device = trainer, network, phases, device
        self.training, self.validation, self.seed = training, validation, seed
        self.history: list[dict[str, Any]] = []
        self.position = 0  # of the phase
        self.optimizer_state: dict[str, Any] | None = None
        self._start_phase()
        if trainer.checkpoint is not None and path.exists(trainer.checkpoint):
            self._load()

    def _start_phase(self) -> None:
        self.step, self.seconds, self.stale = 0, 0.0, 0
        self.rate_factor, self.failures = 1.0, 0
        self.best_score = math.inf
        self.best_weights: dict[str, Tensor] | None = None

    def train_phase(self) -> None:
        """Run the current phase to its end and leave the best weights in the network."""
        trainer, phase = self.trainer, self.phases[self.position]
        self.max_steps = phase.max_steps or trainer.max_steps
        self.max_seconds = phase.max_seconds or trainer.max_seconds or math.inf
        with only_trainable(self.network, phase.parameters) as parameters:
            optimizer = self._make_optimizer(parameters, phase)
            terms: dict[str, list[float]] = defaultdict(list)
            with _progress_bar(trainer.verbose, phase.name, self.max_steps, self.step) as bar:
                started = time.perf_counter() - self.seconds
                while not self._is_finished():
                    for name, value in self._one_step(phase, optimizer, parameters).items():
                        terms[name].append(value)
                    self.step += 1
                    self.seconds = time.perf_counter() - started
                    bar.update()
                    if self.step % trainer.validate_every == 0 or self._is_finished():
                        self._validate(phase, optimizer, terms)
        self._warn_of_time_limit(phase)
        if self.best_weights is not None:
            self.network.load_state_dict(self.best_weights)
        self.position += 1
        self._start_phase()

    def _is_finished(self) -> bool:
        patience = self.trainer.patience or math.inf
        return self.step >= self.max_steps or self.seconds >= self.max_seconds or self.stale >= patience

    def _one_step(self, phase: Phase, optimizer, parameters: list[nn.Parameter]) -> dict[str, float]:
        """Take one step of the optimizer; return the terms of the loss, or nothing when it was not finite."""
        self._set_rate(optimizer)
        batch = self.training.batch(self._positions(), self.device)
        terms = phase.loss(self.network, batch)
        loss = torch.stack(list(terms.values())).sum()
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(parameters, self.trainer.clip_norm or math.inf)
        if not bool(torch.isfinite(loss) & torch.isfinite(norm)):
            self._count_failure(phase, {name: term.item() for name, term in terms.items()})
            return {}
        optimizer.step()
        self.failures = 0
        return {"loss": loss.item(), **{name: term.item() for name, term in terms.items()}}

    def _positions(self) -> Tensor:
        """Examples of this step: nearly equal parts of a permutation that depends on seed and epoch alone."""
        count = len(self.training)
        n_parts = math.ceil(count / self.trainer.batch_size)
        epoch, part = divmod(self.step, n_parts)
        if getattr(self, "_shuffled", None) != (self.position, epoch):
            generator = torch.Generator().manual_seed(self.seed + 1_000_003 * self.position + epoch)
            self._permutation = torch.randperm(count, generator=generator)
            self._shuffled = (self.position, epoch)
        return self._permutation[part * count // n_parts : (part + 1) * count // n_parts]

    def _set_rate(self, optimizer) -> None:
        progress = min(max(self.step / self.max_steps, self.seconds / self.max_seconds), 1.0)
        factor = self.rate_factor * _SCHEDULES[self.trainer.schedule](progress)
        for group in optimizer.param_groups:
            group["lr"] = factor * group["initial_lr"]

    def _count_failure(self, phase: Phase, terms: dict[str, float]) -> None:
        self.failures += 1
        self.rate_factor = min(self.rate_factor, 0.5)
        if self.failures < 3:
            return
        bad = [name for name, value in terms.items() if not math.isfinite(value)]
        what = f"the loss term(s) {', '.join(bad)}" if bad else "the gradient"
        raise NonFiniteLossError(
            f"training must have a finite loss, but in phase {phase.name!r} {what} was not finite in three steps "
            f"in a row, the last of them step {self.step} (terms: {terms}). Lower learning_rate or clip_norm, or "
            "look for extreme values in the data."
        )

    def _validate(self, phase: Phase, optimizer, terms: dict[str, list[float]]) -> None:
        """Write a record, remember the best weights, save the run."""
        record: dict[str, Any] = {"phase": phase.name, "step": self.step, "seconds": self.seconds}
        record["learning_rate"] = optimizer.param_groups[0]["lr"]
        record |= {name: sum(values) / len(values) for name, values in terms.items()}
        terms.clear()
        score = None
        if self.validation is not None:
            score = record["validation_loss"] = evaluate(
                self.network, phase.loss, self.validation, self.trainer.batch_size, self.device
            )
        if phase.monitor is not None:
            score = record["monitor"] = float(phase.monitor(self.network))
        if score is not None:
            self.stale += 1
            if score < self.best_score:
                self.best_score, self.stale = score, 0
                self.best_weights = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.history.append(record)
        if self.trainer.checkpoint is not None:
            self._save(optimizer)

    def _warn_of_time_limit(self, phase: Phase) -> None:
        if self.seconds >= self.max_seconds and self.step < self.max_steps:
            warnings.warn(
                f"phase {phase.name!r} was stopped by max_seconds={self.max_seconds:g} after {self.step} of "
                f"{self.max_steps} steps; allow more seconds or fewer steps",
                ConvergenceWarning,
                stacklevel=5,
            )

    def _make_optimizer(self, parameters: list[nn.Parameter], phase: Phase):
        trainer = self.trainer
        groups: list[dict[str, Any]] = [
            {"params": [p for p in parameters if not hasattr(p, "no_weight_decay")]},
            {"params": [p for p in parameters if hasattr(p, "no_weight_decay")], "weight_decay": 0.0},
        ]
        rate = phase.learning_rate or trainer.learning_rate
        groups = [{**group, "initial_lr": rate} for group in groups if group["params"]]
        optimizer = _OPTIMIZERS[trainer.optimizer](groups, lr=rate, weight_decay=trainer.weight_decay)
        if self.optimizer_state is not None:
            optimizer.load_state_dict(self.optimizer_state)
            self.optimizer_state = None
        return optimizer

    _SAVED = ("position", "step", "seconds", "stale", "rate_factor", "failures", "best_score", "history")

    def _identity(self) -> dict[str, Any]:
        """What must agree between the run that was saved and the one that goes on."""
        first = self.training.batch(torch.arange(min(8, len(self.training))))
        options = {k: v for k, v in self.trainer.get_params().items() if k not in ("checkpoint", "verbose")}
        return {
            "seed": self.seed,
            "phases": [phase.name for phase in self.phases],
            "n_examples": len(self.training),
            "first_examples": {name: value.double().sum().item() for name, value in first.items()},
            "parameters": {name: list(value.shape) for name, value in self.network.state_dict().items()},
            "trainer": options,
        }

    def _save(self, optimizer) -> None:
        state = {name: getattr(self, name) for name in self._SAVED}
        tensors = {
            "network": self.network.state_dict(),
            "optimizer": optimizer.state_dict(),
            "best_weights": self.best_weights,
            "generator": torch.get_rng_state(),
        }
        checkpoint.write(self.trainer.checkpoint, {"identity": self._identity(), "run": state}, tensors)

    def _load(self) -> None:
        config, tensors = checkpoint.read(self.trainer.checkpoint)
        mine = self._identity()
        differing = [name for name, value in mine.items() if config.get("identity", {}).get(name) != value]
        if differing:
            raise ValueError(
                f"checkpoint {self.trainer.checkpoint} must come from the same run, but {', '.join(differing)} "
                "differ; delete the file or give another one"
            )
        for name in self._SAVED:
            setattr(self, name, config["run"][name])
        self.network.load_state_dict(tensors["network"])
        self.best_weights, self.optimizer_state = tensors["best_weights"], tensors["optimizer"]
        torch.set_rng_state(tensors["generator"])


def evaluate(network: nn.Module, loss: Loss, samples: Samples, batch_size: int = 1024, device="cpu") -> float:
    """Mean loss over at most `VALIDATION_EXAMPLES` evenly spaced examples, none dropped at the end.

    The network is in evaluation mode meanwhile, and losses that draw random numbers draw the same ones each time.
    """
    count = min(len(samples), VALIDATION_EXAMPLES)
    positions = torch.arange(count) * len(samples) // count
    was_training = network.training
    network.eval()
    total = 0.0
    with torch.no_grad(), seeded(0, torch.device(device)):
        for part in positions.split(max(batch_size, 1024)):
            total += len(part) * float(sum(loss(network, samples.batch(part, device)).values()))
    network.train(was_training)
    return total / count


@contextmanager
def seeded(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Torch draws from `seed` inside; its global generators are as before afterwards."""
    device = torch.device(device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


@contextmanager
def torch_threads(n_threads: int | None) -> Iterator[None]:
    """Torch uses `n_threads` inside and what it used before afterwards."""
    before = torch.get_num_threads()
    if n_threads is not None:
        torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def only_trainable(network: nn.Module, pattern: str) -> Iterator[list[nn.Parameter]]:
    """Freeze all parameters whose name has no match of `pattern`; yield the others."""
    before = {name: parameter.requires_grad for name, parameter in network.named_parameters()}
    chosen = {name for name, trainable in before.items() if trainable and re.search(pattern, name)}
    if not chosen:
        raise ValueError(f"parameters={pattern!r} must match a trainable parameter, got {sorted(before)}")
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in chosen)
    try:
        yield [parameter for name, parameter in network.named_parameters() if name in chosen]
    finally:
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(before[name])


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


class _Silence:
    """A progress bar that shows nothing."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def update(self):
        """Count a step."""


def _progress_bar(verbose: bool, name: str, total: int, done: int):
    if not verbose:
        return _Silence()
    from tqdm import tqdm

    return tqdm(total=total, initial=done, desc=name)
