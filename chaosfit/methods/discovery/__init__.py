"""Discovery: closed-form equations of a system, or of what a model of it lacks, from data.

All methods here regress something measured (a derivative, a forecast error) on a library of candidate terms and
keep few of them. What they share lies in `chaosfit.numerics`: derivatives and the weak form in `differentiate`,
sums over rows in `gram`, term selection by thresholds in `regress` and by evidence in `relevance`.

`SINDy` finds the equations of a system; `MEDIDA` finds what a model of it lacks, on a grid with the terms, solver and
filter of `fields`. `RVMRegressor` is a regressor in the sense of scikit-learn, not a model of dynamics; the
others can use it to get error bars on their coefficients.
"""
