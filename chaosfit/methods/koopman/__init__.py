"""Linear operators for nonlinear dynamics: delay coordinates, dynamic modes, Koopman eigenfunctions.

All of these replace x[t+1] = F(x[t]) by a linear map on more coordinates than x has. They differ in the
coordinates and in what is asked of the map:

=====================  ===============================  =================================================
estimator              coordinates                      the linear map
=====================  ===============================  =================================================
HAVOK                  leading delay modes              an ODE, driven by the last coordinate
HankelDMD              leading delay modes              least squares
OptDMD                 the variables themselves         sums of exponentials fitted to the whole series
EDMD                   a dictionary (any transformer)   least squares
ResDMD                 a dictionary                     least squares, unverified eigenvalues left out
MeasurePreservingEDMD  a dictionary, often delays       the nearest unitary one
KernelEDMD             a kernel                         ridge regression
NeuralKoopman          a network                        rotations, learned with the network
=====================  ===============================  =================================================

Read first: `lifted`, the algebra that the dictionary methods share; `exponentials` and `forced_linear` hold the
mathematics of OptDMD and HAVOK. A linear map cannot forecast chaos
for long: its eigenfunctions do not exist, and the residuals say so. `relift=True` evaluates the
dictionary anew at every step, which is a nonlinear model and forecasts well.
"""
