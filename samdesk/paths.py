"""Where files are: resources shipped with the program, and the user's folders.

`SAMDESK_HOME` moves every user folder under one root (tests, portable installs). Must not
know what is in the files.
"""

from __future__ import annotations

import os
from pathlib import Path


def resource(name: str) -> Path:
    """A file shipped with the program, in an installed package or a checkout."""
    package = Path(__file__).parent
    installed = package / "resources" / name
    return installed if installed.exists() else package.parent / "resources" / name


def config_dir() -> Path:
    """Settings."""
    return _user_dir("config")


def data_dir() -> Path:
    """What must not be lost: annotations of images that were not saved under a name."""
    return _user_dir("data")


def cache_dir() -> Path:
    """What can be made again: pyramids, embeddings, the demo slide."""
    return _user_dir("cache")


def state_dir() -> Path:
    """Logs and the marks of running windows."""
    return _user_dir("state")


def _user_dir(kind: str) -> Path:
    home = os.environ.get("SAMDESK_HOME")
    if home:
        folder = Path(home) / kind
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    import platformdirs

    chosen = {
        "config": platformdirs.user_config_path,
        "data": platformdirs.user_data_path,
        "cache": platformdirs.user_cache_path,
        "state": platformdirs.user_state_path,
    }[kind]
    return chosen("samdesk", appauthor=False, ensure_exists=True)
