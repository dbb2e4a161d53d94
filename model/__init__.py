"""Architecture and learning: the transformer, its objectives, its tokenizer, its files. No Ray."""
