"""How the program looks: Fusion with a light and a dark palette, and icons in the text color.

Holds no widgets.
"""

from __future__ import annotations

from functools import cache

from PySide6.QtCore import QByteArray, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QGuiApplication, QIcon, QPainter, QPalette, QPen, QPixmap
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import QApplication, QDialog, QDialogButtonBox

from samdesk.paths import resource

LIGHT = {
    "window": "#f4f4f6",
    "base": "#ffffff",
    "alternate": "#f0f0f3",
    "text": "#1d1d1f",
    "muted": "#66666c",
    "button": "#fbfbfc",
    "line": "#d4d4da",
    "scroll": "#c2c2c9",
    "trouble": "#b3261e",
    "accent": "#1463dc",
    "selected": "#1463dc",
    "on_accent": "#ffffff",
}
DARK = {
    "window": "#242427",
    "base": "#1b1b1d",
    "alternate": "#29292c",
    "text": "#ececee",
    "muted": "#a0a0a8",
    "button": "#333337",
    "line": "#414146",
    "scroll": "#55555c",
    "trouble": "#ff8a80",
    "accent": "#4a8df6",
    "selected": "#2f66cc",
    "on_accent": "#ffffff",
}

STYLE = """
QToolBar {{ border: 0; border-bottom: 1px solid {line}; spacing: 2px; padding: 4px 8px; }}
QToolBar QToolButton {{ padding: 5px 7px; border-radius: 6px; border: 0; }}
QToolBar QToolButton:hover {{ background: {alternate}; }}
QToolBar QToolButton:checked {{ background: {selected}; color: {on_accent}; }}
QToolBar QToolButton[quiet="true"]:checked {{ background: transparent; }}
QToolBar QToolButton[quiet="true"]:checked:hover {{ background: {alternate}; }}
QToolBar QToolButton#qt_toolbar_ext_button {{ padding: 0; }}
QStatusBar {{ border-top: 1px solid {line}; }}
QStatusBar::item {{ border: 0; }}
QStatusBar QToolButton#server {{ padding: 1px 6px; margin-right: 6px; border: 0; border-radius: 4px; }}
QStatusBar QToolButton#server:hover {{ background: {alternate}; }}
QStatusBar QToolButton#server::menu-indicator {{ image: none; }}
QMainWindow::separator {{ background: {line}; width: 1px; height: 1px; }}
QDockWidget {{ font-weight: 600; }}
QDockWidget::title {{ padding: 8px 10px 4px 10px; text-align: left; }}
QListView, QTreeView {{ border: 1px solid transparent; background: {base}; outline: 0; }}
QListView:focus, QTreeView:focus, QTableView:focus {{ border: 1px solid {accent}; }}
QListView::item, QTreeView::item {{ padding: 4px 6px; }}
QScrollBar:vertical {{ background: transparent; width: 12px; margin: 0; }}
QScrollBar:horizontal {{ background: transparent; height: 12px; margin: 0; }}
QScrollBar::handle {{ background: {scroll}; border-radius: 4px; margin: 2px; }}
QScrollBar::handle:vertical {{ min-height: 28px; }}
QScrollBar::handle:horizontal {{ min-width: 28px; }}
QScrollBar::handle:hover {{ background: {muted}; }}
QScrollBar::add-line, QScrollBar::sub-line {{ width: 0; height: 0; }}
QScrollBar::add-page, QScrollBar::sub-page {{ background: transparent; }}
QToolTip {{ background: {base}; color: {text}; border: 1px solid {line}; padding: 4px 6px; }}
QDialog > QLineEdit {{ border: 1px solid {line}; border-radius: 5px; padding: 5px; background: {base}; }}
QLabel[role="muted"] {{ color: {muted}; }}
QLabel[role="heading"] {{ font-weight: 600; }}
QLabel[role="title"] {{ font-size: 20pt; font-weight: 600; }}
QCheckBox::indicator:unchecked {{
    width: 11px; height: 11px; border: 1px solid {muted}; border-radius: 2px; background: {base};
}}
"""


def colors() -> dict[str, str]:
    """The palette in use, by role."""
    window = QGuiApplication.palette().color(QPalette.ColorRole.Window)
    return DARK if window.lightness() < 128 else LIGHT


def application() -> QApplication:
    """The running QApplication."""
    app = QApplication.instance()
    assert isinstance(app, QApplication)
    return app


def apply(app: QApplication, appearance: str) -> None:
    """Set the look; `appearance` is "system", "light" or "dark"."""
    if app.style().objectName() != "fusion":
        app.setStyle("Fusion")
    hints = app.styleHints()
    wanted = {
        "light": Qt.ColorScheme.Light,
        "dark": Qt.ColorScheme.Dark,
    }.get(appearance, Qt.ColorScheme.Unknown)
    if wanted is Qt.ColorScheme.Unknown:
        hints.unsetColorScheme()
    else:
        hints.setColorScheme(wanted)
    # a bare X server ignores the wish, so the palette is ours in any case
    dark = wanted is Qt.ColorScheme.Dark or (
        wanted is Qt.ColorScheme.Unknown and hints.colorScheme() is Qt.ColorScheme.Dark
    )
    chosen = DARK if dark else LIGHT
    app.setPalette(_palette(chosen))
    app.setStyleSheet(STYLE.format(**chosen))
    icon.cache_clear()


def _palette(chosen: dict[str, str]) -> QPalette:
    role, group = QPalette.ColorRole, QPalette.ColorGroup
    palette = QPalette()
    for target, name in (
        (role.Window, "window"),
        (role.WindowText, "text"),
        (role.Base, "base"),
        (role.AlternateBase, "alternate"),
        (role.Text, "text"),
        (role.Button, "button"),
        (role.ButtonText, "text"),
        (role.ToolTipBase, "base"),
        (role.ToolTipText, "text"),
        (role.PlaceholderText, "muted"),
        (role.Highlight, "selected"),
        (role.HighlightedText, "on_accent"),
        (role.Link, "accent"),
        (role.Mid, "line"),
        (role.Accent, "accent"),
    ):
        palette.setColor(target, QColor(chosen[name]))
    faded = QColor(chosen["muted"])
    faded.setAlpha(140)
    for target in (role.WindowText, role.Text, role.ButtonText):
        palette.setColor(group.Disabled, target, faded)
    return palette


def close_button(dialog: QDialog) -> QDialogButtonBox:
    """A plain Close button for the foot of a dialog."""
    box = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
    box.button(QDialogButtonBox.StandardButton.Close).setIcon(QIcon())
    box.rejected.connect(dialog.reject)
    return box


@cache
def icon(name: str, checked: str = "on_accent") -> QIcon:
    """An icon of `resources/icons` in the text color, faded when disabled, in color `checked` when on."""
    chosen = colors()
    made = QIcon()
    for mode, state, color in (
        (QIcon.Mode.Normal, QIcon.State.Off, chosen["text"]),
        (QIcon.Mode.Normal, QIcon.State.On, chosen[checked]),
        (QIcon.Mode.Disabled, QIcon.State.Off, chosen["line"]),
    ):
        for side in (20, 24, 40, 48):
            made.addPixmap(pixmap(name, side, color), mode, state)
    return made


def pixmap(name: str, side: int, color: str) -> QPixmap:
    """An icon as a picture of `side` device pixels."""
    text = resource(f"icons/{name}.svg").read_text("utf-8").replace("currentColor", color)
    picture = QPixmap(side, side)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    QSvgRenderer(QByteArray(text.encode())).render(painter, QRectF(0, 0, side, side))
    painter.end()
    return picture


def _rim(color: tuple[int, int, int]) -> QColor:
    """What sets a dark swatch off from a dark row, and a bright one from a bright row."""
    return QColor(255, 255, 255, 150) if QColor(*color).lightness() < DARK_SWATCH else QColor(0, 0, 0, 60)


DARK_SWATCH = 70
"""Class colors of less than this lightness, 0..255, get a light rim."""

SWATCH = QSize(12, 12)
"""The size of a class color in lists."""


@cache
def swatch(color: tuple[int, int, int]) -> QIcon:
    """A small rounded square of a class color, the same whether its row is selected or not."""
    made = QIcon()
    for times in (1.0, 1.5, 2.0, 3.0):
        side = round(SWATCH.width() * times)
        picture = QPixmap(side, side)
        picture.fill(Qt.GlobalColor.transparent)
        painter = QPainter(picture)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(_rim(color), times))
        painter.setBrush(QColor(*color))
        edge = times / 2
        painter.drawRoundedRect(QRectF(edge, edge, side - times, side - times), 3 * times, 3 * times)
        painter.end()
        for mode in (QIcon.Mode.Normal, QIcon.Mode.Selected):
            made.addPixmap(picture, mode)
    return made
