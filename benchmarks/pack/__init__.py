"""Structured spans, tokens and rows against bare tokenization, and what the spans are checked by."""
