"""Regressors of the forecasting literature that scikit-learn does not have: they learn y from rows of X.

Put one into `NextStepRegressor` and it becomes a model of dynamics. `GRNNRegressor` is a kernel average that needs no
training, `GMDHRegressor` grows a polynomial out of pairs of inputs. Read `grnn.py` first.
"""
