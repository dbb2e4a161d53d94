from tree_sitter import Node

KINDS: tuple[str, ...] = (
    "method-signature",
    "method-body",
    "single-line",
    "method-with-comment",
    "empty",
    "body-top",
    "body-mid",
    "body-bottom",
    "if",
    "for",
    "while",
    "try",
    "switch",
)


def has_kinds(language: str) -> bool:
    return False


def kind_spans(root: Node, data: bytes, language: str) -> dict[str, list[tuple[int, int]]]:
    return {}
