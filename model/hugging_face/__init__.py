"""Hugging Face's files: ``config.json`` and the files of weights beside it."""
