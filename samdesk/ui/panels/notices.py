"""The one place for messages: a card over the top of the picture, newest message first.

Must not know what failed.
"""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QObject, QRect, QSize, Qt, QTimer
from PySide6.QtCore import Signal as QtSignal
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QToolButton, QWidget

from samdesk.app.commands import COMMANDS
from samdesk.app.workspace import Notice
from samdesk.ui import theme

INFO_MS = 7000
WIDEST = 720
"""Of the card, logical pixels."""

MARGIN = 12
"""Between the card and what must stay visible around it."""

TINT = {"info": "#1463dc", "warning": "#b7791f", "error": "#c62f2f"}


class NoticeBar(QFrame):
    """Shows the newest notice; news leave by themselves, and what still holds is seen again then.

    Errors and warnings stay until the user closes them, or until what they are about is over.

    Parameters
    ----------
    parent : QWidget
        The notice lies over its top.
    room : callable, optional
        The part of the parent that may be covered; all of it without one.

    Attributes
    ----------
    command : Signal(str, str)
        The user pressed the button of a notice: the command, and what it is about.
    """

    command = QtSignal(str, str)

    def __init__(self, parent: QWidget, room: Callable[[], QRect] | None = None) -> None:
        super().__init__(parent)
        self._over = parent
        self._room = room or parent.rect
        self._kept: Notice | None = None
        parent.installEventFilter(self)
        self.setObjectName("notice")
        self._notice: Notice | None = None
        self._icon = QLabel()
        self._text = QLabel()
        self._text.setWordWrap(True)
        self._text.setTextFormat(Qt.TextFormat.PlainText)
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._text.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self._button = QPushButton()
        self._button.clicked.connect(self._pressed)
        close = QToolButton()
        close.setAutoRaise(True)
        close.setAccessibleName("Close message")
        close.setIconSize(QSize(14, 14))
        close.clicked.connect(self.dismiss)
        self._close = close
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.dismiss)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(12, 7, 8, 7)
        layout.setSpacing(10)
        layout.addWidget(self._icon, 0, Qt.AlignmentFlag.AlignTop)
        layout.addWidget(self._text, 1)
        layout.addWidget(self._button)
        layout.addWidget(close, 0, Qt.AlignmentFlag.AlignTop)
        self.hide()

    @property
    def notice(self) -> Notice | None:
        """What is shown, None when the bar is hidden."""
        return self._notice

    def show_notice(self, notice: Notice) -> None:
        """Show a notice; of what it replaces, an error or warning comes back after mere news."""
        if notice.level != "info":
            self._kept = None
        elif self._notice is not None and self._notice.level != "info":
            self._kept = self._notice
        self._show(notice)

    def _show(self, notice: Notice) -> None:
        self._notice = notice
        self._text.setText(f"{notice.text}\n{notice.hint}" if notice.hint else notice.text)
        self._button.setVisible(bool(notice.command))
        if notice.command:
            self._button.setText(COMMANDS[notice.command].title)
        self.restyle()
        self.place()
        self.show()
        self.raise_()
        self._timer.stop()
        if notice.level == "info":
            self._timer.start(INFO_MS)

    def place(self) -> None:
        """Lie over the top of the picture, which therefore does not move."""
        room = self._room().adjusted(MARGIN, MARGIN, -MARGIN, -MARGIN)
        wide = min(room.width(), WIDEST)
        left = room.left() + (room.width() - wide) // 2
        self.setGeometry(left, room.top(), wide, self.heightForWidth(wide))

    def dismiss(self) -> None:
        """Close what is shown; what it replaced is seen again, if it still holds."""
        kept, self._kept, self._notice = self._kept, None, None
        self._timer.stop()
        if kept is not None:
            self._show(kept)
        else:
            self.hide()

    def forget(self, *levels: str) -> None:
        """What was told on these levels is over: close it."""
        if self._kept is not None and self._kept.level in levels:
            self._kept = None
        if self._notice is not None and self._notice.level in levels:
            self.dismiss()

    def restyle(self) -> None:
        """Take the colors of the present theme."""
        chosen = theme.colors()
        self._close.setIcon(theme.icon("close"))
        if self._notice is None:
            return
        tint = QColor(TINT[self._notice.level])
        back = QColor(chosen["base"])
        pairs = ((back.red(), tint.red()), (back.green(), tint.green()), (back.blue(), tint.blue()))
        mixed = [round(0.88 * b + 0.12 * t) for b, t in pairs]
        self.setStyleSheet(
            f"#notice {{ background: rgb({mixed[0]}, {mixed[1]}, {mixed[2]});"
            f" border: 1px solid {chosen['line']}; border-radius: 8px; }}"
        )
        ratio = self.devicePixelRatioF()
        picture = theme.pixmap(
            self._notice.level, round(18 * ratio), tint.lighter(135 if chosen is theme.DARK else 100).name()
        )
        picture.setDevicePixelRatio(ratio)
        self._icon.setPixmap(picture)

    def _pressed(self) -> None:
        if self._notice is not None:
            pressed = self._notice
            self.dismiss()
            self.command.emit(pressed.command, pressed.about)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() is QEvent.Type.Resize:
            self.place()
        return super().eventFilter(watched, event)
