"""The toolbar: tools, what is done most, the model, and the way to all other commands.

Must not know what the commands do.
"""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QSizePolicy, QToolBar, QToolButton, QWidget

from . import theme
from .actions import Actions

TOOLBAR = ("tool.move", "tool.selecting", "", "tool.rectangle", "tool.ellipse", "tool.line", "tool.polygon",
           "tool.polyline", "", "tool.brush", "tool.wand", "tool.points", "", "tool.segment",
           "tool.segment_box", "", "edit.undo", "edit.redo", "", "view.fit", "view.full",
           "view.contrast", "view.annotations", "", "recon.make", "file.export")  # fmt: skip
"""Commands from the left on; empty for a line between them."""


class ToolBar(QToolBar):
    """Stays where it is; what finds no room is behind the arrow at its end.

    Parameters
    ----------
    actions : Actions
    model : QWidget
        The model picker.
    """

    def __init__(self, actions: Actions, model: QWidget) -> None:
        super().__init__("Tools")
        self.setObjectName("tools")
        self.setMovable(False)
        self.setIconSize(QSize(20, 20))
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.PreventContextMenu)
        for name in TOOLBAR:
            if name:
                self.addAction(actions[name])
                button = self.widgetForAction(actions[name])
                button.setProperty("quiet", not name.startswith("tool."))
            else:
                self.addSeparator()
        space = QWidget()
        space.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.addWidget(space)
        self.addWidget(model)
        self.addSeparator()
        self.addAction(actions["help.palette"])
        self.restyle()

    def restyle(self) -> None:
        """Take icons in the colors of the present theme."""
        more = self.findChild(QToolButton, "qt_toolbar_ext_button")
        if isinstance(more, QToolButton):
            more.setIcon(theme.icon("chevrons"))
            more.setToolTip("More tools")
            more.setAccessibleName("More tools")
