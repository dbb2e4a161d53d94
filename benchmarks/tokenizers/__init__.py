"""Bytes per token of ours and of other tokenizers, by language, on repositories that ours never saw."""
