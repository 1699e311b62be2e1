"""`samdesk make3d`: outlines in, 3D objects out; a folder for each. Must not know the other commands."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from samdesk import paths
from samdesk.cli.progress import end_line, progress_line
from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import Cancelled, Task
from samdesk.recon.client import Worker
from samdesk.recon.engines import worker_spec
from samdesk.sdk import load_segmenter, open_image
from samdesk.sdk.reconstruction import Batch, Order, Times, refuse_scene

from .arguments import EPILOG, add_arguments, config_of, order_of, refuse_unset
from .objects import Load, items_of
from .telling import make_and_tell, tell_plan

__all__ = ["EPILOG", "add_arguments", "run_make3d"]


def run_make3d(options: argparse.Namespace, load: Load = load_segmenter) -> int:
    """Make objects as the command line says.

    Parameters
    ----------
    options : argparse.Namespace
    load : callable
        Gives the segmenter for --text, as `load_segmenter` does.
    """
    order, config = order_of(options), config_of(options)
    if not (options.check or options.dry_run):
        refuse_unset(order.spec, config)
    log = paths.state_dir() / f"3d-{order.spec.name}.log"
    worker = Worker(worker_spec(order.spec.name, config), log)
    task = Task(progress_line())
    try:
        with _stoppable(task, worker):
            if options.check:
                return _check(worker, order.spec.title, task)
            return _make(options, order, worker, task, load)
    except Cancelled:
        raise KeyboardInterrupt from None
    finally:
        end_line()
        worker.close()


def _make(options: argparse.Namespace, order: Order, worker: Worker, task: Task, load: Load) -> int:
    if options.image is None or (options.out is None and not options.dry_run):
        raise SamdeskError("What to make and where to write it must be told.", "Give IMAGE and --out DIR.")
    if options.scene:
        refuse_scene(order.spec)  # before a text is looked for
    image = open_image(options.image)
    try:
        found = items_of(options, image, load, task)
        batch = Batch(worker, image, options.out, order, Times(times_path()), task)
        if options.dry_run:
            return tell_plan(batch, found, options.scene)
        return make_and_tell(batch, found, options.scene)
    finally:
        image.close()


def times_path() -> Path:
    """Where durations are learnt; the window's."""
    return paths.data_dir() / "3d" / "times.json"


@contextmanager
def _stoppable(task: Task, worker: Worker) -> Iterator[None]:
    """Ctrl+C, and a request to end, cancel the task; a second one ends the worker at once."""

    def stop(number: int, frame: object) -> None:
        if task.cancelled:
            worker.kill()
            raise KeyboardInterrupt
        task.cancel()

    before = {one: signal.signal(one, stop) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _check(worker: Worker, title: str, task: Task) -> int:
    items = worker.check(task)
    for item in items:
        mark = {True: "✓", False: "✗", None: "?"}[item.ok]
        print(f"{mark} {item.name:<24} {item.detail}".rstrip())
        if item.ok is not True and item.hint:
            print(f"  {item.hint}")
    lacking = sum(item.ok is False for item in items)
    print(f"{title} cannot run yet: {lacking} missing." if lacking else f"{title} can run.")
    return int(lacking > 0)
