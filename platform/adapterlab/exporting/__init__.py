"""Trained things in and out: folders as AdapterHub writes them, compositions, and predictions."""
