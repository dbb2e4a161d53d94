"""C, C++, CUDA and Objective-C: an include by its path, or by the best fitting tail of one.

Include folders are unknown. A quoted path is looked for beside the including file and from the
repository's top; then any file whose path ends with what is written will do, the nearest first.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from treespan.jobs.graph.resolvers.reference import Reference, Sources, inside

LANGUAGES = ("C", "C++", "Cuda", "Objective-C")
_WRITTEN_LONGER = 0.7
"""Weight where the repository holds only the end of the written path (it is itself a subfolder)."""

_STANDARD = frozenset(
    (
        "assert.h", "complex.h", "ctype.h", "errno.h", "fenv.h", "float.h", "inttypes.h",
        "iso646.h", "limits.h", "locale.h", "math.h", "setjmp.h", "signal.h", "stdalign.h",
        "stdarg.h", "stdatomic.h", "stdbool.h", "stddef.h", "stdint.h", "stdio.h", "stdlib.h",
        "stdnoreturn.h", "string.h", "strings.h", "tgmath.h", "threads.h", "time.h", "uchar.h",
        "wchar.h", "wctype.h", "unistd.h", "fcntl.h", "pthread.h", "dirent.h", "dlfcn.h",
        "poll.h", "sched.h", "semaphore.h", "syslog.h", "termios.h", "malloc.h", "alloca.h",
        "memory.h", "windows.h", "io.h", "process.h", "features.h", "stdc-predef.h",
        "algorithm", "any", "array", "atomic", "bit", "bitset", "charconv", "chrono", "cmath",
        "codecvt", "compare", "complex", "concepts", "coroutine", "cstddef", "cstdint",
        "cstdio", "cstdlib", "cstring", "deque", "exception", "execution", "expected",
        "filesystem", "format", "forward_list", "fstream", "functional", "future",
        "initializer_list", "iomanip", "ios", "iostream", "istream", "iterator", "latch",
        "limits", "list", "locale", "map", "memory", "memory_resource", "mutex", "new",
        "numbers", "numeric", "optional", "ostream", "queue", "random", "ranges", "ratio",
        "regex", "scoped_allocator", "semaphore", "set", "shared_mutex", "span", "sstream",
        "stack", "stdexcept", "stop_token", "streambuf", "string", "string_view",
        "system_error", "thread", "tuple", "type_traits", "typeindex", "typeinfo",
        "unordered_map", "unordered_set", "utility", "valarray", "variant", "vector", "version",
    )
)  # fmt: skip
"""Angle includes of these are the system's, whatever the repository holds."""


class CResolver:
    """Includes of the C family."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._headers: dict[str, list[int]] = {}
        self._folders = {part for folder in sources.folders for part in folder.split("/")}
        for index in sources.of(LANGUAGES):
            name = posixpath.basename(sources.files[index].path)
            self._headers.setdefault(name, []).append(index)

    def references(self, index: int) -> Iterator[Reference]:
        for statement in self._sources.facts[index].imports:
            written = statement.text[1:-1].strip()
            if written:
                yield self._resolved(index, written, angle=statement.text.startswith("<"))

    def _resolved(self, index: int, written: str, *, angle: bool) -> Reference:
        namesakes = self._headers.get(posixpath.basename(written), [])
        if not namesakes or (angle and written in _STANDARD):
            return Reference(written, False)
        if not angle:
            folder = posixpath.dirname(self._sources.files[index].path)
            beside = self._sources.by_path.get(inside(folder, written))
            if beside is not None:
                return Reference(written, True, {beside: 1.0})
        tail = posixpath.normpath(written)
        while tail.startswith("../"):
            tail = tail[3:]
        for root in ("", "include/", "src/"):
            if root + tail in self._sources.by_path:
                return Reference(written, True, {self._sources.by_path[root + tail]: 1.0})
        ending = [at for at in namesakes if f"/{self._sources.files[at].path}".endswith(f"/{tail}")]
        if ending:
            return Reference(written, True, self._sources.nearest(index, ending))
        ended = [at for at in namesakes if f"/{tail}".endswith(f"/{self._sources.files[at].path}")]
        if ended:
            longest = max(ended, key=lambda at: (len(self._sources.files[at].path), at))
            return Reference(written, True, {longest: _WRITTEN_LONGER})
        # A path below a folder that the repository does not know is another library's, whose file
        # happens to have a common name.
        return Reference(written, tail.partition("/")[0] in self._folders or "/" not in tail)
