"""A stand-in: the kernels are chosen once, on import, and that is printed to stdout."""

import os

import spconv  # noqa: F401

BACKEND = os.environ.get("SPARSE_BACKEND", "spconv")
ATTN = os.environ.get("SPARSE_ATTN_BACKEND", "sdpa")
ALGO = os.environ.get("SPCONV_ALGO", "auto")
print(f"[SPARSE] Backend: {BACKEND}, Attention: {ATTN}", flush=True)
if ATTN == "flash_attn":
    import flash_attn  # noqa: F401
