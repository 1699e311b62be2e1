"""Where the frames of a server are kept until they are asked about, and when old ones go.

Must not know the endpoints.
"""

from __future__ import annotations

import contextlib

from samdesk import paths
from samdesk.domain.tasks import Task
from samdesk.server.service import Service
from samdesk.server.uploads import Uploads


def uploads_of(service: Service) -> Uploads:
    """The one `Uploads` of a server."""
    return service.part(
        Uploads, lambda: Uploads(lambda: paths.cache_dir() / "uploads", service.options.limits)
    )


def sweep(service: Service) -> None:
    """Let frames go that were not used for too long, as soon as lane `io` has time."""
    uploads = uploads_of(service)

    def go(task: Task) -> None:
        with contextlib.suppress(OSError):  # told when a frame is sent
            uploads.sweep()

    service.jobs.lane("io").submit(go, key="old frames")
