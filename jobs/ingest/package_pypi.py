"""``pypi:NAME``: wheels, through pip.

Wheels only. To learn what an sdist is called pip builds its metadata, which runs code of the package;
a wheel is unpacked by nobody before ingest reads it.
"""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec
from pathlib import Path

from treespan.jobs.ingest.archive_name import name_and_version
from treespan.jobs.ingest.package_client import Client, Fetch, Fetched, PackageError, run_client
from treespan.platform.errors import UserError

_FIX = "Install pip into Treespan's environment: python -m ensurepip."


def _prepare(folder: Path) -> Fetch:
    # A missing module is no missing program.
    if find_spec("pip") is None:
        raise UserError("pip is not installed, and the recipe has packages from PyPI.", _FIX)
    return _fetch


def _fetch(request: str, folder: Path) -> Fetched:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"]
    command += ["--disable-pip-version-check", "--progress-bar=off"]
    # It comes last, and so beats what a configuration says of single packages.
    command += ["--only-binary=:all:", "--dest=.", "--", request]
    try:
        run_client(command, folder, _FIX)
    except PackageError as error:
        raise PackageError(f"no wheel to be had: {error}") from None
    (wheel,) = folder.glob("*.whl")
    return Fetched(*name_and_version(wheel.name), (wheel,))


PYPI = Client(
    re.compile(
        r"(?P<name>[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?) *"
        r"(?:(?:===|==|~=|!=|<=|>=|<|>) *[\w.*+!-]+ *(?:, *(?=[=~!<>])|$))*",
        re.ASCII,
    ),
    "pypi:requests==2.32.3",
    _prepare,
)
