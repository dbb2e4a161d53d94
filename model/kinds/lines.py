"""Where statements begin and end with regard to their lines. Pure functions of a text."""

from __future__ import annotations

from treespan.model.kinds.captures import Captures

_BLANKS = b" \t\r\n\f\v"


class Lines:
    """A text in UTF-8, and the comments and annotations that may stand around code in it."""

    def __init__(self, data: bytes, found: Captures) -> None:
        self.data = data
        self._comments = found.comments
        self._comment_of_end = {
            self.strip_end(start, end): start for start, end in found.comments.items()
        }
        self._skipped = found.annotations | found.comments
        self._leading = self._comment_of_end | {
            end: start for start, end in found.annotations.items()
        }

    def begins_line(self, start: int) -> bool:
        """Whether only blanks stand before ``start`` on its line."""
        before = self.data[self.data.rfind(b"\n", 0, start) + 1 : start]
        return not before or before.isspace()

    def strip(self, start: int, end: int) -> tuple[int, int]:
        """[start, end) without the blanks at its ends; some grammars' nodes have them."""
        end = self.strip_end(start, end)
        return self.strip_start(start, end), end

    def strip_start(self, start: int, end: int) -> int:
        """``start`` moved on over blanks, at most to ``end``."""
        data = self.data
        while start < end and data[start] in _BLANKS:
            start += 1
        return start

    def strip_end(self, start: int, end: int) -> int:
        """``end`` moved back over blanks, at most to ``start``."""
        data = self.data
        while end > start and data[end - 1] in _BLANKS:
            end -= 1
        return end

    def line_close(self, end: int) -> int | None:
        """Where the line of a statement that ends at ``end`` ends, without blanks: behind a
        delimiter and a comment that may follow. None if something else follows."""
        data = self.data
        if data[end : end + 1] in (b"\n", b""):
            return end
        feed = data.find(b"\n", end)
        if feed < 0:
            feed = len(data)
        last = self.strip_end(end, feed)
        if last == end:
            return end
        at = end
        if data[at] in b";,":
            at += 1
        at = self.strip_start(at, last)
        while at < last:
            comment = self._comments.get(at)
            if comment is None or comment > feed + 1:  # some grammars give it the line feed too
                return None
            at = self.strip_start(min(comment, last), last)
        return last

    def without_comments(self, start: int, end: int) -> int:
        """``end`` moved back over blanks and comments, at most to ``start``."""
        while True:
            end = self.strip_end(start, end)
            comment = self._comment_of_end.get(end)
            if comment is None or comment <= start:
                return end
            end = comment

    def without_annotations(self, start: int, end: int) -> int:
        """``start`` moved on over annotations and the comments and blanks between them."""
        while start in self._skipped:
            start = self.strip_start(self._skipped[start], end)
        return start

    def leading(self, start: int) -> tuple[int, bool]:
        """Where the comments and annotations begin that stand right above ``start``, without an
        empty line between, and whether there is a comment among them."""
        data, commented = self.data, False
        while True:
            above = self.strip_end(0, start)
            first = self._leading.get(above)
            if first is None or data.count(b"\n", above, start) > 1 or not self.begins_line(first):
                return start, commented
            commented |= above in self._comment_of_end
            start = first
