"""GGUF, llama.cpp's file of weights, settings and vocabulary: read for training, written for use."""
