import os
import signal
import time
from collections.abc import Iterator

import pytest

from treespan.jobs.curate.config import SyntaxConfig
from treespan.jobs.curate.parse_guard import Parsed, ParseGuard, check_syntax

CONFIG = SyntaxConfig()


@pytest.fixture
def guard() -> Iterator[ParseGuard]:
    with ParseGuard(timeout_s=10) as guard:
        yield guard


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_good_text_has_no_errors_and_bad_text_has(guard: ParseGuard) -> None:
    assert guard.parse("python", b"x = 1\n") == Parsed("parsed", 0)
    assert guard.parse("python", b"") == Parsed("parsed", 0)
    assert guard.parse("python", b"def f(:\n  = = )\n").error_bytes > 0
    assert guard.parse("java", b"class A { int x = 1 }").error_bytes == 1  # a missing ;


def test_a_hanging_grammar_is_stopped_and_the_next_file_parsed(guard: ParseGuard) -> None:
    guard.timeout_s = 0.3
    guard.parse("python", b"x = 1\n")
    first = guard.pid
    started = time.monotonic()
    assert guard.parse("cobol", b"x = 1\n") == Parsed("timeout")
    assert time.monotonic() - started < 60
    assert first is not None
    assert not is_alive(first)
    assert guard.parse("python", b"x = 1\n") == Parsed("parsed", 0)


def test_a_child_that_does_not_run_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("treespan.jobs.curate.parse_guard.WALL_FACTOR", 1.0)
    with ParseGuard(timeout_s=10) as guard:
        guard.parse("python", b"x = 1\n")
        assert guard.pid is not None
        os.kill(guard.pid, signal.SIGSTOP)
        guard.timeout_s = 0.2
        assert guard.parse("python", b"x = 1\n") == Parsed("timeout")


def test_a_crash_is_told_and_the_next_file_parsed(guard: ParseGuard) -> None:
    guard.parse("python", b"x = 1\n")
    assert guard.pid is not None
    os.kill(guard.pid, signal.SIGKILL)
    assert guard.parse("python", b"x = 1\n") == Parsed("crash")
    assert guard.parse("python", b"x = 1\n") == Parsed("parsed", 0)


def test_hostile_nesting_gives_a_verdict(guard: ParseGuard) -> None:
    guard.timeout_s = 2
    assert guard.parse("python", b"(" * 400_000).outcome in {"parsed", "timeout", "crash"}
    assert guard.parse("python", b"x = 1\n") == Parsed("parsed", 0)


def test_the_child_ends_with_the_guard() -> None:
    with ParseGuard(timeout_s=10) as guard:
        guard.parse("python", b"x = 1\n")
        pid = guard.pid
    assert pid is not None
    assert not is_alive(pid)


def test_verdicts(guard: ParseGuard) -> None:
    bad = b"def f(:\n"
    found = check_syntax(guard, "Python", bad, CONFIG)
    assert found is not None
    assert (found.rule, found.threshold) == ("syntax", 0.0)
    assert check_syntax(guard, "Python", b"x = 1\n", CONFIG) is None
    assert check_syntax(guard, "Brainfuck", bad, CONFIG) is None
    assert check_syntax(guard, "Python", bad, SyntaxConfig(enabled=False)) is None
    assert check_syntax(guard, "Python", bad, SyntaxConfig(max_bytes=3)) is None
    # One bad line in 100 is within the tolerance of C, and not of Python.
    code = b"int f(void) { return 1; }\n" * 400 + b"MACRO(x) MACRO(y)\n"
    assert check_syntax(guard, "C", code, CONFIG) is None
    strict = SyntaxConfig(max_error_ratio_of={})
    assert check_syntax(guard, "C", code, strict) is not None
