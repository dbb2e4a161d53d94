"""Training steps on the CPU beside those of Hugging Face and of litgpt, in the same shape."""
