"""Combinations with coefficients that are not learned: the baselines of ScaLearn's paper."""
