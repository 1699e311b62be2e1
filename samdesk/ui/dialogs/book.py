"""The dialogs, by name: each is made by a function of its module when it is first wanted.

Must not know what is in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QMainWindow

from samdesk.app.settings import Settings
from samdesk.app.workspace import Workspace
from samdesk.domain.geometry import Bounds
from samdesk.ui.actions import Actions
from samdesk.ui.bridge import Bridge

from .ask import WindowAsk


@dataclass(frozen=True, slots=True)
class DialogSpec:
    """A row of the table.

    Attributes
    ----------
    make : str
        "module:function" below this package; the function receives the window and what the
        dialog is to show first, and may return the one that is open (`Dialogs.get`).
    stays : bool
        Stays open when another image is opened, because it is not about the image.
    """

    make: str
    stays: bool = False


DIALOGS = {
    "palette": DialogSpec("palette:make"),
    "preferences": DialogSpec("preferences:make"),
    "contrast": DialogSpec("contrast:make"),
    "snapshots": DialogSpec("snapshots:make"),
    "project name": DialogSpec("projectname:make"),
    "class": DialogSpec("classes:make"),
    "set_class": DialogSpec("classes:make_choice"),
    "weights": DialogSpec("weights.dialog:make", stays=True),
    "make3d": DialogSpec("make3d:make"),
    "engines3d": DialogSpec("engines3d:make", stays=True),
    "shaping": DialogSpec("shaping:make"),
    "measurements": DialogSpec("measurements.dialog:make"),
    "shortcuts": DialogSpec("shortcuts:make"),
    "about": DialogSpec("shortcuts:make_about"),
    "imported": DialogSpec("imported:make", stays=True),
}


class Window(QMainWindow):
    """What dialogs may use of the window that shows them."""

    workspace: Workspace
    settings: Settings
    ask: WindowAsk
    bridge: Bridge
    actions_: Actions
    dialogs: Dialogs

    def show_dialog(self, name: str, about: str = "") -> None:
        """Open a dialog, at what it is about."""
        self.dialogs.show(name, about)

    def looking_at(self) -> tuple[Bounds, float]:
        """What of the image is in view, and image pixels per screen pixel."""
        raise NotImplementedError

    def show_making(self, job: str) -> None:
        """Show the 3D job of this id."""
        raise NotImplementedError


class Dialogs:
    """The open dialogs of one window, one of each kind."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._open: dict[str, QDialog] = {}

    def get(self, name: str) -> QDialog | None:
        """The dialog of this name that is open."""
        return self._open.get(name)

    def show(self, name: str, about: str = "") -> None:
        """Open a dialog, at what it is about; one of the same name that is open gives way."""
        module, _, function = DIALOGS[name].make.partition(":")
        dialog: QDialog = getattr(import_module(f"{__package__}.{module}"), function)(self._window, about)
        known = self._open.get(name)
        if known is not dialog:
            if known is not None:
                known.close()
            dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            self._open[name] = dialog
            dialog.destroyed.connect(lambda: self._forget(name, dialog))
        dialog.show()
        dialog.raise_()
        dialog.activateWindow()

    def image_changed(self) -> None:
        """Close those that are about the image that was open."""
        for name, dialog in list(self._open.items()):
            if not DIALOGS[name].stays:
                dialog.close()

    def restyle(self) -> None:
        """Have those that are open take the colors of the present theme, where they hold any."""
        for dialog in list(self._open.values()):
            restyle = getattr(dialog, "restyle", None)
            if restyle is not None:
                restyle()

    def _forget(self, name: str, dialog: QDialog) -> None:
        if self._open.get(name) is dialog:
            del self._open[name]
