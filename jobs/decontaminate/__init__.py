"""Curated files to files that hold no benchmark: what is scored later must not be trained on."""
