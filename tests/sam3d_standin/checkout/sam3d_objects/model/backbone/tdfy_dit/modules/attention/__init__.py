"""A stand-in: the kernel is chosen once, on import."""

import os

BACKEND = os.environ.get("ATTN_BACKEND", "sdpa")
if BACKEND == "flash_attn":
    import flash_attn  # noqa: F401
