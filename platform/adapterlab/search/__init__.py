"""The only floor that imports optuna."""
