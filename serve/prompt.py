"""From a request to token ids: the layout of training, cut to the room that the model has."""

from __future__ import annotations

from treespan.model.fim_format import FimRenderer, crop_context
from treespan.platform.language import HEAD_BYTES, detect_language
from treespan.serve.api import RequestError

_CHARACTERS_PER_TOKEN = 32  # no text worth completing has longer tokens on average


def render_prompt(
    renderer: FimRenderer,
    *,
    prefix: str,
    suffix: str | None,
    path: str | None,
    max_tokens: int,
    max_positions: int,
) -> list[int]:
    """The ids to continue, at most ``max_positions - max_tokens``.

    Without a suffix that is the beginning of a file; with one, even an empty one, the format's
    fill-in-the-middle layout. What is too long loses the beginning of its prefix and the end of its
    suffix, never a sentinel. The path gives a header comment if the format has one and the language
    is known; a header that would take more than a quarter of the room is left out, as in training.
    Raises ``RequestError`` where there is nothing to complete or no room for any code.
    """
    if not prefix.strip() and not (suffix or "").strip():
        raise RequestError(
            "'prompt' and 'suffix' are blank: there is nothing to complete", param="prompt"
        )
    header = _header_ids(renderer, path, prefix + (suffix or ""))
    budget = max_positions - max_tokens
    if len(header) > budget // 4:
        header = []
    room = budget - len(_lay_out(renderer, [], None if suffix is None else [], header))
    if room < 1:
        raise RequestError(
            f"'max_tokens' {max_tokens} leaves no room for code in the model's {max_positions} "
            f"positions; give at most {max_tokens + room - 1}",
            param="max_tokens",
        )
    characters = room * _CHARACTERS_PER_TOKEN
    encode = renderer.tokenizer.encode
    before = encode(prefix[-characters:])
    if suffix is None:
        return _lay_out(renderer, before[-room:], None, header)
    before, after = crop_context(before, encode(suffix[:characters]), room)
    return _lay_out(renderer, before, after, header)


def _lay_out(
    renderer: FimRenderer, prefix: list[int], suffix: list[int] | None, header: list[int]
) -> list[int]:
    if suffix is None:
        return renderer.ntp(prefix, header, complete=False).tokens
    return renderer.prompt(prefix, suffix, header, renderer.format.order)


def _header_ids(renderer: FimRenderer, path: str | None, text: str) -> list[int]:
    if path is None:
        return []
    # The text decides between languages that share an ending, as it did in training.
    language = detect_language(path, text[:HEAD_BYTES].encode())
    return renderer.header_ids(path, language)
