"""Differential equations whose right-hand side is a network; read `neural_ode` first."""
