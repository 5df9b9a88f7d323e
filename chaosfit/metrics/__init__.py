"""Metrics: two trajectories become one number.

Every metric is a plain function ``metric(y_true, y_pred, *, ...)``. Both arguments have the same shape: one
trajectory ``(h,)`` or ``(h, d)`` gives a float, a batch of trajectories ``(B, h, d)`` gives an array
``(B,)``. The truth must be finite; a forecast need not be, because a run that blew up is a result: each
docstring states the score it then gets.

Which one to read first
    `forecast` asks how long and how closely a forecast follows the truth (`valid_time` ranks models of
    chaotic systems). `attractor` asks whether a long free run visits the same places
    (`state_space_divergence`) with the same rhythm (`power_spectrum_hellinger`); neither suffices alone,
    and both have a floor (`metric_floor`) that depends on the length. `invariants` compares dimension,
    exponent and correlation sums, `reconstruction` the memory, the return map and the words of two runs.
    `samples` scores forecasts that are samples, which have one axis more. `classic` holds the scores of
    general forecasting, `ctf` those of one public challenge.

`pair` checks the two arguments, the same way for all.
"""
