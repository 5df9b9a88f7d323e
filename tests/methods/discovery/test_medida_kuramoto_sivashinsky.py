"""The Kuramoto-Sivashinsky test bed of Mojgani, Chattopadhyay and Hassanzadeh, Chaos 32, 061105 (2022).

Length 100, 1024 points, wrong models of u_t = -u u_x - u_xx - u_xxxx, ten pairs of states; the truth comes from another
solver than the model.
"""

import numpy as np
import pytest

from chaosfit.methods.discovery.fields import FieldModel, FieldTerms, WienerFilter
from chaosfit.methods.discovery.medida import MEDIDA
from chaosfit.systems.pdes import KuramotoSivashinsky

LENGTH, N_PAIRS, DT = 100.0, 10, 5e-3
TRUTH = {(1, 1): -1.0, (0, 2): -1.0, (0, 4): -1.0}
SYSTEM = KuramotoSivashinsky(length=LENGTH, n_points=1024, max_step=1e-3)
#: What is different in the model.
CASES = {
    "no u u_x": {(1, 1): 0.0},
    "no u_xx": {(0, 2): 0.0},
    "no u_xxxx": {(0, 4): 0.0},
    "half u u_x": {(1, 1): -0.5},
    "half u_xx": {(0, 2): -0.5},
    "half u_xxxx": {(0, 4): -0.5},
    "all twice": {(1, 1): -2.0, (0, 2): -2.0, (0, 4): -2.0},
    "plus u_xxx": {(0, 3): -0.5},
    "plus u^2 u_x": {(2, 1): -0.15},
    "no u u_x, plus u_xxx": {(1, 1): 0.0, (0, 3): -0.5},
    "no u_xx, plus u_xxx": {(0, 2): 0.0, (0, 3): -0.5},
    "no u_xxxx, plus u_xxx": {(0, 4): 0.0, (0, 3): -0.5},
}


def wrong_model(case):
    return {power: c for power, c in {**TRUTH, **CASES[case]}.items() if c}


def vector(coef):
    """Coefficients as a vector over the library."""
    powers = FieldTerms(LENGTH).fit(np.zeros((1, 16))).powers_
    return np.array([coef.get(power, 0.0) for power in powers])


def error(case, coef):
    """Relative error of the corrected equation, and whether its terms are the right ones."""
    missing = vector(TRUTH) - vector(wrong_model(case))
    return np.linalg.norm(coef - missing) / np.linalg.norm(vector(TRUTH)), np.array_equal(coef != 0, missing != 0)


def fields_of_the_attractor():
    """Ten fields of the attractor, ten time units apart."""
    x = SYSTEM.length * np.arange(1024) / 1024 - 50
    start = -np.cos(2 * np.pi * x / LENGTH) * (1 + np.sin(-2 * np.pi * x / LENGTH))
    spin_up = KuramotoSivashinsky(length=LENGTH, n_points=256, max_step=0.05)
    coarse = spin_up.simulate(10, x0=start[::4], dt=10.0, transient=100.0)
    waves = np.fft.rfft(coarse)[:, :-1]
    return 4 * np.fft.irfft(np.pad(waves, ((0, 0), (0, 385))), 1024)


@pytest.fixture(scope="module")
def states():
    return fields_of_the_attractor()


@pytest.fixture(scope="module")
def pairs(states):
    return states, SYSTEM.simulate(2, x0=states, dt=DT)[:, 1]


@pytest.mark.parametrize("case", CASES)
def test_every_wrong_model_is_corrected(pairs, case):
    model = MEDIDA(FieldModel(LENGTH, wrong_model(case), DT), FieldTerms(LENGTH), dt=DT).fit(*pairs)
    relative, right_terms = error(case, model.coef_)
    assert right_terms
    assert relative <= 1e-4
    assert error(case, np.zeros(24))[0] > 0.08


def crank_nicolson(coef):
    """One step of a common second-order solver, which shows nothing of its inside."""
    derivative = 2j * np.pi / LENGTH * np.arange(513)
    linear = sum(c * derivative**b for (a, b), c in coef.items() if a == 0)

    def products(waves):
        u, fluxes = np.fft.irfft(waves), [(a + 1, c) for (a, b), c in coef.items() if a and b == 1]
        return derivative * sum((c / a * np.fft.rfft(u**a) for a, c in fluxes), np.zeros(513))

    def step(states):
        v = np.fft.rfft(states)
        first = products(v)
        guess = ((1 + DT / 2 * linear) * v + DT * first) / (1 - DT / 2 * linear)
        return np.fft.irfft(((1 + DT / 2 * linear) * v + DT / 2 * (first + products(guess))) / (1 - DT / 2 * linear))

    return step


def published_recipe(model, X, Y):
    """Least squares on the terms themselves, without those below 0.1."""
    A = FieldTerms(LENGTH).fit(X).transform(X).transpose(0, 2, 1).reshape(-1, 24)
    y = ((Y - model(X)) / DT).ravel()
    support = np.ones(24, bool)
    while True:
        coef = np.zeros(24)
        coef[support] = np.linalg.lstsq(A[:, support], y, rcond=None)[0]
        if (np.abs(coef[support]) > 0.1).all():
            return coef
        support = np.abs(coef) > 0.1


@pytest.mark.parametrize("case", [*list(CASES)[:4], "plus u_xxx", "plus u^2 u_x"])
def test_a_solver_that_takes_no_terms_is_corrected_better_than_by_the_published_recipe(pairs, case):
    solver = crank_nicolson(wrong_model(case))
    model = MEDIDA(solver, FieldTerms(LENGTH), dt=DT).fit(*pairs)
    relative, right_terms = error(case, model.coef_)
    assert right_terms
    assert relative <= 1.5e-4  # the errors of the solver itself
    assert 1e-3 < error(case, published_recipe(solver, *pairs))[0] < 0.02


def noisy_pairs(states, dt, noise, seed):
    """Pairs with white noise on every state."""
    rng, size = np.random.default_rng(seed), noise * states.std()
    end = KuramotoSivashinsky(length=LENGTH, n_points=1024, max_step=0.01).simulate(2, x0=states, dt=dt)[:, 1]
    return tuple(x + size * rng.standard_normal(x.shape) for x in (states, end))


def fitted_to_noise(states, case, dt, noise, seed):
    model = FieldModel(LENGTH, wrong_model(case), dt, 5, cutoff=3.5)
    return MEDIDA(model, FieldTerms(LENGTH), dt=dt, smoother=WienerFilter()).fit(*noisy_pairs(states, dt, noise, seed))


@pytest.mark.parametrize(("noise", "dt", "threshold"), [(0.01, 0.05, 0.005), (0.05, 0.1, 0.03)])
@pytest.mark.parametrize("case", ["no u u_x", "no u_xx", "no u_xxxx"])
def test_noisy_pairs(states, case, noise, dt, threshold):
    missing = vector(TRUTH) - vector(wrong_model(case))
    for seed in range(3):
        model = fitted_to_noise(states, case, dt, noise, seed)
        relative, right_terms = error(case, model.coef_)
        assert right_terms
        assert relative <= threshold
        np.testing.assert_allclose(model.smoother_.noise_std_, noise * states.std(), rtol=0.03)
        kept = model.support_
        assert (np.abs(model.coef_ - missing)[kept] < 4 * model.coef_std_[kept]).all()


@pytest.mark.parametrize("case", ["no u u_x", "no u_xx", "no u_xxxx"])
def test_the_published_recipe_fails_with_one_percent_noise(states, case):
    X, Y = noisy_pairs(states, DT, 0.01, 0)
    assert error(case, published_recipe(crank_nicolson(wrong_model(case)), X, Y))[0] > 0.1


@pytest.mark.parametrize("case", ["no u u_x", "no u_xx", "no u_xxxx"])
def test_the_corrected_model_forecasts_longer(states, case):
    dt, start = 0.05, states[-1:]
    model = fitted_to_noise(states[:-1], case, dt, 0.01, 0)
    truth = KuramotoSivashinsky(length=LENGTH, n_points=1024).simulate(101, x0=start, dt=dt)[0, 1:]
    wrong, path = start, []
    for _ in range(20):
        wrong = model.model(wrong)
        path.append(wrong[0])

    def steps_within(forecast):
        with np.errstate(over="ignore", invalid="ignore"):
            bad = ~(np.sqrt(np.mean((forecast - truth[: len(forecast)]) ** 2, axis=1)) <= 0.1 * states.std())
        return bad.argmax() if bad.any() else len(bad)

    assert steps_within(np.array(path)) < 20
    assert steps_within(model.forecast(100, start)) >= 5 * max(steps_within(np.array(path)), 1)
