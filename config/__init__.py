"""Settings and logging: the layer that everything else may import, and that imports nothing of ours."""
