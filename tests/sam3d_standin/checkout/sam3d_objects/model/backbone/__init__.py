"""A stand-in of the package."""
