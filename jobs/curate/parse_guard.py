"""Parsing that cannot hang or crash its caller: a child process parses, and is replaced if it dies."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from treespan.jobs.curate.config import SyntaxConfig
from treespan.jobs.curate.parse_worker import REPLY, REQUEST
from treespan.jobs.curate.rules import Verdict
from treespan.model.grammars import GRAMMARS, has_grammar

WALL_FACTOR = 20.0
"""The child counts processor time, so that a busy machine changes no verdict. This many times the
limit in wall time means that it is not running at all."""


@dataclass(frozen=True)
class Parsed:
    """How parsing went."""

    outcome: Literal["parsed", "timeout", "crash"]
    error_bytes: int = 0


class ParseGuard:
    """Parses text in a child process; a context manager that ends the child with it."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Process id of the child, if there is one."""
        return None if self._child is None else self._child.pid

    def parse(self, grammar: str, text: bytes) -> Parsed:
        """Parse ``text`` with the named grammar; a child that died is replaced by the next call."""
        name = grammar.encode()
        budget_ms = max(1, int(self.timeout_s * 1000))
        request = REQUEST.pack(len(name), len(text), budget_ms) + name + text
        deadline = time.monotonic() + self.timeout_s * WALL_FACTOR
        child = self._child or self._start()
        try:
            self._send(child, request, deadline)
            reply = self._receive(child, REPLY.size, deadline)
        except TimeoutError:
            self._end()
            return Parsed("timeout")
        except (BrokenPipeError, EOFError):
            by_clock = self._end() == -signal.SIGPROF
            return Parsed("timeout" if by_clock else "crash")
        return Parsed("parsed", REPLY.unpack(reply)[0])

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._end()

    def _start(self) -> subprocess.Popen[bytes]:
        # The child imports this package from wherever this process has it.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, "-m", "treespan.jobs.curate.parse_worker"]
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, bufsize=0
        )
        assert child.stdin is not None
        os.set_blocking(child.stdin.fileno(), False)
        self._child = child
        return child

    def _end(self) -> int:
        """Kill the child if it is alive; its exit status."""
        assert self._child is not None
        child, self._child = self._child, None
        for pipe in (child.stdin, child.stdout):
            assert pipe is not None
            pipe.close()
        try:
            # A child that died by itself tells why; give it the moment that takes.
            return child.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            child.kill()
            return child.wait()

    @staticmethod
    def _send(child: subprocess.Popen[bytes], data: bytes, deadline: float) -> None:
        assert child.stdin is not None
        view = memoryview(data)
        while view:
            _, writable, _ = select.select([], [child.stdin], [], _left(deadline))
            if not writable:
                raise TimeoutError
            view = view[os.write(child.stdin.fileno(), view) :]

    @staticmethod
    def _receive(child: subprocess.Popen[bytes], size: int, deadline: float) -> bytes:
        assert child.stdout is not None
        data = b""
        while len(data) < size:
            readable, _, _ = select.select([child.stdout], [], [], _left(deadline))
            if not readable:
                raise TimeoutError
            part = os.read(child.stdout.fileno(), size - len(data))
            if not part:
                raise EOFError
            data += part
        return data


def check_syntax(
    guard: ParseGuard, language: str, text: bytes, config: SyntaxConfig
) -> Verdict | None:
    """The verdict on a file's syntax; None if it may stay.

    Files without a grammar and files over ``max_bytes`` stay: nothing was measured.
    """
    if not config.enabled or len(text) > config.max_bytes or not has_grammar(language):
        return None
    parsed = guard.parse(GRAMMARS[language], text)
    if parsed.outcome == "timeout":
        return Verdict("parse-timeout", threshold=config.timeout_s, detail=language)
    if parsed.outcome == "crash":
        return Verdict("parse-crash", detail=language)
    limit = config.max_error_ratio_of.get(language, config.max_error_ratio)
    ratio = parsed.error_bytes / max(1, len(text))
    return Verdict("syntax", ratio, limit) if ratio > limit else None


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())
