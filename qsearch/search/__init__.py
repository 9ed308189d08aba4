"""What may be chosen, what to measure next, and what the answer is; the only door to optuna and scipy.optimize."""
