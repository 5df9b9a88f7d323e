"""Numerical building blocks: pure functions, arrays in, arrays out.

Everything here is independent of estimators and systems. Read `integrate` first: it advances trajectories for the
systems and for every continuous-time model.
"""
