"""The only floor that imports mlflow."""
