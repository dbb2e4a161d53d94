"""What a structured span is, written a second time and plainly: what the fast code is checked by.

It shares nothing with ``treespan``: no caches, no arrays, only the tree and the bytes.
"""

from __future__ import annotations

from collections.abc import Iterable

from tree_sitter import Node

Candidate = tuple[int, int, str]
"""First byte, byte behind the last, and type of a node."""


def maskable_reference(root: Node) -> list[Candidate]:
    """All named nodes below ``root`` with a named child and some text, in document order, parents
    before children. An error is no node, but what lies in it is looked at."""
    found = []
    waiting = list(reversed(root.children))  # a stack: trees are deeper than Python may recurse
    while waiting:
        node = waiting.pop()
        inner = any(child.is_named for child in node.children)
        if node.is_named and not node.is_error and inner and node.start_byte < node.end_byte:
            found.append((node.start_byte, node.end_byte, node.type))
        waiting.extend(reversed(node.children))
    return found


def is_sfim_span(data: bytes, nodes: Iterable[Candidate], start: int, end: int) -> bool:
    """Whether bytes [start, end) are a span of ``sfim``: from a character inside a node to the end
    of a line, at the latest that in which the node's text ends, and not blank throughout."""
    return (
        0 <= start < end <= len(data)
        and _begins_character(data, start)
        and _ends_line(data, end)
        and bool(data[start:end].strip())
        and any(
            first <= start < last and end <= _line_end(data, first, last)
            for first, last, _ in nodes
        )
    )


def is_aligned_span(nodes: Iterable[Candidate], start: int, end: int) -> bool:
    """Whether bytes [start, end) are exactly one of the nodes."""
    return any((first, last) == (start, end) for first, last, _ in nodes)


def _begins_character(data: bytes, offset: int) -> bool:
    return not 0x80 <= data[offset] < 0xC0


def _ends_line(data: bytes, offset: int) -> bool:
    rest = data[offset:]
    return rest == b"" or rest.startswith((b"\n", b"\r\n"))


def _line_end(data: bytes, first: int, last: int) -> int:
    """Where the line ends in which the text of node [first, last) ends. A line feed, and blank
    lines, at the node's end are none of its text."""
    text_end = first + len(data[first:last].rstrip(b"\r\n"))
    feed = data.find(b"\n", text_end)
    if feed < 0:
        return len(data)
    return feed - data[text_end:feed].endswith(b"\r")
