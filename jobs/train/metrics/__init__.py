"""Figures of a training run on their way out: the terminal, Ray's metrics, experiment trackers."""
