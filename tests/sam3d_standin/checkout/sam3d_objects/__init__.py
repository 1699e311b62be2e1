"""A stand-in of the package. Like it, it imports what is not shipped unless it is told not to."""

import os

if not os.environ.get("LIDRA_SKIP_INIT"):
    import sam3d_objects.init  # noqa: F401 - not there
