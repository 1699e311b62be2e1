"""The slim toolbar of the 3D view: its actions, their icons and what can be chosen now.

Must not know VTK; the view connects the actions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QSize, Qt
from PySide6.QtCore import Signal as QtSignal
from PySide6.QtGui import QAction, QActionGroup
from PySide6.QtWidgets import QMenu, QSizePolicy, QToolBar, QToolButton, QWidget

from samdesk.ui import theme

LOOKS = {
    "splat": ("Splats", "3d-splat", "Draw the Gaussian splats"),
    "mesh": ("Mesh", "3d-mesh", "Draw the surface"),
    "both": ("Both", "3d-both", "Draw splats and surface"),
    "points": ("Points", "3d-points", "Draw the middles of the splats: quick, and shows how dense they are"),
}
SIDES = {"front": "Front", "left": "Left", "back": "Back", "right": "Right", "top": "Top"}
BACKDROPS = {"": "Like the Window", "white": "White", "black": "Black"}
STYLE = """
QToolBar {{ padding: 3px 6px; }}
QToolBar QToolButton {{ padding: 3px; border: 1px solid transparent; }}
QToolBar QToolButton:focus {{ border-color: {text}; }}
QToolButton::menu-indicator {{ image: none; width: 0; }}
"""


@dataclass(frozen=True, slots=True)
class Shown:
    """One object in the list of what can be hidden."""

    id: str
    title: str
    visible: bool


class ViewBar(QToolBar):
    """The actions of one view.

    Attributes
    ----------
    look_chosen : Signal(str)
    side_chosen : Signal(str)
        A preset; "home" sees all, a little from above.
    backdrop_chosen : Signal(str)
    object_toggled : Signal(str, bool)
    """

    look_chosen = QtSignal(str)
    side_chosen = QtSignal(str)
    backdrop_chosen = QtSignal(str)
    object_toggled = QtSignal(str, bool)

    def __init__(self) -> None:
        super().__init__("3D View")
        self.setMovable(False)
        self.setIconSize(QSize(20, 20))
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.PreventContextMenu)
        self._icons: list[tuple[QAction | QToolButton, str, str]] = []
        self._build_looks()
        self.addSeparator()
        self._build_views()
        self.turn = self._action("Turn", "3d-turn", "Turn slowly, until you take hold of it", checkable=True)
        self.addAction(self.turn)
        space = QWidget()
        space.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.addWidget(space)
        self._build_objects()
        self._build_more()
        for action in (self.photo, self.home, self.turn):
            self.widgetForAction(action).setProperty("quiet", True)
        for button in self.findChildren(QToolButton):
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # a click leaves the focus where it was
        self.restyle()
        self.set_objects(())
        self.set_ready(False)

    def restyle(self) -> None:
        """Take icons and lines in the colors of the present theme."""
        self.setStyleSheet(STYLE.format(**theme.colors()))
        for what, name, checked in self._icons:
            what.setIcon(theme.icon(name, checked))

    def set_ready(self, ready: bool) -> None:
        """Whether there is a scene to act on."""
        for action in self.actions():
            action.setEnabled(ready)
        for action in self.more.menu().actions():
            action.setEnabled(ready)
        for one in (self.more_action, self.open):
            one.setEnabled(True)

    def set_looks(self, look: str, possible: Sequence[str]) -> None:
        for name, action in self.looks.items():
            action.setEnabled(name in possible)
            action.setChecked(name == look)

    def set_photo(self, camera: bool, picture: bool) -> None:
        """Whether it is known where the photograph was taken from, and the photograph is there."""
        self.photo.setEnabled(camera)
        self.picture.setEnabled(picture)

    def set_objects(self, objects: Sequence[Shown]) -> None:
        """List what can be hidden; one object needs no list."""
        menu = self.objects.menu()
        menu.clear()
        for one in objects:
            action = menu.addAction(one.title)
            action.setCheckable(True)
            action.setChecked(one.visible)
            action.toggled.connect(lambda on, name=one.id: self.object_toggled.emit(name, on))
        self._objects_action.setVisible(len(objects) > 1)

    # Building

    def _build_looks(self) -> None:
        group = QActionGroup(self)
        self.looks: dict[str, QAction] = {}
        for name, (title, icon, tip) in LOOKS.items():
            action = self._action(title, icon, tip, checkable=True, checked="on_accent")
            action.triggered.connect(lambda _=False, name=name: self.look_chosen.emit(name))
            group.addAction(action)
            self.addAction(action)
            self.looks[name] = action

    def _build_views(self) -> None:
        self.home = self._action("See All", "fit", "See all objects  (Home)")
        self.home.triggered.connect(lambda: self.side_chosen.emit("home"))
        self.photo = self._action(
            "From the Photo", "3d-photo", "Look from where the picture was taken, as it was framed"
        )
        self.addAction(self.home)
        self.addAction(self.photo)
        menu = QMenu(self)
        for name, title in SIDES.items():
            menu.addAction(title).triggered.connect(lambda _=False, name=name: self.side_chosen.emit(name))
        self.sides = self._menu_button("Look from a side", "3d-side", menu)
        self.addWidget(self.sides)

    def _build_objects(self) -> None:
        self.objects = self._menu_button("Show and hide objects", "3d-objects", QMenu(self))
        self._objects_action = self.addWidget(self.objects)

    def _build_more(self) -> None:
        menu = QMenu(self)
        self.wireframe = _check(menu, "Wireframe")
        self.grid = _check(menu, "Ground Grid")
        self.axes = _check(menu, "Axes")
        self.picture = _check(menu, "Picture Behind")
        backdrops = menu.addMenu("Background")
        group = QActionGroup(menu)
        for name, title in BACKDROPS.items():
            action = _check(backdrops, title)
            action.setChecked(not name)
            action.triggered.connect(lambda _=False, name=name: self.backdrop_chosen.emit(name))
            group.addAction(action)
        menu.addSeparator()
        self.open = menu.addAction("Open 3D Files…")
        self.save_picture = menu.addAction("Save Picture…")
        self.save_turn = menu.addAction("Save Turntable…")
        self.more = self._menu_button("More", "3d-more", menu)
        self.more_action = self.addWidget(self.more)

    def _action(
        self, title: str, icon: str, tip: str, checkable: bool = False, checked: str = "accent"
    ) -> QAction:
        action = QAction(title, self)
        action.setToolTip(f"{title}\n{tip}")
        action.setCheckable(checkable)
        self._icons.append((action, icon, checked))
        return action

    def _menu_button(self, tip: str, icon: str, menu: QMenu) -> QToolButton:
        button = QToolButton()
        button.setAccessibleName(tip)
        button.setToolTip(tip)
        button.setMenu(menu)
        button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self._icons.append((button, icon, "accent"))
        return button


def _check(menu: QMenu, title: str) -> QAction:
    action = menu.addAction(title)
    action.setCheckable(True)
    return action
