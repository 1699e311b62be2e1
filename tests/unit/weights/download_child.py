"""A process that downloads, to be killed: ``download_child.py FOLDER URL SHA256 [LIMIT]``."""

from __future__ import annotations

import sys
from pathlib import Path

from samdesk.domain.errors import SamdeskError
from samdesk.weights import Hash, Registry, Weight
from samdesk.weights.download import Patience, download


def main(folder: Path, url: str, sha256: str, limit: int = 0) -> int:
    """Exit status 0: the file is there; 3: an error that was told."""
    if limit:  # the largest file that this process may write: the disk is full there
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    registry = Registry(folder.parent / "shipped.json", folder / "weights.json", folder)
    weight = Weight("vit_b", "Test weight", "test.pt", url, Hash("sha256", sha256), source="shipped")
    print("begin", flush=True)
    try:
        download(registry, weight, patience=Patience(stall_s=5, backoff_s=0.01, note_s=0.02, report_s=0.01))
    except SamdeskError as error:
        print(error.message, flush=True)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:4], *map(int, sys.argv[4:])))
