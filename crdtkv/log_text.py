"""Text from outside in log lines, and the number of such lines.

A peer controls the text of errors about it: it may contain a name of a megabyte, line breaks, or terminal escape
sequences. So all text that contains data of others passes `one_line` before it is logged, and lines that others can
cause at will are limited in rate (`LineRate`). The caller passes the time.
"""

MAX_CHARACTERS = 300


def one_line(text: object, max_characters: int = MAX_CHARACTERS) -> str:
    """Return a text as one line of printable characters, with the rest escaped, shortened if it is long."""
    whole = str(text)
    shown = whole[: max_characters + 1]
    if not shown.isprintable():
        shown = "".join(
            character if character.isprintable() else character.encode("unicode_escape").decode() for character in shown
        )
    if len(shown) <= max_characters:
        return shown
    return f"{shown[:max_characters]}… ({len(whole)} characters)"


class LineRate:
    """At most `lines_max` lines per interval; dropped lines are counted, and the next line reports their number."""

    def __init__(self, lines_max: int = 10, interval_s: float = 10.0) -> None:
        self._lines_max = lines_max
        self._interval_s = interval_s
        self._lines = 0
        self._left_out = 0
        self._until_s = 0.0

    def admit(self, text: object, now_s: float) -> str | None:
        """Return the line to log, None if the limit is reached."""
        if now_s >= self._until_s:
            self._until_s = now_s + self._interval_s
            self._lines = 0
        if self._lines >= self._lines_max:
            self._left_out += 1
            return None
        self._lines += 1
        left_out, self._left_out = self._left_out, 0
        return one_line(text) + (f" ({left_out} such lines were left out before)" if left_out else "")
