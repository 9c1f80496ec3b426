"""From the text of a file to logical lines.

Facts from HTCondor's config.cpp (`getline_implementation`): blanks at both ends of a physical line go; a
backslash at its end joins the next one; a comment inside a continuation counts as nothing; a comment line
does not continue. Two pragma comments, `#opt:oldcomment` and `#opt:newcomment`, switch the treatment of
comments for the rest of the file, and `#opt:strict` forbids the obsolete colon assignment.
"""

from collections.abc import Iterator

import attrs


@attrs.frozen
class Line:
    """One logical line: the number of its first physical line, from 1, and its text."""

    number: int
    text: str


@attrs.define
class LogicalLines:
    """Iterates over the logical lines of one file, comments and empty lines left out."""

    text: str
    is_old_style: bool = False
    is_strict: bool = False

    def __iter__(self) -> Iterator[Line]:
        pending: list[str] = []
        first = 0
        for number, physical in enumerate(self.text.split("\n"), start=1):
            piece = physical.strip()
            is_comment = piece.startswith("#")
            if not pending:
                first = number
            if is_comment and not self.is_old_style:
                if not pending:
                    self._take_pragma(piece)
                    continue
                # Inside a continuation only the backslash of a comment counts.
                piece = "\\" if piece.endswith("\\") else ""
            if piece.endswith("\\"):
                pending.append(piece[:-1])
                continue
            joined = "".join([*pending, piece])
            pending = []
            if joined.startswith("#"):
                self._take_pragma(joined)
            elif joined.strip():
                yield Line(first, joined)
        if pending and "".join(pending).strip():
            yield Line(first, "".join(pending))

    def _take_pragma(self, comment: str) -> None:
        word = comment.lower()
        if word == "#opt:oldcomment":
            self.is_old_style = True
        elif word == "#opt:newcomment":
            self.is_old_style = False
        elif word == "#opt:strict":
            self.is_strict = True
