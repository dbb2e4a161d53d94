"""A process that parses untrusted text for ``parse_guard``, and dies when a file takes too long.

Grammars are compiled code: on some inputs they hang, and no call-back of tree-sitter reaches into a
hanging scanner. So the clock is the kernel's: each file gets a budget of processor time, and its
signal ends the process even inside such a loop, also when nobody is left to kill it.

Protocol, on pipes: a request is ``<III`` (bytes of the language's name, bytes of the text, processor
milliseconds), the name and the text; a reply is ``<Q``, the bytes inside errors.
"""

from __future__ import annotations

import contextlib
import resource
import signal
import struct
import sys
from typing import BinaryIO

from tree_sitter import Parser

from treespan.model.grammars import load_named_grammar
from treespan.model.syntax_errors import error_bytes

REQUEST = struct.Struct("<III")
REPLY = struct.Struct("<Q")

MEMORY_BYTES = 8 << 30
"""Address space of the process: a grammar that eats memory fails here, and not the machine."""


def main() -> None:
    """Serve requests from standard input until it ends."""
    _limit()
    parsers: dict[str, Parser] = {}
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while (header := _read(source, REQUEST.size)) is not None:
        name_bytes, text_bytes, budget_ms = REQUEST.unpack(header)
        name = (_read(source, name_bytes) or b"").decode()
        text = _read(source, text_bytes) if text_bytes else b""
        if text is None:
            return
        if name not in parsers:
            parsers[name] = Parser(load_named_grammar(name))
        # Not handled, SIGPROF ends the process.
        signal.setitimer(signal.ITIMER_PROF, budget_ms / 1000)
        errors = error_bytes(parsers[name].parse(text).root_node)
        signal.setitimer(signal.ITIMER_PROF, 0)
        sink.write(REPLY.pack(errors))
        sink.flush()


def _limit() -> None:
    for limit, value in ((resource.RLIMIT_AS, MEMORY_BYTES), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(ValueError, OSError):  # a lower limit holds already
            resource.setrlimit(limit, (value, value))
    # An interrupt at the terminal is for the parent, which closes the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _read(source: BinaryIO, size: int) -> bytes | None:
    data = source.read(size)
    return data if len(data) == size else None


if __name__ == "__main__":
    main()
