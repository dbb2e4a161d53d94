"""``python -m treespan.jobs.ingest``: the pipeline up to and including this step."""

from treespan.jobs.pipeline import main

if __name__ == "__main__":
    main("ingest")
