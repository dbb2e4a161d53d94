"""``python -m treespan.jobs.graph --recipe R``: run a recipe up to this step."""

from treespan.jobs.pipeline import main

if __name__ == "__main__":
    main("graph")
