"""Train: pretraining on packed rows with Ray Train and DeepSpeed."""
