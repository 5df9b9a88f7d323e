"""The training engine of every neural method, and the layers they share.

Read first: `windows` (data as rows of strided views), then `trainer` (the one loop). `forecaster` joins both
to the contract of `chaosfit.base`; a neural method only writes its network and, where it needs one, its loss.
`layers` and `state_space` hold networks' parts, `losses` what is minimised, `checkpoint` the file format and
`files` the `save` and `load` of estimators.
Importing this package loads nothing; its modules load torch.
"""
