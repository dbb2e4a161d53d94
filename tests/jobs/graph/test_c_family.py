"""Includes of C, C++ and Objective-C."""

from typing import Any


def test_beside_from_the_top_and_by_tails(resolve: Any) -> None:
    found = resolve(
        {
            "src/main.c": """\
                #include <stdio.h>
                #include <string.h>
                #include <net/socket.h>
                #include "util.h"
                #include "core/list.h"
                #include "../deps/lua/lua.h"
                #include "other/config.h"
                #include "absent.h"
                """,
            "src/util.h": "",
            "include/core/list.h": "",
            "include/net/socket.h": "",
            "deps/lua/lua.h": "",
            "compat/string.h": "",
            "compat/config.h": "",
        }
    )
    assert found.of("src/main.c") == {
        "net/socket.h": {"include/net/socket.h": 1.0},
        "util.h": {"src/util.h": 1.0},
        "core/list.h": {"include/core/list.h": 1.0},
        "../deps/lua/lua.h": {"deps/lua/lua.h": 1.0},
    }
    # No folder is called ``other``, and no file ``absent.h``: they are somebody else's.
    assert found.unresolved == []
    counts = found.graph.counts["C"]
    assert (counts.imports, counts.in_repository, counts.resolved) == (8, 4, 4)


def test_the_nearest_of_several_headers(resolve: Any) -> None:
    found = resolve(
        {
            "a/src/x.cpp": '#include "conf/config.h"\n',
            "a/inc/conf/config.h": "",
            "b/inc/conf/config.h": "",
            "lone.cpp": '#include "config.h"\n#include "project/sub/part.h"\n',
            "sub/part.h": "",
            "project.md": "",
        }
    )
    assert found.of("a/src/x.cpp") == {"conf/config.h": {"a/inc/conf/config.h": 0.7}}
    assert found.of("lone.cpp") == {
        "config.h": {"a/inc/conf/config.h": 0.25, "b/inc/conf/config.h": 0.25},
        "project/sub/part.h": {"sub/part.h": 0.7},
    }


def test_a_call_leads_to_the_source_beside_the_header(resolve: Any) -> None:
    graph = resolve(
        {
            "main.c": '#include "list.h"\nint main(void) { return list_size(0); }\n',
            "list.h": "struct list { int size; };\nint list_size(struct list *l);\n",
            "list.c": '#include "list.h"\nint list_size(struct list *l) { return l->size; }\n',
        }
    ).graph
    uses = {(e.source, e.target, e.name): e.weight for e in graph.edges if e.kind == "use"}
    assert uses == {("main.c", "list.c", "list_size"): 0.6, ("list.c", "list.h", "list"): 0.9}
