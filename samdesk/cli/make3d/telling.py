"""Making a batch while telling how it goes. Must not know where the objects come from."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from samdesk.cli.progress import end_line
from samdesk.sdk.reconstruction import Batch, Item, Preflight, Row, write_times

from .objects import Found

TIMES_CSV = "times.csv"

TOLD = 20
"""What is to be expected of an object is told for so many; a batch of thousands stays quiet."""


def tell_plan(batch: Batch, found: Found, scene: bool) -> int:
    """Tell what would be shown to the engine; the exit status."""
    wrong = 0
    plans = batch.plan(list(found.items) if scene else found.items, together=scene)
    for item, plan in plans:
        print("\n".join(plan_lines(item.name if not scene else "scene", plan)))
        wrong += not plan.ok
    return int(wrong > 0)


def plan_lines(name: str, plan: Preflight) -> list[str]:
    """What is to be expected, in lines for a person."""
    lines = []
    if plan.width:
        x, y = plan.crop.x0, plan.crop.y0
        text = f"{name}: {plan.crop.width:,.0f} × {plan.crop.height:,.0f} px at {x:,.0f}, {y:,.0f}"
        if plan.downsample > 1:
            text += f", shown as {plan.width:,} × {plan.height:,} px (1 : {plan.downsample:.2f})"
        if plan.seconds is not None:
            text += f", about {plan.seconds:.3g} s"
        lines.append(text)
    else:
        lines.append(f"{name}:")
    return lines + [f"  {one.level}: {one.text} {one.hint}".rstrip() for one in plan.findings]


def make_and_tell(batch: Batch, found: Found, scene: bool) -> int:
    """Make the objects, tell how it goes, and write the table of times; the exit status."""
    rows: list[Row] = []

    def expected(item: Item, plan: Preflight) -> None:
        if found.total <= TOLD:
            end_line()
            print("\n".join(plan_lines("scene" if scene else item.name, plan)), file=sys.stderr)

    def became(row: Row) -> None:
        rows.append(row)
        end_line()
        if row.error:
            print(f"samdesk: {row.object}: {row.error}", file=sys.stderr)

    batch.on_preflight, batch.on_row = expected, became
    try:
        if scene:
            _, files = batch.scene(list(found.items))
        else:
            batch.each(found.items, found.total)
            files = {}
    finally:
        if rows:
            write_times(batch.out / TIMES_CSV, rows)
    end_line()
    print(_summary(rows, batch.out), file=sys.stderr)
    for path in files.values():
        print(path)
    return int(any(row.state == "failed" for row in rows))


def _summary(rows: Sequence[Row], out: Path) -> str:
    count = {state: sum(row.state == state for row in rows) for state in ("done", "skipped", "failed")}
    told = [f"{count['done']:,} made in {sum(row.total_s for row in rows if row.state == 'done'):.1f} s"]
    told += [f"{count['skipped']:,} there already"] if count["skipped"] else []
    told += [f"{count['failed']:,} failed"] if count["failed"] else []
    return f"{', '.join(told)}; {out}"
