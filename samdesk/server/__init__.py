"""The local server: the engines of samdesk for QuPath, a browser, a phone or a script.

The web stack lives here and nowhere else. Must not know the window.
"""

from .options import PORT, Limits, ServerOptions
from .run import serve
from .service import Service

__all__ = ["PORT", "Limits", "ServerOptions", "Service", "serve"]
