"""Reservoir computing: a fixed nonlinear memory of the past, and a linear readout that is the only thing fitted.

`ReservoirComputer` is the method. `LocalReservoir` tiles a spatially extended system with copies of it,
`HybridReservoir` joins it with an imperfect model, and `NGRC` replaces the network by delays and monomials.

Read `network.py` (draw and drive a random network), then `readout.py` (the fit), then `reservoir_computer.py`.
"""
