"""Methods, one family per folder and one method per file, each a scikit-learn estimator.

A family does not import another; what two of them need lives in `chaosfit.numerics` or `chaosfit.nn`.
Start with `baselines`: a method that does not beat them has learned nothing.
"""
