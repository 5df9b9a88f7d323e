"""What does a model lack? Ten noisy pairs of states of a chaotic field tell, and the forecast gains."""

import numpy as np

from chaosfit import MEDIDA, FieldModel, FieldTerms, KuramotoSivashinsky, WienerFilter

length, dt = 100.0, 0.05
truth = KuramotoSivashinsky(length=length, n_points=512, max_step=0.01)
states = truth.simulate(11, dt=10.0, transient=100.0, random_state=0)
states, fresh = states[:10], states[10:]

# One per cent of noise on every observed state.
rng = np.random.default_rng(0)
noise = 0.01 * states.std()
before = states + noise * rng.standard_normal(states.shape)
after = truth.simulate(2, x0=states, dt=dt)[:, 1] + noise * rng.standard_normal(states.shape)

# The model knows u u_x and u_xxxx; the instability -u_xx, which drives the chaos, is missing.
wrong = FieldModel(length, {(1, 1): -1.0, (0, 4): -1.0}, dt, n_substeps=5, cutoff=3.5)
model = MEDIDA(wrong, FieldTerms(length), dt=dt, smoother=WienerFilter()).fit(before, after)
print(f"noise: {model.smoother_.noise_std_:.4f} found, {noise:.4f} added")
print(model.equations()[0])
for name, coef, std in zip(model.feature_names_out_, model.coef_, model.coef_std_, strict=True):
    if coef:
        print(f"{name}: {coef:.4f} +- {std:.4f}")

# How long do forecasts of a fresh state stay within a tenth of the standard deviation?
future = truth.simulate(1001, x0=fresh, dt=dt)[0, 1:]
for label, step in {"model": wrong, "corrected": model.predict}.items():
    u, n_good = fresh, 0
    while n_good < 1000:
        u = step(u)
        if not np.sqrt(np.mean((u[0] - future[n_good]) ** 2)) <= 0.1 * states.std():
            break
        n_good += 1
    print(f"{label}: {n_good * dt:.2f} time units")
