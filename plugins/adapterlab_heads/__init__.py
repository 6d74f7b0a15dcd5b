"""Heads: what turns a backbone's last hidden states into a task's outputs."""
