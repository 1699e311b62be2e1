"""samdesk: outlines that can be trusted, in images of any size."""

__version__ = "0.1.0"
