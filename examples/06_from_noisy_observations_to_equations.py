"""From noisy observations to equations: SINDy, a Kalman filter that runs on its guess, SINDy once more.

Then the found equations serve as a sensor: the whole state from observations of one variable.
"""

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline

from chaosfit import EnsembleKalmanFilter, Lorenz63, SINDy

dt, noise = 0.01, 0.3
system = Lorenz63()


def coefficient_error(model):
    """Relative error in the spectral norm, and whether exactly the true terms were found."""
    terms = {"x0": (-10, 28, 0), "x1": (10, -1, 0), "x2": (0, 0, -8 / 3), "x0 x1": (0, 0, 1), "x0 x2": (0, -1, 0)}
    true = np.array([terms.get(name, (0, 0, 0)) for name in model.term_names_], dtype=float).T
    error = np.linalg.norm(model.coef_ - true, 2) / np.linalg.norm(true, 2)
    return error, bool(((model.coef_ != 0) == (true != 0)).all())


def distance(states, truth):
    """Root mean square error in standard deviations, without the first 3 time units."""
    return np.sqrt(np.mean(((states - truth) / truth.std(axis=0))[300:] ** 2, axis=0))


print(f"Lorenz's equations, 30 time units, noise of {noise:.0%} of every standard deviation")
for seed in range(3):
    truth = system.simulate(3000, dt=dt, random_state=seed)
    observed = truth + noise * truth.std(axis=0) * np.random.default_rng(seed).standard_normal(truth.shape)

    guess = SINDy(dt=dt).fit(observed)
    kalman = EnsembleKalmanFilter(FrozenEstimator(guess), n_ensemble=10, random_state=0)
    pipeline = make_pipeline(kalman, SINDy(dt=dt)).fit(observed)

    errors = [distance(states, truth).mean() for states in (observed, kalman.transform(observed))]
    print("\nrun {}: error of the observations {:.2f}, of the filtered states {:.3f}".format(seed, *errors))
    for label, model in {"observations": guess, "filtered": pipeline[-1]}.items():
        error, exact = coefficient_error(model)
        print(f"  SINDy on {label:12s}  coefficients off by {error:.1%}, terms {'exact' if exact else 'not exact'}")
print(*pipeline[-1].equations(2), sep="\n")

# One sensor is left. The equations know how the others are coupled to it.
partial = observed[:2000].copy()
partial[:, 1:] = np.nan
sensor = EnsembleKalmanFilter(FrozenEstimator(pipeline[-1]), n_ensemble=10, observation_noise=noise * truth.std(axis=0))
states = sensor.set_params(random_state=0).fit(observed).assimilate(partial).mean
print("\nx0 observed alone, error of x0, x1, x2:", distance(states, truth[:2000]).round(2))
