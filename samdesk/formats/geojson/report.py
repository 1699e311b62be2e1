"""What an import brought, and what it had to repair or leave out. Must not know JSON."""

from __future__ import annotations

from dataclasses import dataclass

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
        lines = [f"{_counted(self.read, 'annotation')} read."]
        for title, entries in (("Repaired", self.repaired), ("Left out", self.skipped)):
            if entries:
                lines.append(f"{title}: {_counted(len(entries), 'case')}.")
                lines += [f"  {entry}" for entry in entries[:_SHOWN]]
                if len(entries) > _SHOWN:
                    lines.append(f"  … and {len(entries) - _SHOWN:,} more.")
        return "\n".join([*lines, *self.notes])


@dataclass(frozen=True, slots=True)
class Imported:
    """The annotations of a file, in its order, and the report."""

    table: Table
    report: ImportReport


def _counted(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
