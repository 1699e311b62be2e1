"""A stand-in: newer checkouts refine the pose with this module."""
