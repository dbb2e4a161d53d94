"""How far imports are resolved, and how fast graphs are built."""
