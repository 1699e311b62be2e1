"""`BlockCache`: decoded blocks kept in memory, bounded by bytes. Must not know files or colours."""

from __future__ import annotations

from samdesk.domain.geometry import Plane
from samdesk.domain.memory import BytesCache
from samdesk.images.source import ImageSource, Pixels


class BlockCache:
    """Blocks of any number of sources. Thread-safe; blocks are shared and read-only.

    Parameters
    ----------
    limit_bytes : int
        Memory that the blocks may take together.
    """

    def __init__(self, limit_bytes: int = 512 << 20) -> None:
        self._blocks = BytesCache[Pixels](limit_bytes)

    @property
    def limit_bytes(self) -> int:
        return self._blocks.limit_bytes

    @limit_bytes.setter
    def limit_bytes(self, limit_bytes: int) -> None:
        self._blocks.limit_bytes = limit_bytes

    @property
    def nbytes(self) -> int:
        return self._blocks.nbytes

    def __len__(self) -> int:
        return len(self._blocks)

    def get_block(
        self,
        source: ImageSource,
        level: int,
        column: int,
        row: int,
        plane: Plane = Plane(),
        channel: int = 0,
    ) -> Pixels:
        """The block, from memory when it is there.

        Returns
        -------
        ndarray
            As `ImageSource.read_block`; must not be written to.

        Raises
        ------
        SamdeskError
            When the block cannot be read.
        """
        key = (source.identity, level, column, row, plane, 0 if source.kind == "rgb" else channel)
        block = self._blocks.get(key)
        if block is None:
            block = source.read_block(level, column, row, plane, channel)
            if not _is_view_of_larger(block):
                block.flags.writeable = False
                self._blocks.put(key, block)
        return block

    def clear(self) -> None:
        self._blocks.clear()


def _is_view_of_larger(block: Pixels) -> bool:
    """Whether keeping the block would keep a larger array alive: it then is in memory anyway."""
    base = block
    while isinstance(base.base, type(block)):
        base = base.base
    return base.nbytes > 2 * block.nbytes
