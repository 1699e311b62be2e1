"""The model picker: a button that names the model and a menu of all that can be chosen.

Must not know how models are loaded.
"""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QActionGroup
from PySide6.QtWidgets import QMenu, QToolButton, QWidget

from samdesk.app.models import Model, Models


class ModelButton(QToolButton):
    """Shows the chosen model; its menu is made anew each time it opens.

    Parameters
    ----------
    models : Models
    guard : callable
        Turns what a slot raises into a notice.
    more : sequence of QAction
        Stand at the end of the menu.
    """

    def __init__(
        self,
        models: Models,
        guard: Callable[[Callable[..., object]], Callable[..., None]],
        more: tuple[QAction, ...] = (),
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._models = models
        self._guard = guard
        self._more = more
        self.setObjectName("model")
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextOnly)
        self.setToolTip("The model that answers the Segment tool")
        self.setAccessibleName("Model")
        self._menu = QMenu(self)
        self._menu.setToolTipsVisible(True)
        self._menu.aboutToShow.connect(guard(self._fill))
        self.setMenu(self._menu)
        models.changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Name the chosen model."""
        text = self._models.title
        self.setText(f"{text} …" if self._models.is_loading else text)

    def _fill(self) -> None:
        self._menu.clear()
        group = QActionGroup(self._menu)
        last = None
        for row in self._models.rows():
            if last is not None and row.group != last:
                self._menu.addSeparator()
            last = row.group
            self._menu.addAction(self._action(row, group))
        self._menu.addSeparator()
        for action in self._more:
            self._menu.addAction(action)

    def _action(self, row: Model, group: QActionGroup) -> QAction:
        action = QAction(f"{row.title.replace('&', '&&')}\t{row.detail}", self._menu)
        action.setCheckable(True)
        action.setChecked(row.key == self._models.current)
        action.setToolTip(row.tip)
        action.triggered.connect(self._guard(lambda *_, key=row.key: self._models.choose(key)))
        group.addAction(action)
        return action
