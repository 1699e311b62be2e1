"""A psygnal signal whose listeners cannot silence each other. Must not know who listens."""

from __future__ import annotations

import logging

from psygnal import Signal, SignalInstance

log = logging.getLogger(__name__)


class _Guarded(SignalInstance):
    """Emits queued; a listener that raises is logged, and all the others are still told."""

    def _run_emit_loop_queued(self) -> None:
        told = 0
        while told < len(self._emit_queue):
            for listener in list(self._slots):
                if listener.dereference() is None:
                    continue
                try:
                    listener.cb(self._emit_queue[told])
                except Exception:
                    log.exception("A listener of %r failed; what was announced has happened.", self.name)
            told += 1


def announcement(*types: type) -> Signal:
    """A signal for a class body, told after the state has changed.

    What a listener emits while it is being told is told next, to all, in order. An exception
    in a listener is logged: it must not reach the one who made a change that did happen.
    """
    return Signal(*types, reemission="queued", signal_instance_class=_Guarded)
