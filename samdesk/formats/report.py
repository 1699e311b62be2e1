"""What an import brought and an export wrote, and what had to be repaired or left out.

Must not know any format.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from samdesk.domain.columns import Table

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of a file.

    Attributes
    ----------
    read : int
        Annotations that were read, repaired ones included.
    repaired : tuple of str
        One line for each thing that was changed to make sense of it: where, and what.
    skipped : tuple of str
        One line for each thing that was left out: where, and why.
    notes : tuple of str
        What is true of the file as a whole.
    """

    read: int
    repaired: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def summary(self) -> str:
        """A few lines for the user: the counts, and the first lines of each kind."""
        cases = (("Repaired", self.repaired), ("Left out", self.skipped))
        told = [(f"{title}: {counted(len(lines), 'case')}.", lines) for title, lines in cases]
        return _summary(f"{counted(self.read, 'annotation')} read.", told, self.notes)

    def full(self) -> Iterator[str]:
        """Every line, under the title of its kind."""
        yield f"{counted(self.read, 'annotation')} read."
        cases = (("Repaired", self.repaired), ("Left out", self.skipped), ("Notes", self.notes))
        yield from _listed(*((title, len(lines), lines) for title, lines in cases))


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written, and what the format could not take.

    Attributes
    ----------
    path : Path
    written : int
        Annotations that are in the file.
    left_out : tuple of str
        One line for each kind of thing that is not in the file: how many, and why.
    notes : tuple of str
        What is true of the file as a whole.
    lost : int
        Annotations that are not in the file; 0 also where only parts of some are not.
    """

    path: Path
    written: int
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    lost: int = 0

    def summary(self) -> str:
        """A few lines for the user."""
        head = f"{counted(self.written, 'annotation')} exported to {self.path.name}."
        title = f"Left out: {counted(self.lost, 'annotation')}." if self.lost else "Left out:"
        return _summary(head, ((title, self.left_out),), self.notes)

    def full(self) -> Iterator[str]:
        """Every line, under the title of its kind."""
        yield f"{counted(self.written, 'annotation')} exported to {self.path}."
        notes = ("Notes", len(self.notes), self.notes)
        yield from _listed(("Left out", self.lost, self.left_out), notes)


@dataclass(frozen=True, slots=True)
class Imported:
    """The annotations of a file, in its order, and the report."""

    table: Table
    report: ImportReport


def counted(number: int, word: str) -> str:
    """Such as "1 annotation" or "2,000 annotations"."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _summary(head: str, cases: Sequence[tuple[str, tuple[str, ...]]], notes: tuple[str, ...]) -> str:
    lines = [head]
    for title, entries in cases:
        if entries:
            lines.append(title)
            lines += [f"  {entry}" for entry in entries[:_SHOWN]]
            if len(entries) > _SHOWN:
                lines.append(f"  … and {len(entries) - _SHOWN:,} more.")
    return "\n".join([*lines, *notes])


def _listed(*cases: tuple[str, int, tuple[str, ...]]) -> Iterator[str]:
    for title, count, entries in cases:
        if entries:
            yield ""
            yield f"{title} ({count:,})" if count else title
            yield from entries
