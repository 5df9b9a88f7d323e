"""What every method has to beat.

Without learning: `Persistence`, `Drift`, `Climatology`. By memory alone: `ContextParroting` copies what followed
the most similar stretch of the training data. With the least fitting: `LinearAutoregression`, and
`LocalAnalogues`, which on clean low-dimensional data is hard to beat.

Read `persistence.py` first: it is a whole method in a few lines.
"""
