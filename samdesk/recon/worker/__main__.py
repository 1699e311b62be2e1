"""The first lines of the worker. Started by path, under any Python, as ``--engine module:Class``.

Keeps the two pipes to the program for itself, so that no library can print into them, and makes
the modules of samdesk importable without the packages that lie beside them. The syntax is kept
such that an old Python can still say that it is too old.
"""

import os
import sys

OLDEST = (3, 10)


def _keep_pipes():
    # type: () -> tuple[int, int]
    """Take over stdin and stdout; whatever is printed from now on ends in the log."""
    commands, answers = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return commands, answers


def _reach_samdesk():
    # type: () -> None
    """Make ``samdesk`` importable from where this file lies, and nothing else from there."""
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib comes later
    sys.path[:] = [folder for folder in sys.path if os.path.abspath(folder) != here]  # noqa: PTH100
    package = type(sys)("samdesk")
    package.__path__ = [os.path.dirname(os.path.dirname(here))]  # noqa: PTH120
    sys.modules["samdesk"] = package


def _refuse(answers):
    # type: (int) -> None
    """Say that this Python is too old."""
    import json

    words = "Python %d.%d is too old for the 3D worker." % sys.version_info[:2]  # noqa: UP031
    hint = "Choose a Python of version %d.%d or later." % OLDEST  # noqa: UP031
    told = {"type": "error", "job": "", "kind": "protocol", "message": words, "hint": hint}
    os.write(answers, json.dumps(told).encode("ascii") + b"\n")


def main():
    # type: () -> None
    """Serve until the program has gone or says so."""
    commands, answers = _keep_pipes()
    if sys.version_info < OLDEST:
        _refuse(answers)
        return
    _reach_samdesk()
    import argparse

    from samdesk.recon.worker.loop import serve

    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", required=True)
    parser.add_argument("--path", action="append", default=[])
    chosen = parser.parse_args()
    sys.path.extend(chosen.path)
    serve(chosen.engine, commands, answers)


if __name__ == "__main__":
    main()
