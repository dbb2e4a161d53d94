"""How much of a text its grammar could make no sense of."""

from __future__ import annotations

from tree_sitter import Node


def error_bytes(root: Node) -> int:
    """Bytes inside the outermost ERROR nodes; a missing token, which has no bytes, counts as one.

    Only branches that hold an error are entered, so a file without errors costs nothing.
    """
    total = 0
    pending = [root]
    while pending:
        node = pending.pop()
        if node.is_error:
            total += max(1, node.end_byte - node.start_byte)
        elif node.is_missing:
            total += 1
        elif node.has_error:
            pending += node.children
    return total
