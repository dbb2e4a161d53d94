"""One module per tool, run by the interpreter of the tool's own environment."""
