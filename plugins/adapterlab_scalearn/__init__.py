"""ScaLearn and its three variants: learn to scale the outputs of frozen source adapters."""
