"""ProPETL: one bottleneck shared by all layers, with a learned binary mask for each layer."""
