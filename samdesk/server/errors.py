"""`RequestError`: what a client did wrong or cannot have, with the status that says so.

Must not know any endpoint.
"""

from __future__ import annotations

from samdesk.domain.errors import SamdeskError


class RequestError(SamdeskError):
    """An answer that is not 200.

    Parameters
    ----------
    status : int
        HTTP status, 4xx or 503.
    message, hint : str
        As in `SamdeskError`.
    weight : str
        Name of the weight that has to be downloaded first; the window then offers that.
    """

    def __init__(self, status: int, message: str, hint: str = "", weight: str = "") -> None:
        super().__init__(message, hint)
        self.status = status
        self.weight = weight
