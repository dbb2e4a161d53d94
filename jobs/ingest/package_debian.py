"""``debian:NAME``: source packages, through ``apt-get source``.

The user's own sources of packages are taken, as sources of source packages, into a configuration in
a folder of ours: nothing on the system changes, and nobody must be root.
"""

from __future__ import annotations

import re
from pathlib import Path

from treespan.jobs.ingest.package_client import Client, Fetch, Fetched, PackageError, run_client

_FIX = "Start the run on a machine with apt (Debian, Ubuntu), or leave Debian's packages out."
_LINE = re.compile(r"^[ \t]*deb(-src)?[ \t]+(?!cdrom:)(?P<rest>\S.*)$", re.MULTILINE)
_TYPES = re.compile(r"^Types:.*$", re.MULTILINE | re.IGNORECASE)
_HOOKS = [f"APT::Update::{when}" for when in ("Pre-Invoke", "Post-Invoke", "Post-Invoke-Success")]
"""Commands that a system runs around ``apt-get update``, to keep its own files up to date."""
_FIELD = r"^{}: *(\S+)"


def _prepare(folder: Path) -> Fetch:
    options = _private_configuration(folder)
    run_client(["apt-get", "--quiet", *options, "update"], folder, _FIX)

    def fetch(request: str, into: Path) -> Fetched:
        command = ["apt-get", "--quiet", *options, "source", "--download-only", "--", request]
        run_client(command, into, _FIX)
        (description,) = into.glob("*.dsc")
        text = description.read_text(encoding="utf-8", errors="replace")
        name, version = (_field(text, field) for field in ("Source", "Version"))
        archives = sorted(path for path in into.glob("*.tar.*") if path.suffix != ".asc")
        return Fetched(name, version, tuple(archives))

    return fetch


def _private_configuration(folder: Path) -> list[str]:
    """Options that make apt keep its lists, and read its sources, in ``folder``.

    A file of settings is read after all others, so the user's proxies and credentials hold.
    """
    asked = ["SOURCES", "Dir::Etc::sourcelist/f", "PARTS", "Dir::Etc::sourceparts/d"]
    said = run_client(["apt-config", "shell", *asked], folder, _FIX)
    places = dict(re.findall(r"^(\w+)='(.*)'$", said, re.MULTILINE))
    parts = folder / "parts"
    for made in (parts, folder / "lists" / "partial", folder / "cache" / "archives" / "partial"):
        made.mkdir(parents=True)
    found = [Path(places["SOURCES"])] if "SOURCES" in places else []
    found += sorted(Path(places["PARTS"]).glob("*")) if "PARTS" in places else []
    for number, path in enumerate(path for path in found if path.is_file()):
        if path.suffix in (".list", ".sources"):
            text = path.read_text(encoding="utf-8", errors="replace")
            (parts / f"{number:03}{path.suffix}").write_text(as_sources(text, path.suffix))
    settings = {
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": str(parts),
        "Dir::State::lists": str(folder / "lists"),
        "Dir::Cache": str(folder / "cache"),
        # apt drops root's rights to a user who may not enter our folder.
        "APT::Sandbox::User": "",
    }
    written = [f"#clear {hook};\n" for hook in _HOOKS]
    written += [f'{name} "{value}";\n' for name, value in settings.items()]
    (folder / "apt.conf").write_text("".join(written))
    return [f"-c={folder / 'apt.conf'}"]


def as_sources(text: str, suffix: str) -> str:
    """A file of apt's sources with each source as one of source packages, options and all."""
    if suffix == ".sources":
        return _TYPES.sub("Types: deb-src", text)
    lines = dict.fromkeys(f"deb-src {match['rest'].strip()}\n" for match in _LINE.finditer(text))
    return "".join(lines)


def _field(text: str, field: str) -> str:
    found = re.search(_FIELD.format(field), text, re.MULTILINE)
    if found is None:
        raise PackageError(f"the description of the source package has no {field}")
    return found[1]


DEBIAN = Client(
    re.compile(r"(?P<name>[a-z0-9][a-z0-9.+-]+)(?:=[\w.+:~-]+)?", re.ASCII),
    "debian:golang-github-spf13-cobra",
    _prepare,
)
