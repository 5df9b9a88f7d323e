"""Where chaosfit meets other packages: one module per package, imported only when it is used.

`sktime` turns every estimator into a forecaster, `forecaster` every forecaster into an estimator,
`neuralforecast` its networks; `dysts` turns a collection of chaotic flows into systems.
"""
