"""Repositories that mean harm, one per case; each has a file ``good.py`` that must come through."""

from __future__ import annotations

import io
import json
import os
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from dulwich.objects import Blob, Commit, Tree
from dulwich.repo import Repo

GOOD = (
    b"def area_of_%s(width, height):\n"
    b"    '''The area of a rectangle.'''\n"
    b"    return width * height\n"
)
DEEP_LEVELS = 10_000
IDENTICAL_ROWS = 50_000


def make_hostile(base: Path) -> list[dict[str, object]]:
    """Write all cases below ``base``; the sources of a recipe that reads them."""
    folders = base / "folders"
    for make in (make_texts, make_names, make_special_files, make_deep, make_sparse):
        folder = folders / make.__name__.removeprefix("make_")
        folder.mkdir(parents=True)
        (folder / "good.py").write_bytes(GOOD % folder.name.encode())
        make(folder)
    make_git(base / "git.git")
    (base / "archives").mkdir()
    make_archives(base / "archives")
    make_table(base / "table.parquet", IDENTICAL_ROWS)
    make_json_lines(base / "table.jsonl")
    return [
        {"kind": "directory", "path": str(folders), "each_subfolder": True},
        {"kind": "git", "path": str(base / "git.git")},
        {"kind": "archive", "path": str(base / "archives"), "each_file": True},
        {"kind": "table", "path": str(base / "table.parquet")},
        {"kind": "table", "path": str(base / "table.jsonl")},
    ]


def make_texts(folder: Path) -> None:
    """Contents that are hard on parsers, patterns and decoders."""
    tag = b"# SPDX-License-Identifier: "
    nested = b"(" * 400_000
    texts = {
        "parens.py": nested,
        "parens.js": b"f" + nested,
        "balanced.c": nested + b")" * 400_000,
        "long_line.py": b"x = '" + b"a b " * 230_000 + b"'\n",
        "words.py": b" ".join(b"w%d" % n for n in range(120_000)) + b"\n",
        "newlines.py": b"\n" * 990_000,
        "nul.py": b"x = 1\n\0\n",
        "mixed.py": "# ä\n".encode() + "# ä\n".encode("latin-1"),
        "utf16.py": "x = 1\n".encode("utf-16"),
        "cut.py": "# ä".encode()[:-1],
        "bom.py": b"\xef\xbb\xbfthe_value = the_other + 1 if the_third else 0\n",
        "tag_parens.py": tag + b"(" * 4000 + b"\n",
        "tag_blanks.py": tag + b"x" + b" " * 4000 + b"y\n",
        "tag_choice.py": tag + b" OR ".join(b"(A%d AND B)" % n for n in range(300)) + b"\n",
        "generated.py": b"automatically generated" * 40_000,
        "package.json": b'{"license":' + b"[" * 400_000,
        "empty.py": b"",
        "huge.py": b"x = 1\n" * 300_000,
    }
    for name, data in texts.items():
        (folder / name).write_bytes(data)


def make_names(folder: Path) -> None:
    """Names that are no text, or more than a line."""
    for number, name in enumerate((b"caf\xe9.py", b"two\nlines.py", b"tab\t.py", "ä.py".encode())):
        path = os.fsencode(folder) + b"/" + name
        with open(path, "wb") as file:
            file.write(GOOD % b"name%d" % number)


def make_special_files(folder: Path) -> None:
    """What must not be opened: a fifo would wait for ever, a loop would never end."""
    os.mkfifo(folder / "fifo.py")
    (folder / "loop").symlink_to(folder)
    (folder / "self.py").symlink_to("self.py")
    (folder / "passwd.py").symlink_to("/etc/passwd")
    if os.geteuid() == 0:
        os.mknod(folder / "null.py", 0o020666, os.makedev(1, 3))
    locked = folder / "locked.py"
    locked.write_bytes(b"x = 1\n")
    locked.chmod(0)


def make_deep(folder: Path) -> None:
    """Folders so deep that no path leads to the innermost; a person cannot remove them either."""
    at = os.open(folder, os.O_RDONLY)
    for _ in range(DEEP_LEVELS):
        os.mkdir("d", dir_fd=at)
        inner = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    os.close(at)


def make_sparse(folder: Path) -> None:
    """A file of 2 GB."""
    with open(folder / "two_gigabytes.py", "wb") as file:
        file.truncate(2 << 30)


def make_git(path: Path) -> None:
    """A tree with names that no checkout would make, a loop of links and a missing object."""
    repo = Repo.init_bare(str(path), mkdir=True)
    blobs = [Blob.from_string(GOOD % name) for name in (b"git", b"odd_name", b"newline")]
    link = Blob.from_string(b"link.py")
    missing = Blob.from_string(b"never stored\n")
    tree = Tree()
    for name, blob in zip((b"good.py", b"caf\xe9.py", b"two\nlines.py"), blobs, strict=True):
        tree.add(name, 0o100644, blob.id)
    tree.add(b"link.py", 0o120000, link.id)
    tree.add(b"missing.py", 0o100644, missing.id)
    tree.add(b"module", 0o160000, b"1" * 40)
    commit = Commit()
    commit.tree = tree.id
    commit.author = commit.committer = b"A Person <person@example.org>"
    commit.author_time = commit.commit_time = commit.author_timezone = commit.commit_timezone = 0
    commit.message = b"odd"
    for stored in (*blobs, link, tree, commit):
        repo.object_store.add_object(stored)
    repo.refs[b"refs/heads/master"] = commit.id
    repo.refs.set_symbolic_ref(b"HEAD", b"refs/heads/master")
    repo.close()


def make_archives(folder: Path) -> None:
    """Bombs, paths that lead outside, devices, broken metadata, names at any length."""
    with tarfile.open(folder / "bomb.tar.gz", "w:gz") as archive:
        add(archive, "zeros.py", b"\0" * (64 << 20))
    with zipfile.ZipFile(folder / "zipbomb.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("zeros.py", b"\0" * (64 << 20))
    with zipfile.ZipFile(folder / "outside.zip", "w") as packed:
        packed.writestr("good.py", GOOD % b"zip")
        packed.writestr("../outside.py", GOOD % b"up")
        packed.writestr("/etc/absolute.py", GOOD % b"root")
    with tarfile.open(folder / "odd.tar", "w", errors="surrogateescape") as archive:
        add(archive, "good.py", GOOD % b"tar")
        add(archive, "caf\udce9.py", GOOD % b"tar_name")
        add(archive, "two\nlines.py", GOOD % b"tar_newline")
        add(archive, "long/" * 2000 + "x.py", b"x = 1\n")
        add(archive, "nul.py", b"\0")
        add(archive, "demo.dist-info/METADATA", b"License: " + b"MIT OR " * 2_000_000)
        add(archive, "package.json", b'{"license":' + b"[" * 400_000)
        for name, kind in (("fifo", tarfile.FIFOTYPE), ("disk", tarfile.BLKTYPE)):
            member = tarfile.TarInfo(name)
            member.type = kind
            archive.addfile(member)
    (folder / "cut.tar").write_bytes((folder / "odd.tar").read_bytes()[:3000])


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    """One member of a tar."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def make_table(path: Path, rows: int) -> None:
    """One content under so many names, in one repository."""
    content = (GOOD % b"identical").decode()
    table = pa.table(
        {
            "repo": pa.array(["identical"] * rows),
            "path": pa.array([f"copies/{number:07}.py" for number in range(rows)]),
            "content": pa.array([content] * rows),
        }
    )
    pq.write_table(table, path)


def make_json_lines(path: Path) -> None:
    """Cells that are valid JSON and fit no column."""
    rows = [
        {"repo": "odd\ud800", "path": "good.py", "content": (GOOD % b"json").decode()},
        {"repo": "odd\ud800", "path": "half\ud800.py", "content": "x = 1\n", "commit": "\udfff"},
        {"repo": "odd\ud800", "path": "lone.py", "content": "x = '\ud800'\n", "stars": 1e308},
        {"repo": "odd\ud800", "path": "../up.py", "content": "x = 1\n", "stars": -(10**40)},
        {"repo": "odd\ud800", "path": "number.py", "content": 5},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
