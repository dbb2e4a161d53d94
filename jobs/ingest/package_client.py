"""What a package registry's ordinary client must do here, and how it is run.

The client brings the user's mirrors, proxies and credentials with it. It only downloads: nothing of
a package may be executed, so requests are names and versions, never paths, URLs or options.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from treespan.platform.errors import UserError
from treespan.platform.uri import masked

TIMEOUT_S = 1800
"""A client that takes longer hangs (ours: a gigabyte at half a megabyte a second)."""

_ERROR_LINE = re.compile(r"(ERROR|E|npm error|npm ERR!):?\s+(?P<said>\S.*)")


class PackageError(Exception):
    """A package that cannot be had, in the client's words."""


@dataclass(frozen=True)
class Fetched:
    """What a client has put into the folder that it was given."""

    name: str
    version: str
    files: tuple[Path, ...]


Fetch = Callable[[str, Path], Fetched]
"""Downloads what a request names into an empty folder. Raises ``PackageError``."""


@dataclass(frozen=True)
class Client:
    """The client of one registry."""

    request: re.Pattern[str]
    """What stands behind ``ECOSYSTEM:``, with the group ``name``."""
    example: str
    prepare: Callable[[Path], Fetch]
    """Called once, with a folder for what all downloads share. Raises ``PackageError``."""


def run_client(command: Sequence[str], folder: Path, fix: str) -> str:
    """What ``command`` prints, run in ``folder``.

    Raises ``UserError`` with ``fix`` if there is no such program, ``PackageError`` if it fails.
    """
    environment = {**os.environ, "LC_ALL": "C", "NO_COLOR": "1"}
    try:
        said = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        raise UserError(f"{command[0]} is not installed.", fix) from None
    except subprocess.TimeoutExpired:
        raise PackageError(f"{command[0]} did not end within {TIMEOUT_S} s") from None
    if said.returncode:
        raise PackageError(_told(said.stderr) or f"{command[0]} ended with {said.returncode}")
    return said.stdout


def _told(stderr: str) -> str:
    """The client's own error, in a line: the first that it marks, or else its last words."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    marked = [match["said"] for line in lines if (match := _ERROR_LINE.match(line))]
    # "Exception:" is what pip says before a traceback, whose last line tells.
    telling = [said for said in marked if not said.endswith(":")]
    return masked("; ".join(telling[:2] or lines[-1:]))[:500]
