"""Packages by name, through the real clients, from registries on this machine."""

import hashlib
import io
import json
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from treespan.jobs.ingest.config import IngestConfig
from treespan.jobs.ingest.package import CLIENTS
from treespan.jobs.ingest.package_debian import as_sources
from treespan.jobs.ingest.package_licence import (
    MAX_GLOBS,
    files_licences,
    licence_of_synopsis,
)
from treespan.jobs.ingest.read import read_repository
from treespan.jobs.ingest.step import fingerprint, list_repositories
from treespan.platform.errors import UserError
from treespan.platform.store import Store

Ingest = Callable[..., Any]


def source(*names: str, **more: Any) -> dict[str, Any]:
    return {"kind": "package", "names": names, **more}


def config(*names: str, **more: Any) -> IngestConfig:
    return IngestConfig.model_validate({"sources": [source(*names, **more)]})


def tarball(path: Path, files: dict[str, str]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


def wheel(folder: Path, name: str, version: str) -> None:
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\nLicense-Expression: MIT\n"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}/code.py", f"VERSION = '{version}'\n")
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for all there is."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.delenv("PIP_CONSTRAINT", raising=False)
    return folder


def test_wheels_are_fetched_once_and_stay_what_they_were(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(str(tmp_path / "store"))
    wheel(index, "tool", "1.0")
    before = fingerprint(config("pypi:tool"), store)
    wheel(index, "tool", "2.0")
    wheel(index, "other", "1.5")
    both = config("pypi:tool", "pypi:other>=1, <2")
    listed = list_repositories(both, store)
    assert [(found.name, found.commit) for found in listed] == [
        ("pypi:other", "1.5"),
        ("pypi:tool", "1.0"),
    ]
    monkeypatch.setenv("PIP_FIND_LINKS", "")  # from here on nothing can be fetched
    assert fingerprint(config("pypi:tool"), store) == before
    rows = [row for found in listed for row in read_repository(found, both, [])]
    assert {(row["path"], row["licence"], row["source"]) for row in rows} >= {
        ("tool/code.py", "MIT", "package")
    }
    with pytest.raises(UserError, match=r"none of the 1 packages.*no wheel to be had"):
        fingerprint(config("pypi:tool", refresh="2026-11"), store)
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    (newer,) = list_repositories(config("pypi:tool", refresh="2026-11"), store)
    assert newer.commit == "2.0"
    assert fingerprint(config("pypi:tool", refresh="2026-11"), store) != before


def test_a_lost_file_is_fetched_again(index: Path, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    wheel(index, "tool", "1.0")
    (before,) = list_repositories(config("pypi:tool"), store)
    (file,) = store.list_files("packages/files")
    store.delete_file(file)
    assert list_repositories(config("pypi:tool"), store) == [before]
    assert store.list_files("packages/files") == [file]


def test_no_code_of_a_package_is_executed(index: Path, tmp_path: Path) -> None:
    """pip would run setup.py to learn an sdist's name, if it were let."""
    setup = f"open({str(tmp_path / 'executed')!r}, 'w')\nimport setuptools\nsetuptools.setup()\n"
    tarball(index / "hostile-1.0.tar.gz", {"hostile-1.0/setup.py": setup})
    wheel(index, "tool", "1.0")
    store = Store(str(tmp_path / "store"))
    listed = list_repositories(config("pypi:tool", "pypi:hostile==1.0"), store)
    decisions: list[Any] = []
    for repository in listed:
        list(read_repository(repository, config("pypi:tool"), decisions))
    (missing,) = [row for row in decisions if row["rule"] == "package-error"]
    assert (missing["repo"], missing["path"]) == ("pypi:hostile==1.0", "")
    assert "no wheel" in missing["detail"]
    assert not (tmp_path / "executed").exists()


def test_what_failed_is_tried_again(index: Path, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    wheel(index, "tool", "1.0")
    before = fingerprint(config("pypi:tool", "pypi:late"), store)
    assert fingerprint(config("pypi:tool", "pypi:late"), store) == before
    wheel(index, "late", "1.0")
    assert fingerprint(config("pypi:tool", "pypi:late"), store) != before


def test_names_from_a_file_and_two_versions(index: Path, tmp_path: Path) -> None:
    for version in ("1.0", "2.0"):
        wheel(index, "tool", version)
    names = tmp_path / "names.txt"
    names.write_text("# ours\npypi:tool==1.0\n\npypi:tool  # newest\npypi:tool==2.0\n")
    listed = list_repositories(config(names_from=str(names)), Store(str(tmp_path / "store")))
    assert [found.name for found in listed] == ["pypi:tool@1.0", "pypi:tool@2.0"]


def test_passwords_of_registries_are_not_repeated(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://me:hush@127.0.0.1:1/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(UserError) as error:
        list_repositories(config("pypi:tool"), Store(str(tmp_path / "store")))
    assert "hush" not in str(error.value)


def test_a_missing_client_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name, program in (("npm:tool", "npm"), ("debian:tool", "apt-config")):
        with pytest.raises(UserError, match=f"{program} is not installed.*leave"):
            list_repositories(config(name), Store(str(tmp_path / "store")))


@pytest.mark.parametrize(
    "name",
    [
        *("requests", "gem:rails", "pypi:", "pypi:./folder", "pypi:-r", "pypi:a[b]", "pypi:../x"),
        *(
            "pypi:a @ file:///x",
            "pypi:https://host/a.whl",
            "pypi:a==1; x",
            "pypi:a b",
            "pypi:a>=1,",
        ),
        *("npm:-g", "npm:git+https://host/x", "npm:owner/repo", "npm:./x", "npm:a@file:../x"),
        *("npm:a@npm:b", "npm:@scope", "debian:-o", "debian:A", "debian:a/../b", "debian:a b"),
    ],
)
def test_only_names_and_versions_reach_a_client(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not the name of a package"):
        list_repositories(config(name), Store(str(tmp_path)))


@pytest.mark.parametrize(
    "name",
    [
        *("pypi:requests==2.32.3", "pypi:a", "pypi:zope.interface", "pypi:numpy>=1.2, <3,!=2.0.*"),
        *("pypi:x ~= 1.0", "npm:express@4", "npm:@scope/name", "npm:@scope/name@^1.2.3-rc.1"),
        *("npm:JSONStream@>=1 <2", "debian:libc++", "debian:golang-x=1:2.3~rc1-4+b1"),
    ],
)
def test_names_with_versions(name: str) -> None:
    ecosystem, _, request = name.partition(":")
    assert CLIENTS[ecosystem].request.fullmatch(request)


def test_a_source_without_names_is_refused() -> None:
    with pytest.raises(ValueError, match="needs names"):
        config()


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is served as npm's registry."""
    folder = tmp_path / "registry"
    folder.mkdir()
    handler = partial(_Quiet, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    marker = tmp_path / "executed"
    scripts = dict.fromkeys(("prepare", "prepack", "preinstall"), f"touch {marker}")
    manifest = {"name": "@our/tool", "version": "1.2.0", "license": "ISC", "scripts": scripts}
    files = {"package/package.json": json.dumps(manifest), "package/index.js": "let x = 1\n"}
    data = tarball(folder / "tool.tgz", files).read_bytes()
    dist = {"tarball": f"{url}/tool.tgz", "shasum": hashlib.sha1(data).hexdigest()}
    packument = {
        "name": "@our/tool",
        "dist-tags": {"latest": "1.2.0"},
        "versions": {"1.2.0": {**manifest, "dist": dist}},
    }
    (folder / "@our%2ftool").write_text(json.dumps(packument))
    monkeypatch.setenv("npm_config_registry", url)
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    yield tmp_path
    server.shutdown()
    server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def translate_path(self, path: str) -> str:
        return f"{self.directory}/{path.partition('?')[0].lstrip('/')}"

    def log_message(self, *args: Any) -> None:
        pass


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_npm(registry: Path, ingest: Ingest) -> None:
    rows, decisions = ingest(source("npm:@our/tool@^1.0", "npm:@our/none"))
    assert {(row["repo"], row["commit"], row["path"], row["licence"]) for row in rows} == {
        ("npm:@our/tool", "1.2.0", "package.json", "ISC"),
        ("npm:@our/tool", "1.2.0", "index.js", "ISC"),
    }
    (missing,) = decisions
    assert (missing["repo"], missing["rule"]) == ("npm:@our/none", "package-error")
    assert "code E404" in missing["detail"]
    assert not (registry / "executed").exists()


COPYRIGHT = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: tool

Files: *
Copyright: A
License: Expat

Files: src/old/*.c
 lib/?.c
Copyright: B
License: GPL-2+ or BSD-3-clause
 The text
 .
 goes on.

Files: debian/*
Copyright: C
License: odd-terms
"""


@pytest.fixture
def archive_of_debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that apt takes for all there is."""
    folder = tmp_path / "debian"
    folder.mkdir()
    upstream = {"src/new.c": "int a;\n", "src/old/b.c": "int b;\n", "debian/rules": "theirs\n"}
    files = [
        tarball(folder / "tool_1.2.orig.tar.gz", {f"up-9/{k}": v for k, v in upstream.items()}),
        tarball(folder / "tool_1.2.orig-lib.tar.gz", {"lib-3/x.c": "int x;\n"}),
        tarball(
            folder / "tool_1.2-3.debian.tar.gz",
            {"debian/copyright": COPYRIGHT, "debian/rules": "ours\n"},
        ),
    ]
    head = "Format: 3.0 (quilt)\nSource: tool\nBinary: tool\nArchitecture: any\nVersion: 1:1.2-3\n"
    dsc = folder / "tool_1.2-3.dsc"
    dsc.write_text(f"{head}Checksums-Sha256:\n{_sums(files)}\n")
    entry = head.replace("Source:", "Package:")
    listing = f"{entry}Directory: .\nChecksums-Sha256:\n{_sums([*files, dsc])}\n"
    (folder / "Sources").write_text(listing)
    sources = tmp_path / "sources.list"
    sources.write_text(f"deb [trusted=yes] file:{folder} ./\n")
    settings = tmp_path / "apt.conf"
    hook = f'APT::Update::Post-Invoke {{ "touch {tmp_path}/executed"; }};\n'
    settings.write_text(
        f'Dir::Etc::sourcelist "{sources}";\nDir::Etc::sourceparts "/dev/null";\n{hook}'
    )
    monkeypatch.setenv("APT_CONFIG", str(settings))
    return folder


def _sums(files: list[Path]) -> str:
    lines = [(hashlib.sha256(f.read_bytes()).hexdigest(), f.stat().st_size, f.name) for f in files]
    return "".join(f" {digest} {size} {name}\n" for digest, size, name in lines)


@pytest.mark.skipif(shutil.which("apt-get") is None, reason="apt is not installed")
def test_source_packages_of_debian(archive_of_debian: Path, ingest: Ingest) -> None:
    """Also: the system's own hooks do not run."""
    rows, decisions = ingest(source("debian:tool", "debian:tool=1:1.2-3", "debian:none"))
    assert {(row["path"], row["licence"]) for row in rows} == {
        ("src/new.c", "MIT"),
        ("src/old/b.c", "GPL-2.0-or-later OR BSD-3-Clause"),
        ("lib/x.c", "GPL-2.0-or-later OR BSD-3-Clause"),
        ("debian/copyright", "NOASSERTION"),
        ("debian/rules", "NOASSERTION"),
    }
    assert {(row["repo"], row["commit"]) for row in rows} == {("debian:tool", "1:1.2-3")}
    assert next(row for row in rows if row["path"] == "debian/rules")["content"] == "ours\n"
    assert [(row["repo"], row["path"], row["rule"]) for row in decisions] == [
        ("debian:none", "", "package-error"),
        ("debian:tool", "debian/rules", "archive-duplicate"),
    ]
    assert "Unable to find a source package for none" in decisions[0]["detail"]
    assert not (archive_of_debian.parent / "executed").exists()


@pytest.mark.skipif(shutil.which("apt-get") is None, reason="apt is not installed")
def test_licences_come_from_a_file_that_is_itself_too_large(
    archive_of_debian: Path, ingest: Ingest
) -> None:
    rows, decisions = ingest(source("debian:tool"), max_file_bytes=100)
    assert {row["path"]: row["licence"] for row in rows}["src/new.c"] == "MIT"
    oversize = [row["path"] for row in decisions if row["rule"] == "oversize"]
    assert oversize == ["debian/copyright"]


def test_sources_of_apt_become_sources_of_source_packages() -> None:
    lines = "# deb no\ndeb [arch=amd64 signed-by=/k] http://h/d x main\ndeb-src http://h/e x main\n"
    assert as_sources(lines + "deb cdrom:[D]/ x main\n", ".list") == (
        "deb-src [arch=amd64 signed-by=/k] http://h/d x main\ndeb-src http://h/e x main\n"
    )
    stanza = "Types: deb\nURIs: http://h/d\nSigned-By: /k\n\nTypes: deb deb-src\nEnabled: no\n"
    assert as_sources(stanza, ".sources") == stanza.replace("deb deb-src", "deb").replace(
        "Types: deb", "Types: deb-src"
    )


@pytest.mark.parametrize(
    ("synopsis", "licence"),
    [
        ("Expat", "MIT"),
        ("GPL-2+ or Artistic", "GPL-2.0-or-later OR Artistic-1.0"),
        ("GPL-2+ or Expat, and BSD-3-clause", "(GPL-2.0-or-later OR MIT) AND BSD-3-Clause"),
        ("Apache-2.0 with LLVM-exception", "Apache-2.0 WITH LLVM-exception"),
        ("something-else", "NOASSERTION"),
        ("", "NOASSERTION"),
    ],
)
def test_short_names_of_debian(synopsis: str, licence: str) -> None:
    assert licence_of_synopsis(synopsis) == licence


def test_only_the_format_with_paragraphs_is_read_by_file() -> None:
    assert files_licences("This is free software under the MIT licence.") == []
    (_, odd, _) = files_licences(COPYRIGHT)
    assert odd.files.fullmatch("src/old/deep/er.c")
    assert not odd.files.fullmatch("src/oldest.c")


def named(globs: str) -> str:
    return f"Format: copyright-format/1.0\n\nFiles: {globs}\nLicense: Expat\n"


@pytest.mark.parametrize(
    ("glob", "matched", "others"),
    [
        ("*", ["", "a", "a/b"], []),
        ("a*", ["a", "ab/a"], ["", "ba"]),
        ("*a", ["a", "ba/a"], ["", "ab"]),
        ("a**b", ["ab", "aab", "acb"], ["a", "aba"]),
        ("*ab*ab", ["abab", "ababab", "xabxab"], ["ab", "aba", "xab"]),
        ("?*.c", ["a.c", "a/b.c"], [".c", "a.cc"]),
        ("./a.?", ["a.c"], ["a.", "abc"]),
        (r"\*\?", ["*?"], ["ab"]),
        ("*a" * 100 + "*b", ["a" * 100 + "b"], ["a" * 4000]),
    ],
)
def test_globs_take_time_in_proportion(glob: str, matched: list[str], others: list[str]) -> None:
    (licence,) = files_licences(named(glob))
    assert all(licence.files.fullmatch(path) for path in matched)
    assert not any(licence.files.fullmatch(path) for path in others)


def test_too_many_globs_are_not_compiled() -> None:
    assert files_licences(named("a " * MAX_GLOBS))
    assert files_licences(named("a " * (MAX_GLOBS + 1))) == []


@pytest.mark.skipif(shutil.which("apt-get") is None, reason="apt is not installed")
def test_apt_finds_its_sources(archive_of_debian: Path, tmp_path: Path) -> None:
    CLIENTS["debian"].prepare(tmp_path)
    (made,) = (tmp_path / "parts").iterdir()
    assert made.read_text() == f"deb-src [trusted=yes] file:{archive_of_debian} ./\n"
