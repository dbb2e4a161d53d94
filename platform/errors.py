"""Errors that a person can act on: one sentence that says what is wrong, one that says the fix."""

from __future__ import annotations

import errno


class UserError(Exception):
    """Bad input or a missing precondition.

    The command line prints it as one line and exits with code 2. What a step had written by then is
    never taken for finished; the next try uses or replaces it.
    """

    def __init__(self, problem: str, fix: str = "") -> None:
        super().__init__(problem, fix)
        self.problem = problem
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.problem} {self.fix}".strip()


_FIX_BY_ERRNO = {
    errno.ENOSPC: ("the disk is full", "Free some space, or choose another --store."),
    errno.EDQUOT: ("the disk quota is used up", "Free some space, or choose another --store."),
    errno.EACCES: ("no permission", "Grant access to that path, or choose another one."),
    errno.EPERM: ("no permission", "Grant access to that path, or choose another one."),
    errno.EROFS: ("the file system is read-only", "Choose another --store."),
}


def find_user_error(error: BaseException) -> UserError | None:
    """The ``UserError`` behind ``error``, through Ray's wrappers and exception chains, if any.

    Operating-system errors with a fix that is plain from their number become one too.
    """
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        current = pending.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        if isinstance(current, UserError):
            # Anew: Ray's copy of it is a class of its own, which prints the remote traceback.
            return UserError(current.problem, current.fix)
        if isinstance(current, OSError) and current.errno in _FIX_BY_ERRNO:
            what, fix = _FIX_BY_ERRNO[current.errno]
            where = current.filename or str(current)
            return UserError(f"{what}: {where}.", fix)
        # Ray keeps the remote exception in `cause`, Ray Train in `worker_failures`.
        pending += [current.__cause__, getattr(current, "cause", None)]
        if not current.__suppress_context__:
            pending.append(current.__context__)
        pending += list(getattr(current, "worker_failures", {}).values())
        training_failure = getattr(current, "training_failed_error", None)
        if isinstance(training_failure, BaseException):
            pending.append(training_failure)
    return None
