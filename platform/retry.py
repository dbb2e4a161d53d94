"""Errors that pass by themselves, and trying again until they do.

A network disk hiccups, a connection is reset, an object store asks for fewer requests: the same
call works a moment later. A full disk or a missing permission stays, and is raised at once.
"""

from __future__ import annotations

import errno
import re
import time
from collections.abc import Callable
from typing import TypeVar

from treespan.platform.draws import uniform
from treespan.platform.errors import UserError

RETRIES = 6
"""Tries after the first (ours): if one call in twenty fails, all seven do once in a billion."""

FIRST_DELAY_S = 0.1
"""Before the second try; doubled for each further one, six seconds in all (ours)."""

_OF_DEVICES = frozenset(
    {errno.EIO, errno.ESTALE, errno.EAGAIN, errno.EINTR, errno.EBUSY, errno.EREMOTEIO}
)
_OF_NETWORKS = frozenset(
    {
        errno.ECONNABORTED,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETRESET,
        errno.ENETUNREACH,
        errno.ENOBUFS,
        errno.EPIPE,
        errno.ETIMEDOUT,
    }
)
# Arrow's errors of object stores have no number, only the words of the store's SDK.
_OF_SERVERS = re.compile(
    r"\b(slow_?down|throttl\w*|too many requests|internal_?(failure|error|server error)"
    r"|service_?unavailable|service unavailable|bad gateway|gateway timeout|request_?timeout"
    r"|network_connection|connection (was )?(reset|refused|closed|aborted)|timed out"
    r"|(http|status|response)[ _a-z]{0,20}:? ?(429|500|502|503|504))\b",
    re.IGNORECASE,
)

T = TypeVar("T")


class UnavailableError(UserError):
    """A server or the network that has failed again and again; nothing of ours is at fault."""


def is_transient(error: BaseException) -> bool:
    """Whether the same call may work a moment later."""
    if isinstance(error, UnavailableError):
        return True
    if not isinstance(error, OSError):
        return False
    return error.errno in _OF_DEVICES or _is_of_network(error)


def is_passing(error: BaseException) -> bool:
    """Whether the same work may succeed elsewhere or later: also where memory was short."""
    return isinstance(error, MemoryError) or is_transient(error)


def retrying(action: Callable[[], T], key: str) -> T:
    """The result of ``action``, which is tried again while its errors are transient.

    Waits between tries grow, with a jitter drawn from ``key`` so that many workers do not return at
    once. Raises the last error of a device as it was, that of a network as ``UnavailableError``.
    """
    for attempt in range(RETRIES):
        try:
            return action()
        except OSError as error:
            if not is_transient(error):
                raise
        time.sleep(delay_s(key, attempt))
    try:
        return action()
    except OSError as error:
        if _is_of_network(error):
            raise UnavailableError(
                f"{key} cannot be reached, tried {RETRIES + 1} times ({error}).",
                "Run again once it answers: what is finished is kept.",
            ) from error
        raise


def retrying_once(action: Callable[[], object], is_done: Callable[[], bool], key: str) -> None:
    """``retrying`` for what cannot be done twice: to delete a file, or to move it.

    A try may work and its answer be lost. So where a later one finds nothing there and ``is_done``
    holds, all is well; a first try that finds nothing raises ``FileNotFoundError``.
    """
    tries = 0

    def attempt() -> None:
        nonlocal tries
        tries += 1
        try:
            action()
        except FileNotFoundError:
            if tries == 1 or not is_done():
                raise

    retrying(attempt, key)


def delay_s(key: str, attempt: int) -> float:
    """Seconds to wait after try number ``attempt`` (from 0): between half and all of its step."""
    return FIRST_DELAY_S * float(2**attempt) * (1 + uniform("retry", key, attempt)) / 2


def _is_of_network(error: OSError) -> bool:
    if isinstance(error, (ConnectionError, TimeoutError)) or error.errno in _OF_NETWORKS:
        return True
    return error.errno is None and _OF_SERVERS.search(str(error)) is not None
