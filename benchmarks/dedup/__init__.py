"""Near deduplication side by side: a corpus of real code with clones, the truth, and the tools."""
