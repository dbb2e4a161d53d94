"""Packing beside bare tokenization, and a check of every hole against an independent reference."""
