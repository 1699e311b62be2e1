"""Every option of the program is a row here; preferences, defaults and the file come from it.

Must not know widgets.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout
from psygnal import Signal

from samdesk.domain.errors import SamdeskError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Setting:
    """A row of the table.

    Attributes
    ----------
    name : str
        Key in the file.
    page : str
        Page of the preferences; empty for what is remembered and not chosen.
    kind : {"switch", "choice", "number", "memory"}
    choices : tuple of (value, title), for "choice"
    low, high : limits for "number"
    """

    name: str
    page: str
    title: str
    kind: Literal["switch", "choice", "number", "memory"]
    default: Any
    tip: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    low: float = 0
    high: float = 0
    unit: str = ""

    def accepts(self, value: Any) -> bool:
        if self.kind == "switch":
            return isinstance(value, bool)
        if self.kind == "choice":
            return value in [choice for choice, _ in self.choices]
        if self.kind == "number":
            return isinstance(value, int | float) and self.low <= value <= self.high
        return isinstance(value, type(self.default))


PAGES = ("View", "Tools", "Segment", "Model", "Documents", "3D", "Server")
"""Pages of the preferences, in their order."""

SETTINGS = {
    row.name: row
    for row in (
        Setting(
            "appearance",
            "View",
            "Appearance",
            "choice",
            "system",
            "Light, dark, or as the system is set",
            (("system", "As the system"), ("light", "Light"), ("dark", "Dark")),
        ),
        Setting("scale_bar", "View", "Scale bar", "switch", True, "Show a scale bar in the picture"),
        Setting("overview", "View", "Overview", "switch", True, "Show where the view is on the whole image"),
        Setting("rulers", "View", "Rulers", "switch", False, "Show lengths along the edges of the picture"),
        Setting("names", "View", "Show names", "switch", False, "Write the names of annotations beside them"),
        Setting("annotations", "View", "Show annotations", "switch", True, "Paint the annotations"),
        Setting("fill", "View", "Fill annotations", "switch", False, "Paint annotations filled"),
        Setting(
            "opacity",
            "View",
            "Annotation opacity",
            "number",
            100,
            "How strongly annotations are painted",
            low=10,
            high=100,
            unit="%",
        ),
        Setting(
            "return_to_move",
            "Tools",
            "Back to Move after drawing",
            "switch",
            True,
            "What was drawn can be moved and changed at once; off, the tool draws the next one",
        ),
        Setting(
            "brush_px",
            "Tools",
            "Brush diameter",
            "number",
            50,
            "On the screen, so that the brush is finer when zoomed in; Alt+wheel changes it, too",
            low=10,
            high=500,
            unit="px",
        ),
        Setting(
            "wand_sensitivity",
            "Tools",
            "Wand tolerance",
            "number",
            2.0,
            "How far colors may differ from the one under the cursor, in standard deviations around it",
            low=0.1,
            high=20,
        ),
        Setting(
            "hover",
            "Segment",
            "Preview under the cursor",
            "switch",
            True,
            "Show what a click would give before it is made",
        ),
        Setting(
            "auto_accept",
            "Segment",
            "Keep every click at once",
            "switch",
            False,
            "For counting: what a click or box finds is kept when the model has answered, without Enter",
        ),
        Setting(
            "outline_tolerance",
            "Segment",
            "Simplify outlines by",
            "number",
            0.0,
            "Remove vertices while the outline moves by less than this; 0 keeps every vertex",
            low=0,
            high=10,
            unit="px",
        ),
        Setting(
            "device",
            "Model",
            "Compute on",
            "choice",
            "auto",
            "Where models run; automatic takes a graphics card when there is one",
            (
                ("auto", "Automatic"),
                ("cuda", "NVIDIA graphics (CUDA)"),
                ("mps", "Apple graphics (MPS)"),
                ("cpu", "Processor (CPU)"),
            ),
        ),
        Setting(
            "stand_in",
            "Model",
            "Answer before the model is ready",
            "switch",
            True,
            "Until the model has prepared the view, the classical engine answers and is named",
        ),
        Setting(
            "candidates",
            "Model",
            "Candidates",
            "choice",
            "auto",
            "How many outlines a model proposes for one prompt",
            (("auto", "Several for a single click"), ("several", "Always several"), ("one", "Always one")),
        ),
        Setting(
            "mask_percent",
            "Model",
            "Mask threshold",
            "number",
            50,
            "A pixel belongs to the object when the model gives it more than this probability",
            low=1,
            high=99,
            unit="%",
        ),
        Setting(
            "min_area",
            "Model",
            "Drop parts and fill holes below",
            "number",
            0.0,
            "Area in pixels that the model sees, squared",
            low=0,
            high=10000,
            unit="px²",
        ),
        Setting(
            "smooth",
            "Model",
            "Smooth outlines by",
            "number",
            0.0,
            "Standard deviation of the blur before the outline is drawn, in pixels that the model sees",
            low=0,
            high=20,
            unit="px",
        ),
        Setting(
            "embeddings_mb",
            "Model",
            "Memory for prepared views",
            "number",
            1024,
            "Prepared views that are kept in memory",
            low=64,
            high=65536,
            unit="MB",
        ),
        Setting(
            "embeddings_disk_mb",
            "Model",
            "Disk space for prepared views",
            "number",
            4096,
            "Prepared views are found again after a restart; 0 keeps none",
            low=0,
            high=1048576,
            unit="MB",
        ),
        Setting(
            "warm_chips",
            "View",
            "Show prepared areas",
            "switch",
            False,
            "Mark where the model answers at once",
        ),
        Setting(
            "restore_session",
            "Documents",
            "Open what was open last",
            "switch",
            True,
            "Start with the image or project of the last time, where it was looked at",
        ),
        Setting(
            "undo_mb",
            "Documents",
            "Memory for undo",
            "number",
            512,
            "The oldest steps are forgotten when undo needs more",
            low=16,
            high=8192,
            unit="MB",
        ),
        Setting(
            "blocks_mb",
            "Documents",
            "Memory for image tiles",
            "number",
            512,
            "More keeps panning back quick",
            low=64,
            high=16384,
            unit="MB",
        ),
        Setting(
            "stl_mm",
            "3D",
            "Longest side of an STL",
            "number",
            50.0,
            "STL files for printing have no unit and SAM 3D's scale is relative: this gives them a size",
            low=1,
            high=2000,
            unit="mm",
        ),
        Setting(
            "serve",
            "Server",
            "Answer QuPath and other programs",
            "switch",
            False,
            "Programs of this computer may ask the models of samdesk; those of other computers may not",
        ),
        Setting(
            "serve_port",
            "Server",
            "Port",
            "number",
            8000,
            "Where they ask; QuPath's SAM extension expects 8000",
            low=1024,
            high=65535,
        ),
        Setting("model", "", "The model chosen last", "memory", ""),
        Setting("engine3d", "", "The 3D engine chosen last", "memory", ""),
        Setting("options3d", "", "What was asked of a 3D engine last", "memory", {}),
        Setting("recon", "", "What 3D engines were told", "memory", {}),
        Setting(
            "hidden_measurements",
            "",
            "Columns that the measurement table does not show",
            "memory",
            ["aspect", "height", "holes", "parts", "vertices", "width"],
        ),
        Setting("recent_commands", "", "Commands chosen last in the palette", "memory", []),
        Setting("recent", "", "Recent files", "memory", []),
        Setting("session", "", "What was open last", "memory", {}),
        Setting("shaping", "", "What shapes were changed by last", "memory", {}),
        Setting("projects", "", "Where the annotations of an image were saved", "memory", {}),
        Setting("properties", "", "Whether the properties are unfolded", "memory", True),
        Setting("window", "", "Window layout", "memory", {}),
        Setting("folder", "", "Folder of the last file dialog", "memory", ""),
    )
}


class Settings:
    """The values, kept in one JSON file.

    Parameters
    ----------
    path : Path
        Created on the first change. A damaged file is set aside and the defaults are used.

    Attributes
    ----------
    changed : Signal(str)
        The name of the setting that changed.
    """

    changed = Signal(str)

    def __init__(self, path: Path) -> None:
        self._path = path
        self._values: dict[str, Any] = self._load()

    def __getitem__(self, name: str) -> Any:
        return self._values.get(name, SETTINGS[name].default)

    def __setitem__(self, name: str, value: Any) -> None:
        setting = SETTINGS[name]
        if not setting.accepts(value):
            raise SamdeskError(f"“{value}” is not a value for “{setting.title}”.", setting.tip)
        if self[name] == value:
            return
        self._change(name, lambda _: value)

    def _load(self) -> dict[str, Any]:
        try:
            read = json.loads(self._path.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError):
            with contextlib.suppress(OSError):
                self._path.replace(self._path.with_suffix(".damaged.json"))
            return {}
        if not isinstance(read, dict):
            return {}
        return {k: v for k, v in read.items() if k not in SETTINGS or SETTINGS[k].accepts(v)}

    def _change(self, name: str, change: Callable[[Any], Any]) -> None:
        # another window may have written since: only this one setting is ours
        with self._lock():
            self._values = {**self._values, **self._load()}
            self._values[name] = change(self[name])
            self._save()
        self.changed.emit(name)

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        try:
            with FileLock(self._path.with_suffix(".lock"), timeout=2):
                yield
        except (OSError, Timeout) as error:
            log.info("settings not locked: %s", error)
            yield

    def _save(self) -> None:
        try:
            handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=".settings-")
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(self._values, file, indent=1, ensure_ascii=False)
            Path(name).replace(self._path)
        except OSError as error:
            log.info("settings not saved: %s", error)

    def remember_file(self, path: Path) -> None:
        """Put a file on top of the recent ones."""
        text = str(path)
        self._change("recent", lambda known: [text, *(p for p in known if p != text)][:12])

    def remember_command(self, name: str) -> None:
        """Put a command on top of those of the palette."""
        self._change("recent_commands", lambda known: [name, *(one for one in known if one != name)][:8])

    def forget_files(self) -> None:
        """Empty the list of recent files."""
        self._change("recent", lambda known: [])

    def remember_project(self, image: Path, project: Path) -> None:
        """Note where the annotations of an image are from now on."""
        self.remember_projects({image: project})

    def remember_projects(self, projects: Mapping[Path, Path | None]) -> None:
        """The same for several images; None where an image has no such file any more."""
        new = {str(image): str(project) if project else None for image, project in projects.items()}
        known = self["projects"]
        if any(known.get(image) != project for image, project in new.items()):
            self._change("projects", lambda known: _without_gone({**known, **new}))


def _without_gone(known: Mapping[str, str | None]) -> dict[str, str]:
    return {image: project for image, project in known.items() if project}
