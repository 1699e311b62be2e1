"""The graphics card's memory, as far as the torch that is loaded tells.

Standard library only. Figures to show, and a courtesy to others: a driver that does not do it is no
reason to fail. Must not know models.
"""

from __future__ import annotations

import gc
import sys
from contextlib import suppress


def name() -> str:
    """Of the first card; empty where none is known."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return ""
    return str(torch.cuda.get_device_name(0))


def memory() -> dict[str, int]:
    """As `WorkerEngine.load` tells it; empty where it is not known."""
    with suppress(Exception):
        free, total = sys.modules["torch"].cuda.mem_get_info()
        return {"vram_used": int(total - free), "vram_total": int(total)}
    return {}


def reset_peak() -> None:
    with suppress(Exception):
        sys.modules["torch"].cuda.reset_peak_memory_stats()


def peak() -> dict[str, int]:
    """The most that was used since `reset_peak`."""
    with suppress(Exception):
        return {"vram_peak": int(sys.modules["torch"].cuda.max_memory_allocated())}
    return {}


def give_back() -> None:
    """Let others have what is not used any more."""
    gc.collect()
    with suppress(Exception):
        sys.modules["torch"].cuda.empty_cache()
