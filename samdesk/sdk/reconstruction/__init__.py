"""From annotations to 3D objects: picture and masks, what to expect of a run, the run, what stays of it.

Shared by the window, the command line, the server and notebooks. Must not know any of them.
"""

from .batch import Batch, Item, Order, Row, name_item, write_times
from .folder import describe, is_prepared, prepare, read_description
from .made import FILES, KINDS, PROVENANCE, Reconstruction, is_done, load
from .picture import Picture, bounds_of, mask_of, picture_of, region_around
from .preflight import Finding, Preflight, judge, preflight
from .publish import STL_MM, publish, record, wanted
from .run import HOPELESS, Outcome, finished, reconstruct
from .scene import SCENE, refuse_scene, write_scene
from .share import Share
from .times import STAGES, Times

__all__ = [
    "FILES",
    "HOPELESS",
    "KINDS",
    "PROVENANCE",
    "SCENE",
    "STAGES",
    "STL_MM",
    "Batch",
    "Finding",
    "Item",
    "Order",
    "Outcome",
    "Picture",
    "Preflight",
    "Reconstruction",
    "Row",
    "Share",
    "Times",
    "bounds_of",
    "describe",
    "finished",
    "is_done",
    "is_prepared",
    "judge",
    "load",
    "mask_of",
    "name_item",
    "picture_of",
    "preflight",
    "prepare",
    "publish",
    "read_description",
    "reconstruct",
    "record",
    "refuse_scene",
    "region_around",
    "wanted",
    "write_scene",
    "write_times",
]
