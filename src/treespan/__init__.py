"""Treespan turns repositories into a code-completion model and serves it.

The code lives in the top-level folders of the repository (``platform``, ``jobs``, ``model``,
``serve``); the links beside this file give it its import name.
"""

__version__ = "0.1.0"
