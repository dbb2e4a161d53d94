"""The repository graph: files, the symbols they define, and who uses whom."""
