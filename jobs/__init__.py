"""The path from sources to scores: one package per step, pure functions and a thin Ray shell."""
