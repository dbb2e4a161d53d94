import bz2
import gzip
import io
import lzma
import stat
import tarfile
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treespan.jobs.ingest.archive_name import name_and_version
from treespan.jobs.ingest.config import IngestConfig
from treespan.jobs.ingest.read import read_repository
from treespan.jobs.ingest.step import fingerprint, list_repositories
from treespan.platform.errors import UserError

FILES = {"LICENSE": b"SPDX-License-Identifier: ISC\n", "src/a.py": b"x = 1\n", "b.png": b"\x89P"}
Ingest = Callable[..., Any]


def tar_of(files: dict[str, bytes], *more: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", errors="surrogateescape") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for member in more:
            archive.addfile(member, io.BytesIO(b"y" * member.size))
    return buffer.getvalue()


def zip_of(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def deb_of(data: bytes, name: bytes = b"data.tar.xz") -> bytes:
    def member(title: bytes, content: bytes) -> bytes:
        header = b"%-16s%-12d%-6d%-6d%-8o%-10d`\n" % (title, 0, 0, 0, 0o644, len(content))
        return header + content + b"\n" * (len(content) % 2)

    parts = [(b"debian-binary", b"2.0\n"), (b"control.tar.gz", b"odd"), (name, data)]
    return b"!<arch>\n" + b"".join(member(*part) for part in parts)


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return bytes(sink.getvalue())


def rules(decisions: Any) -> dict[str, str]:
    return {row["path"]: row["rule"] for row in decisions}


@pytest.fixture
def read(tmp_path: Path, ingest: Ingest) -> Ingest:
    def run(data: bytes, name: str = "tool-1.2.tar", **settings: Any) -> Any:
        file = tmp_path / name
        file.write_bytes(data)
        limits = {k: settings.pop(k) for k in list(settings) if k in ARCHIVE_SETTINGS}
        return ingest({"kind": "archive", "path": str(file), **limits}, **settings)

    return run


ARCHIVE_SETTINGS = {"max_unpacked_bytes", "max_members", "max_ratio", "licence", "repo"}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("tool-1.2.tar", tar_of(FILES)),
        ("tool-1.2.tar.gz", gzip.compress(tar_of(FILES))),
        ("tool-1.2.tgz", gzip.compress(tar_of({f"tool-1.2/{k}": v for k, v in FILES.items()}))),
        ("tool-1.2.tar.bz2", bz2.compress(tar_of(FILES))),
        ("tool-1.2.tar.xz", lzma.compress(tar_of(FILES))),
        ("tool-1.2.tar.lzma", lzma.compress(tar_of(FILES), lzma.FORMAT_ALONE)),
        ("tool-1.2.tar.zst", zstd(tar_of(FILES))),
        ("tool-1.2.zip", zip_of(FILES)),
        ("tool-1.2-py3-none-any.whl", zip_of(FILES)),
        ("tool_1.2_all.deb", deb_of(lzma.compress(tar_of(FILES)))),
        ("tool_1.2_amd64.deb", deb_of(zstd(tar_of(FILES)), b"data.tar.zst/")),
        ("tool_1.2_i386.deb", deb_of(tar_of(FILES), b"data.tar")),
        ("tool-1.2.zip", zip_of({f"./tool-1.2//{k}": v for k, v in FILES.items()})),
        ("tool-1.2.tar.gz", zip_of(FILES)),  # the content tells, not the name
    ],
)
def test_every_container_gives_the_same(name: str, data: bytes, read: Ingest) -> None:
    rows, decisions = read(data, name)
    assert [(row["path"], row["content"].encode()) for row in rows] == [
        ("LICENSE", FILES["LICENSE"]),
        ("src/a.py", FILES["src/a.py"]),
    ]
    assert rules(decisions) == {"b.png": "binary"}
    found = {(row["repo"], row["commit"], row["licence"], row["source"]) for row in rows}
    assert found == {("tool", "1.2", "ISC", "archive")}


@pytest.mark.parametrize(
    ("file", "name", "version"),
    [
        ("Rich_Tool-13.7.1-py3-none-any.whl", "rich-tool", "13.7.1"),
        ("foo-bar-2.0rc1.tar.gz", "foo-bar", "2.0rc1"),
        ("log4j-1.2-api-2.0.zip", "log4j-1.2-api", "2.0"),
        ("linux-6.1-rc3.tar.xz", "linux", "6.1-rc3"),
        ("tool-v3.tgz", "tool", "3"),
        ("libc6_1%3a2.36-9_amd64.deb", "libc6", "1:2.36-9"),
        ("my_project-main.zip", "my_project-main", ""),
        ("plain", "plain", ""),
        (".zip", ".zip", ""),
    ],
)
def test_names_and_versions(file: str, name: str, version: str) -> None:
    assert name_and_version(file) == (name, version)


@pytest.mark.parametrize(
    ("name", "files", "licence"),
    [
        ("t-1.tgz", {"package/package.json": b'{"license": "MIT"}'}, "MIT"),
        (
            "t-1.tgz",
            {"package/package.json": b'{"licenses": [{"type": "MIT"}, {"type": "ISC"}]}'},
            "MIT OR ISC",
        ),
        ("t-1.tgz", {"package/package.json": b"[" * 9000}, ""),
        ("t-1.tgz", {"package/package.json": b'{"license": 3}'}, ""),
        ("t-1.tar.gz", {"t-1/PKG-INFO": b"Name: t\nLicense-Expression: MIT\n"}, "MIT"),
        (
            "t-1-py3-none-any.whl",
            {
                "t-1.dist-info/METADATA": b"Name: t\n",
                "t-1.dist-info/licenses/LICENSE": Path(__file__)
                .parents[3]
                .joinpath("LICENSE")
                .read_bytes(),
            },
            "Apache-2.0",
        ),
        (
            "t_1_all.deb",
            {
                "./usr/share/doc/t/copyright": b"Format: https://www.debian.org/doc/packaging-manuals/"
                b"copyright-format/1.0/\n\nFiles: *\nLicense: Expat\n\nFiles: b\nLicense: GPL-2+\n"
            },
            "GPL-2.0-or-later AND MIT",
        ),
    ],
)
def test_package_metadata_states_the_licence(
    name: str, files: dict[str, bytes], licence: str, read: Ingest
) -> None:
    pack = {"whl": zip_of, "deb": lambda found: deb_of(tar_of(found), b"data.tar")}
    data = pack.get(name.rpartition(".")[2], tar_of)(files)
    rows, _ = read(data, name)
    assert {row["licence"] for row in rows} == {licence}
    if name.endswith(".tgz"):
        assert "package.json" in {row["path"] for row in rows}


def test_links_devices_and_outside_paths_are_told(read: Ingest) -> None:
    data = tar_of(
        {
            "ok.py": b"x\n",
            "../up.py": b"x\n",
            "/etc/passwd": b"x\n",
            "a/../../b": b"x\n",
            ".git/config": b"x\n",
            "C:\\x.py": b"x\n",
            "caf\udce9.py": b"x\n",
        },
        special("soft", tarfile.SYMTYPE, "/etc/shadow"),
        special("hard", tarfile.LNKTYPE, "ok.py"),
        special("null", tarfile.CHRTYPE),
        special("disk", tarfile.BLKTYPE),
        special("pipe", tarfile.FIFOTYPE),
        special("folder", tarfile.DIRTYPE),
    )
    rows, decisions = read(data)
    assert [row["path"] for row in rows] == ["ok.py"]
    assert rules(decisions) == {
        "../up.py": "archive-path",
        "/etc/passwd": "archive-path",
        "a/../../b": "archive-path",
        "C:\\x.py": "archive-path",
        "caf\\xe9.py": "path-encoding",
        "soft": "symlink",
        "hard": "hard-link",
        "null": "device-file",
        "disk": "device-file",
        "pipe": "device-file",
    }


def test_the_same_in_a_zip(read: Ingest) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("ok.py", "x\n")
        archive.writestr("..\\up.py", "x\n")
        archive.writestr("/abs.py", "x\n")
        for name, kind in (("soft", stat.S_IFLNK), ("null", stat.S_IFCHR)):
            member = zipfile.ZipInfo(name)
            member.external_attr = kind << 16
            archive.writestr(member, "target")
    data = buffer.getvalue().replace(b"ok.py", b"\xe9k.py")
    rows, decisions = read(data, "a.zip")
    assert rows == []
    assert rules(decisions) == {
        "\\xe9k.py": "path-encoding",
        "..\\up.py": "archive-path",
        "/abs.py": "archive-path",
        "soft": "symlink",
        "null": "device-file",
    }


def test_names_in_utf8_without_the_flag_are_read(read: Ingest) -> None:
    data = zip_of({"cafe.py": b"x\n"}).replace(b"cafe", "fé!".encode())
    rows, _ = read(data, "a.zip")
    assert [row["path"] for row in rows] == ["fé!.py"]


def test_encrypted_members_are_told(read: Ingest) -> None:
    data = bytearray(zip_of({"secret.py": b"x\n", "open.py": b"y\n"}))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    rows, decisions = read(bytes(data), "a.zip")
    assert [row["path"] for row in rows] == ["open.py"]
    assert rules(decisions) == {"secret.py": "archive-encrypted"}


@pytest.mark.parametrize("pack", [tar_of, zip_of])
def test_of_members_with_one_name_the_last_is_read(pack: Any, read: Ingest) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if pack is tar_of:
            data = tar_of({"a.py": b"first\n", "./a.py": b"last\n"})
        else:
            data = zip_of({"a.py": b"first\n", "./a.py": b"last\n"})
    rows, decisions = read(data)
    assert [row["content"] for row in rows] == ["last\n"]
    assert rules(decisions) == {"a.py": "archive-duplicate"}


def bomb(decisions: Any) -> tuple[str, str, str]:
    (row,) = decisions
    return row["rule"], row["path"], row["detail"]


def test_bombs_are_refused_as_a_whole(read: Ingest) -> None:
    zeros = {"ok.py": b"x\n", "zeros.txt": bytes(40 << 20)}
    packed = zip_of(zeros)
    assert bomb(read(packed, "a.zip")[1]) == ("archive-bomb", "", "times its size")
    for number, data in enumerate([gzip.compress(tar_of(zeros)), bz2.compress(tar_of(zeros))]):
        rows, decisions = read(data, f"b{number}.tar.gz")
        assert rows == []
        assert bomb(decisions) == ("archive-bomb", "", "times its size")
    xz = deb_of(lzma.compress(tar_of(zeros), preset=0))
    assert bomb(read(xz, "a.deb")[1]) == ("archive-bomb", "", "times its size")
    small = {"max_unpacked_bytes": 10_000}
    for data in (tar_of({"a.py": b"x" * 20_000}), zip_of({"a.py": b"x" * 20_000})):
        (row,) = read(data, "c.tar", **small)[1]
        assert (row["rule"], row["threshold"]) == ("archive-bomb", 10_000)
        assert row["value"] > 10_000
    many = {f"{number}.py": b"x\n" for number in range(50)}
    for data in (tar_of(many), zip_of(many)):
        (row,) = read(data, "d.tar", max_members=49)[1]
        assert (row["rule"], row["value"], row["threshold"]) == ("archive-bomb", 50, 49)
        assert len(read(data, "d.tar", max_members=50)[0]) == 50


def test_a_bomb_inside_is_not_unpacked(read: Ingest) -> None:
    layer = zip_of({"zeros": bytes(10 << 20)})
    for _ in range(5):
        layer = zip_of({f"{number}.zip": layer for number in range(4)}, zipfile.ZIP_STORED)
    rows, decisions = read(zip_of({"inner.zip": layer, "a.py": b"x\n"}), "a.zip")
    assert [row["path"] for row in rows] == ["a.py"]
    assert rules(decisions) == {"inner.zip": "binary"}


def test_a_huge_directory_is_not_read(read: Ingest) -> None:
    data = zip_of({"x" * 3000 + str(number): b"" for number in range(10)})
    assert bomb(read(data, "a.zip", max_members=20)[1])[2] == "bytes of the zip directory"


def test_a_member_that_lies_about_its_size_is_told(read: Ingest) -> None:
    data = bytearray(zip_of({"a.py": b"x = 1\n" * 500, "b.py": b"y\n"}))
    place = data.index(b"PK\x01\x02") + 24
    data[place : place + 4] = (10).to_bytes(4, "little")
    rows, decisions = read(bytes(data), "a.zip")
    assert [row["path"] for row in rows] == ["b.py"]
    assert rules(decisions) == {"a.py": "unreadable"}


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_lying_bomb_is_not_unpacked(method: int, read: Ingest) -> None:
    data = bytearray(zip_of({"a.py": bytes(64 << 20), "b.py": b"y\n"}, method))
    place = data.index(b"PK\x01\x02") + 24
    data[place : place + 4] = (10).to_bytes(4, "little")
    tracemalloc.start()
    _, decisions = read(bytes(data), "a.zip")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rules(decisions)["a.py"] == "unreadable"
    assert peak < 4 << 20


def test_large_files_are_listed_and_not_held(read: Ingest) -> None:
    data = tar_of({"big.py": b"x" * 5000, "a.py": b"x\n"})
    rows, decisions = read(data, max_file_bytes=4000)
    assert [row["path"] for row in rows] == ["a.py"]
    (row,) = decisions
    assert (row["rule"], row["value"]) == ("oversize", 5000)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04 and no more",
        b"not an archive at all" * 100,
        tar_of(FILES)[:700],
        tar_of(FILES)[:1100],
        tar_of({"a.py": b"x" * 600})[:1536] + b"?" * 512,
        gzip.compress(tar_of(FILES))[:-30],
        gzip.compress(tar_of(FILES))[:-8] + b"\0" * 8,
        lzma.compress(tar_of(FILES))[:-40],
        zstd(tar_of(FILES))[:-20],
        zip_of(FILES)[:-30],
        deb_of(lzma.compress(tar_of(FILES)))[:-50],
        deb_of(b"", b"other"),
        tar_of({}, special("x", tarfile.XHDTYPE))[:156] + b"x",
    ],
)
def test_broken_archives_stop_nothing(data: bytes, tmp_path: Path, ingest: Ingest) -> None:
    (tmp_path / "broken.tar").write_bytes(data)
    (tmp_path / "good.tar").write_bytes(tar_of(FILES))
    rows, decisions = ingest({"kind": "archive", "path": str(tmp_path), "each_file": True})
    assert {row["repo"] for row in rows} == {"good"}
    told = [row for row in decisions if row["repo"] == "broken"]
    assert [(row["rule"], row["path"]) for row in told] == [("repository-error", "")]


def test_a_header_that_asks_for_gigabytes_is_refused(read: Ingest) -> None:
    header = special("x", tarfile.GNUTYPE_LONGNAME)
    header.size = 3 << 30
    rows, decisions = read(header.tobuf(tarfile.GNU_FORMAT))
    assert rows == []
    assert rules(decisions) == {"": "repository-error"}


names = st.text(st.sampled_from("abc.-é"), min_size=1, max_size=5).filter(
    lambda name: name.strip(".") != ""
)
trees = st.dictionaries(
    st.tuples(st.sampled_from(["", "sub/", "sub/deep/"]), names).map("".join),
    st.binary(max_size=400),
    min_size=1,
    max_size=8,
).filter(lambda tree: not {"sub", "sub/deep"} & set(tree))


@given(tree=trees, kind=st.sampled_from(["tar", "gz", "zip", "deb"]))
def test_an_archive_reads_as_its_folder_does(
    tree: dict[str, bytes], kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("tree")
    for name, data in tree.items():
        (root / "same" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "same" / name).write_bytes(data)
    pack = {
        "tar": tar_of,
        "gz": lambda files: gzip.compress(tar_of(files)),
        "zip": zip_of,
        "deb": lambda files: deb_of(tar_of(files), b"data.tar"),
    }
    (root / "same.zip").write_bytes(pack[kind](tree))

    def rows_of(source: dict[str, Any]) -> Any:
        config = IngestConfig.model_validate({"sources": [source]})
        decisions: list[Any] = []
        (repository,) = list_repositories(config)
        rows = list(read_repository(repository, config, decisions))
        return [{**row, "source": ""} for row in rows], decisions

    archive = rows_of({"kind": "archive", "path": str(root / "same.zip")})
    assert archive == rows_of({"kind": "directory", "path": str(root / "same")})


def test_a_folder_of_archives(tmp_path: Path, ingest: Ingest) -> None:
    (tmp_path / "pool" / "a").mkdir(parents=True)
    for name in ("pool/a/a-1.0.zip", "pool/a-2.0.tar", "b-1.tar", "c-1.zip", "c-1.tar"):
        (tmp_path / name).write_bytes(tar_of(FILES))
    (tmp_path / "README.md").write_text("no archive")
    source = {"kind": "archive", "path": str(tmp_path), "each_file": True}
    rows, _ = ingest(source)
    found = {(row["repo"], row["commit"]) for row in rows}
    assert found == {
        ("a-1.0", "1.0"),
        ("a-2.0", "2.0"),
        ("b", "1"),
        ("c-1.zip", "1"),
        ("c-1.tar", "1"),
    }
    config = IngestConfig.model_validate({"sources": [source]})
    before = fingerprint(config)
    assert fingerprint(config) == before
    (tmp_path / "b-1.tar").write_bytes(tar_of({"b.py": b""}))
    assert fingerprint(config) != before
    uri = ingest({"kind": "archive", "path": f"file://{tmp_path}/b-1.tar", "licence": "mit"})[0]
    assert [(row["repo"], row["path"], row["licence"]) for row in uri] == [("b", "b.py", "MIT")]


def test_wrong_sources_say_what_and_how(tmp_path: Path) -> None:
    def list_them(**source: Any) -> None:
        list_repositories(IngestConfig.model_validate({"sources": [{"kind": "archive", **source}]}))

    with pytest.raises(UserError, match=r"does not exist.*Correct 'path'"):
        list_them(path=str(tmp_path / "none.zip"))
    with pytest.raises(UserError, match="is empty"):
        list_them(path=str(tmp_path), each_file=True)
    (tmp_path / "a.zip").write_bytes(zip_of(FILES))
    with pytest.raises(UserError, match="each_file: true"):
        list_them(path=str(tmp_path))
    with pytest.raises(UserError, match="Leave 'repo' out"):
        list_them(path=str(tmp_path), each_file=True, repo="x")
