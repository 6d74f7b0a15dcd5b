"""Compacter++: bottlenecks whose projections are sums of Kronecker products."""
