"""Sources to files: folders, git, archives, packages, tables and the Python environment, as text.

Every file of a repository becomes a row of the ``FILES`` table or a row of the ledger. Nothing is
judged here but whether a file is text that can be stored; what is worth training on is decided by
``treespan.jobs.curate``.
"""
