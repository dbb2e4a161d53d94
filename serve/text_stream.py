"""From token ids to text as it comes: whole characters only, and nothing of a stop string."""

from __future__ import annotations

from collections.abc import Sequence

from treespan.model.tokenizer import Tokenizer

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class Detokenizer:
    """Decodes ids one by one; the pieces joined are the text of all ids decoded at once.

    For vocabularies of bytes, where a token may hold a part of a character: such a part decodes to
    U+FFFD at the end, one or one for each byte, held back until the rest arrives or the text ends.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._pending: list[int] = []
        self._given = 0

    def push(self, token: int) -> str:
        """The characters that ``token`` completes."""
        self._pending.append(token)
        text = self._tokenizer.decode(self._pending)
        whole = text.rstrip(_REPLACEMENT)
        new = whole[self._given :]
        self._given = len(whole)
        if whole == text:
            self._pending.clear()
            self._given = 0
        return new

    def finish(self) -> str:
        """What is left of an incomplete character."""
        return self._tokenizer.decode(self._pending)[self._given :]


class StopScanner:
    """Passes text through up to the first stop string, however the text is cut into pieces.

    The first is the one that is complete first; of those that end together, the longest.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._longest = max(map(len, self._stops), default=0)
        self._held = ""
        self.stopped = False
        """Whether a stop string was found; nothing is given from then on."""

    def push(self, text: str) -> str:
        """The text that can no longer belong to a stop string."""
        if self.stopped:
            return ""
        self._held += text
        found = [
            (start + len(stop), start)
            for stop in self._stops
            if (start := self._held.find(stop)) >= 0
        ]
        if found:
            self.stopped = True
            return self._held[: min(found)[1]]
        safe = len(self._held) - self._beginning_of_a_stop()
        given, self._held = self._held[:safe], self._held[safe:]
        return given

    def finish(self) -> str:
        """What was held back in vain."""
        return "" if self.stopped else self._held

    def _beginning_of_a_stop(self) -> int:
        """Length of the longest end of the held text with which a stop string begins."""
        for length in range(min(self._longest - 1, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self._stops):
                return length
        return 0


class TextStream:
    """Both in a row."""

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str]) -> None:
        self._detokenizer = Detokenizer(tokenizer)
        self._scanner = StopScanner(stops)

    @property
    def stopped(self) -> bool:
        """Whether a stop string has ended the text."""
        return self._scanner.stopped

    def push(self, token: int) -> str:
        """The text that is certain after ``token``."""
        return self._scanner.push(self._detokenizer.push(token))

    def finish(self) -> str:
        """The rest, once no token follows."""
        last = self._scanner.push(self._detokenizer.finish())
        return last + self._scanner.finish()
