"""Tokenize: train the tokenizer on a seeded sample of what will be trained on."""
