"""Several methods instead of one: `AutoDynamics` chooses by free runs on held-out blocks and combines the best."""
