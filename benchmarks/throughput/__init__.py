"""Throughput of ingest, curation and decontamination by size of the corpus."""
