"""Trigger inversion: for every class, the universal perturbation that best moves probes to it."""
