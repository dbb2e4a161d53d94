"""What a GPU makes of the model: right answers first, then how fast, in one table."""
