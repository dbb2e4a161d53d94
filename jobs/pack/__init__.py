"""Packing: documents to training rows, with the objectives applied file by file."""
