"""`serve_window`: what a window shares with the network. Must not know the window, only its workspace."""

from __future__ import annotations

from collections.abc import Callable

from samdesk.app.jobs import Job
from samdesk.app.models import CLASSICAL
from samdesk.app.workspace import Workspace

from .options import ServerOptions
from .run import serve
from .service import Service


def serve_window(workspace: Workspace, ready: Callable[[str], None]) -> Job[None]:
    """Answer programs of this computer with the models and prepared views of a window.

    Who names no model gets the one that is chosen in the window; for a weight file that is in no
    list, and so has no name, the engine without a model answers, and is named. No image can be
    opened by its path: what is looked at in the window is nobody else's business.

    Parameters
    ----------
    workspace : Workspace
    ready : callable
        Receives the address on the main thread once it answers.
    """
    options = ServerOptions(
        port=int(workspace.settings["serve_port"]), device=str(workspace.settings["device"])
    )
    models, registry = workspace.models, workspace.downloads.registry

    def chosen() -> str:
        key = models.current
        for weight in registry.weights:
            if weight.type and key in (weight.name, str(registry.path(weight))):
                return weight.name
        return CLASSICAL

    service = Service(workspace.jobs, workspace.downloads, workspace.embeddings, options, chosen)
    return serve(service, ready)
