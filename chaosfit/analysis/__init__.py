"""Analysis: one trajectory becomes a number, and the curve it was read from.

Functions take states (n,) or (n, d), rows equally spaced in time, and return a float or a frozen record
with the result, the range of the data it rests on, and a reason when it should not be believed.

Which one to read first
    `embedding` finds the lag and the number of delays of an observed series. `lyapunov` tells how fast
    neighbouring states part, `dimension` how many variables the attractor needs. `states` holds what these
    share: checked, standardised states, and the mean period that sets every other time.
"""
