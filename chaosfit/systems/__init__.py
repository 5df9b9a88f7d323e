"""Known dynamics with published invariants: where data with a ground truth comes from.

Every system has one verb, ``simulate``. Read `system` first (System, Flow, Map), then `flows` for what a system
looks like; `tangent` measures Lyapunov spectra of any flow or map.
"""
