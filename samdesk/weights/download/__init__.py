"""The downloader: the one room with an HTTP client.

`fetch` holds the road, `answers` what a server's answer means, `part` the growing file and
`connection` sockets that can be left at any moment. Must not know models.
"""

from .fetch import Patience, download, resolve_link

__all__ = ["Patience", "download", "resolve_link"]
