"""`samdesk weights`: list, fetch, check and import models. Must not know the other commands."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import Progress, Task
from samdesk.sdk.weights import recogniser
from samdesk.weights import (
    TYPES,
    Hash,
    Registry,
    Transfer,
    Weight,
    default_registry,
    import_file,
    verify,
)

EPILOG = """\
examples:
  samdesk weights list                          what there is, and what is on this computer
  samdesk weights info "SAM ViT-B"              size, licence, where it comes from
  samdesk weights download vit_b                fetch it; Ctrl+C stops, the next start goes on
  samdesk weights add https://… --name Nuclei   add a link: http(s), Google Drive, Hugging Face
  samdesk weights import nuclei.pt              add a file of your own
  samdesk weights path vit_b                    where the file is, for a script
  samdesk weights login                         for models whose licence must be accepted first

A weight is named by its name, by a part of it that fits one only, or by its model type.
Nothing is ever downloaded unless you ask for it.
exit status: 0 done, 1 an error that was told, 2 wrong usage, 130 stopped with Ctrl+C
"""

Command = Callable[[Registry, argparse.Namespace], int]


def run_weights(arguments: Sequence[str]) -> int:
    """Do as the command line says; the exit status."""
    options = _parser().parse_args(arguments)
    command: Command = options.run
    registry = default_registry()
    for problem in registry.problems:
        print(f"samdesk: {problem}", file=sys.stderr)
    return command(registry, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="samdesk weights",
        description="List, download, check and import the weights of models.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, run: Command, help: str, *, names: str = "", as_json: bool = True) -> Any:
        made = commands.add_parser(name, help=help, description=help[:1].upper() + help[1:] + ".")
        made.set_defaults(run=run)
        if names:
            made.add_argument("names", nargs=names, metavar="NAME", help="name or model type")
        if as_json:
            made.add_argument("--json", action="store_true", help="as JSON on standard output")
        return made

    listed = command("list", _list, "list the weights and their states")
    listed.add_argument("--type", choices=TYPES, help="of this model type only")
    command("info", _info, "tell all about a weight", names="+")
    added = command("add", _add, "add a weight by its link")
    added.add_argument("url", metavar="URL", help="http(s), Google Drive or Hugging Face link")
    added.add_argument("--name", required=True, help="what to call it")
    added.add_argument("--type", default="", choices=TYPES, help="model type (recognised on arrival)")
    added.add_argument("--sha256", help="what the file must hash to")
    added.add_argument("--licence", default="", help="under which it may be used")
    added.add_argument("--homepage", default="", metavar="URL", help="where to read about it")
    added.add_argument("--gated", action="store_true", help="wants an accepted licence and a login")
    added.add_argument("--replace", action="store_true", help="take the place of a weight of this name")
    added.add_argument("--download", action="store_true", help="download it now")
    command("download", _download, "download weights, going on where an earlier download stopped", names="+")
    command("verify", _verify, "read files whole and compare them with what was published", names="*")
    imported = command("import", _import, "add a file that is on this computer")
    imported.add_argument("file", type=Path, metavar="FILE")
    imported.add_argument("--name", default="", help="what to call it (the name of the file)")
    imported.add_argument("--type", default="", choices=TYPES, help="model type (recognised)")
    imported.add_argument("--licence", default="", help="under which it may be used")
    imported.add_argument("--reference", action="store_true", help="use it where it lies, without a copy")
    removed = command("remove", _remove, "delete files; forget weights that you added", names="+")
    removed.add_argument("--keep-entry", action="store_true", help="delete the file only")
    command("path", _path, "print where the file of a weight is", names="+", as_json=False)
    login = command("login", _login, "keep a Hugging Face token for gated weights", as_json=False)
    login.add_argument("--open", action="store_true", help="open the page for tokens in a browser")
    return parser


# what there is


def _list(registry: Registry, options: argparse.Namespace) -> int:
    weights = [w for w in registry.weights if options.type in (None, w.type)]
    if options.json:
        _print_json([describe(registry, weight) for weight in weights])
        return 0
    from samdesk.weights.transfer import size_text

    rows = [("NAME", "TYPE", "SIZE", "STATE", "LICENCE")]
    for weight in weights:
        size = registry.size(weight)
        state = registry.state(weight)
        rows.append(
            (
                weight.name,
                weight.type or "?",
                size_text(size) if size else "?",
                _partly(registry, weight) if state == "partial" else state,
                weight.licence,
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _info(registry: Registry, options: argparse.Namespace) -> int:
    found = [describe(registry, registry.find(name)) for name in options.names]
    if options.json:
        _print_json(found if len(found) > 1 else found[0])
        return 0
    for number, one in enumerate(found):
        if number:
            print()
        for name, value in one.items():
            if value not in (None, "", False):
                print(f"{name:<10} {value}")
    return 0


def describe(registry: Registry, weight: Weight) -> dict[str, Any]:
    """The facts about a weight, as JSON values."""
    finding = registry.ledger.finding(registry.path(weight))
    state = registry.state(weight)
    return {
        "name": weight.name,
        "type": weight.type,
        "state": state,
        "why": registry.why_damaged(weight) if state == "damaged" else "",
        "about": weight.about,
        "size": registry.size(weight),
        "licence": weight.licence,
        "homepage": weight.homepage,
        "gated": weight.gated,
        "url": weight.url,
        "published": str(weight.hash) if weight.hash is not None else None,
        "sha256": finding.sha256 if finding is not None and finding.sha256 else None,
        "path": str(registry.path(weight)),
        "source": weight.source,
    }


def _partly(registry: Registry, weight: Weight) -> str:
    received = registry.part(weight).stat().st_size
    return f"{100 * received / weight.size:.0f} %" if weight.size else "partial"


# what changes something


def _add(registry: Registry, options: argparse.Namespace) -> int:
    from samdesk.weights.sources import check_link, host_of

    url = check_link(options.url)
    try:
        known = Hash("sha256", options.sha256.strip().lower()) if options.sha256 else None
    except ValueError as error:
        raise SamdeskError(f"--sha256: {error}.", "It has 64 hexadecimal digits.") from error
    weight = registry.add(
        options.name,
        type=options.type,
        url=url,
        hash=known,
        licence=options.licence,
        homepage=options.homepage,
        gated=options.gated,
        replace=options.replace,
    )
    if known is None and not options.json:
        print(f"Added without a hash: whether {host_of(url)} sends the right file cannot be checked.")
    if options.download:
        return _fetch_all(registry, [weight], options.json)
    _told(registry, weight, options.json, f"Added {weight.name}. To fetch it: samdesk weights download "
          f"{json.dumps(weight.name, ensure_ascii=False)}")  # fmt: skip
    return 0


def _download(registry: Registry, options: argparse.Namespace) -> int:
    return _fetch_all(registry, [registry.find(name) for name in options.names], options.json)


def _fetch_all(registry: Registry, weights: Sequence[Weight], as_json: bool) -> int:
    from samdesk.weights.download import download

    recognise = recogniser()
    for weight in weights:
        try:
            with _bar(weight.name, quiet=as_json) as show:
                path = download(registry, weight, recognise=recognise, listener=show)
        except KeyboardInterrupt:
            kept = registry.part(weight)
            if kept.exists():
                print(
                    f"Stopped. {kept.stat().st_size:,} bytes are kept; start again to go on.", file=sys.stderr
                )
            return 130
        if not as_json:
            print(path)
    if as_json:
        _print_json([describe(registry, registry.find(weight.name)) for weight in weights])
    return 0


def _verify(registry: Registry, options: argparse.Namespace) -> int:
    here = ("ready", "unchecked", "damaged")
    weights = [registry.find(name) for name in options.names] or [
        weight for weight in registry.weights if registry.state(weight) in here
    ]
    recognise = recogniser() if weights else None
    status = 0
    for weight in weights:
        try:
            finding = verify(registry, weight, _spoken_task(options.json), recognise)
        except SamdeskError as error:
            status = 1
            print(f"{weight.name}: {error.message}\n  {error.hint}", file=sys.stderr)
        else:
            if not options.json:
                how = "as published" if weight.hash is not None else "nothing published to compare with"
                print(f"{weight.name}: sha256 {finding.sha256}, {how}")
    if options.json:
        _print_json([describe(registry, weight) for weight in weights])
    elif not weights:
        print("No file of weights is here.")
    return status


def _import(registry: Registry, options: argparse.Namespace) -> int:
    weight = import_file(
        registry,
        options.file,
        name=options.name,
        type=options.type,
        reference=options.reference,
        licence=options.licence,
        task=_spoken_task(options.json),
        recognise=recogniser(),
    )
    _told(registry, weight, options.json, f"Imported {weight.name} ({weight.type}): {registry.path(weight)}")
    return 0


def _remove(registry: Registry, options: argparse.Namespace) -> int:
    weights = [registry.find(name) for name in options.names]
    for weight in weights:
        if options.keep_entry:
            registry.delete_file(weight)
        else:
            registry.remove(weight)
        if not options.json:
            print(f"Removed {weight.name}.")
    if options.json:
        _print_json([weight.name for weight in weights])
    return 0


def _path(registry: Registry, options: argparse.Namespace) -> int:
    for weight in [registry.find(name) for name in options.names]:
        state = registry.state(weight)
        if state not in ("ready", "unchecked"):
            raise SamdeskError(
                f"{weight.name} is {state}.",
                f"Fetch it: samdesk weights download {json.dumps(weight.name, ensure_ascii=False)}",
            )
        print(registry.path(weight))
    return 0


def _login(registry: Registry, options: argparse.Namespace) -> int:
    from samdesk.weights.sources import TOKEN_PAGE, save_token

    for weight in registry.weights:
        if weight.gated:
            print(f"{weight.name}: accept the licence at {weight.homepage}", file=sys.stderr)
    print(f"Make a token that may read at {TOKEN_PAGE}", file=sys.stderr)
    if options.open:
        import webbrowser

        webbrowser.open(TOKEN_PAGE)
    if sys.stdin.isatty():
        import getpass

        token = getpass.getpass("Token: ")
    else:
        token = sys.stdin.readline()
    print(f"The token is kept in {save_token(token)}.")
    return 0


# how it is told


def _told(registry: Registry, weight: Weight, as_json: bool, text: str) -> None:
    if as_json:
        _print_json(describe(registry, weight))
    else:
        print(text)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def _spoken_task(quiet: bool) -> Task:
    """A task that tells on a terminal how far it is."""
    if quiet or not sys.stderr.isatty():
        return Task()

    def report(progress: Progress) -> None:
        part = "" if progress.fraction is None else f" {100 * progress.fraction:.0f} %"
        end = "\n" if progress.fraction == 1 else ""
        print(f"\r\x1b[K{progress.message}{part}", end=end, file=sys.stderr, flush=True)

    return Task(report)


@contextmanager
def _bar(name: str, quiet: bool) -> Iterator[Callable[[Transfer], None]]:
    """What shows a download: a bar on a terminal, else a line for each stage and tenth."""
    if quiet or not sys.stderr.isatty():
        yield _Lines(name, quiet)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), auto_refresh=False) as bar:
        row = bar.add_task(name, total=None)

        def show(transfer: Transfer) -> None:
            words = name if transfer.stage in ("receiving", "done") else transfer.message
            bar.update(row, description=words, completed=transfer.received, total=transfer.total)
            bar.refresh()

        yield show


class _Lines:
    """Plain lines for a log; nothing when `quiet`."""

    def __init__(self, name: str, quiet: bool) -> None:
        self._name = name
        self._quiet = quiet
        self._last = ""

    def __call__(self, transfer: Transfer) -> None:
        key = transfer.message
        if transfer.stage == "receiving":
            key = f"{int(10 * transfer.fraction)}" if transfer.fraction is not None else "receiving"
        if key != self._last and not self._quiet:
            print(transfer.message, file=sys.stderr, flush=True)
        self._last = key
