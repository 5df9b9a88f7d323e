"""Data assimilation: a model and noisy, incomplete observations give states with their uncertainty.

`EnsembleKalmanFilter` carries an ensemble with the model and pulls it towards every observation. A model may be any
one-step function, a system, or a fitted estimator.

Read `analysis.py` (the schemes, as pure functions of one ensemble and one observation), then
`ensemble_kalman_filter.py` (the loop over time and the interface).
"""
