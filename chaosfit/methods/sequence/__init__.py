"""Methods that map the last L states to the next k, without carrying a state from forecast to forecast.

`NLinear` and `DLinear` are solved in closed form (`linear_window`); `MLP`, `Conv1d` and `NBeatsLite` are networks
trained by `chaosfit.nn`. Read `mlp.py` first: a neural method is its parameters and its `_network`.
"""
