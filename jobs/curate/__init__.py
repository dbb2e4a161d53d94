"""Files to a corpus worth training on: rules, duplicates, syntax; every dropped file is told.

This package imports nothing by itself: the parse worker, a process of its own, starts from here.
"""
