"""Evaluate: how well the trained model fills holes in repositories it has never seen."""
