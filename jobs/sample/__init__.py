"""Sampling: the order in which the files of a repository are read (the paper's Algorithm 1)."""
