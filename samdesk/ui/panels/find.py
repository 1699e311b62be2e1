"""The find panel: what to search for, where, and from which score on.

Must not know the canvas: `look` tells what is on screen. What is found is shown by another panel.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PySide6.QtCore import QEvent, QSignalBlocker, QSize, Qt
from PySide6.QtGui import QHideEvent, QKeyEvent, QResizeEvent
from PySide6.QtWidgets import (
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QSlider,
    QStackedWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from samdesk.app.finding import FindSession, Where
from samdesk.app.workspace import Workspace
from samdesk.domain.geometry import Bounds, Shape, ShapeKind
from samdesk.domain.prompts import BoxPrompt
from samdesk.ui import theme

VIEW, SELECTED, IMAGE = range(3)
PLACES = (
    ("The view", "What is on screen, with one look"),
    ("Selected annotation", "Inside what is selected (up to 100), as closely as the view shows it"),
    ("Whole image", "Everything, as closely as the view shows it; may take long"),
)
NO_ENGINE = "Searching by words or example needs SAM 3. Find Everything works with every model."
MOST_SELECTED = 100
"""With more selected than this one cannot search in what is selected."""
EXAMPLES_PER_ROW = 3
MODE_STYLE = (
    "QToolButton { padding: 3px 9px; border: 1px solid palette(mid); border-radius: 4px;"
    " background: palette(button); }"
    "QToolButton:checked { background: palette(highlight); color: palette(highlighted-text);"
    " border-color: palette(highlight); }"
    "QToolButton:focus { border-color: palette(highlight); }"
)
ADD, EXCLUDE = "example", "counterexample"
"""Names of the tools that draw examples."""

ENTER = (Qt.Key.Key_Return, Qt.Key.Key_Enter)


class Words(QLineEdit):
    """A line of text whose Enter is its own, whatever else Enter does in the window."""

    def event(self, event: QEvent) -> bool:
        if (
            isinstance(event, QKeyEvent)
            and event.type() is QEvent.Type.ShortcutOverride
            and event.key() in ENTER
        ):
            event.accept()
            return True
        return super().event(event)


class FindPanel(QWidget):
    """Words, examples, place and score; and the two buttons that search.

    Parameters
    ----------
    workspace : Workspace
    finding : FindSession
    look : callable
        Gives the visible part of the image, and image pixels per screen pixel.
    """

    def __init__(
        self, workspace: Workspace, finding: FindSession, look: Callable[[], tuple[Bounds, float]]
    ) -> None:
        super().__init__()
        self._workspace = workspace
        self._finding = finding
        self._look = look
        self._shown_examples: tuple[BoxPrompt, ...] | None = None
        self._tool_before = workspace.tool_name
        self._build()
        finding.changed.connect(self.refresh)
        finding.example_added.connect(self._example_added)
        finding.review.changed.connect(self._show_score)
        workspace.tool_changed.connect(self._tool_changed)
        self.refresh()

    # Building

    def _build(self) -> None:
        self.words = Words()
        self.words.setPlaceholderText("nucleus, coin, leaf…")
        self.words.setAccessibleName("What to find")
        self.words.setClearButtonEnabled(True)
        self.words.textChanged.connect(self._worded)
        self.words.returnPressed.connect(self.search)
        self.without = QLabel(NO_ENGINE)
        self.without.setProperty("role", "muted")
        self.without.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(10, 8, 10, 6)
        layout.setSpacing(8)
        layout.addWidget(QLabel("<b>Find</b>"))
        layout.addWidget(self.words)
        layout.addWidget(self.without)
        layout.addWidget(self._example_part())
        layout.addLayout(self._form())
        layout.addWidget(self._buttons())
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)

    def _example_part(self) -> QWidget:
        self.add = _tool_button("+ Add", "Drag a box around one of what to find")
        self.add.setAccessibleName("Add an example")
        self.exclude = _tool_button("\u2212 Not this", "Drag a box around one of what not to find")
        self.exclude.setAccessibleName("Add an example of what not to find")
        self.add.clicked.connect(lambda on: self._choose_tool(ADD, on))
        self.exclude.clicked.connect(lambda on: self._choose_tool(EXCLUDE, on))
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(6)
        row.addWidget(QLabel("Examples"))
        row.addStretch()
        row.addWidget(self.add)
        row.addWidget(self.exclude)
        self.chips = QGridLayout()
        self.chips.setContentsMargins(0, 0, 0, 0)
        self.chips.setSpacing(4)
        self.by_example = QWidget()
        part = QVBoxLayout(self.by_example)
        part.setContentsMargins(0, 0, 0, 0)
        part.setSpacing(6)
        part.addLayout(row)
        part.addLayout(self.chips)
        return self.by_example

    def _form(self) -> QGridLayout:
        self.where = QComboBox()
        self.where.setAccessibleName("Where to search")
        for k, (title, tip) in enumerate(PLACES):
            self.where.addItem(title)
            self.where.setItemData(k, tip, Qt.ItemDataRole.ToolTipRole)
        self.score = QSlider(Qt.Orientation.Horizontal)
        self.score.setRange(0, 100)
        self.score.setPageStep(10)
        self.score.setAccessibleName("Lowest score")
        self.score.setToolTip("Candidates with a lower score are not shown")
        self.score.valueChanged.connect(self._scored)
        self.percent = QLabel()
        self.percent.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.percent.setMinimumWidth(self.percent.fontMetrics().horizontalAdvance("100 %"))
        form = QGridLayout()
        form.setHorizontalSpacing(10)
        form.setVerticalSpacing(8)
        form.addWidget(QLabel("Where"), 0, 0)
        form.addWidget(self.where, 0, 1, 1, 2)
        form.addWidget(QLabel("Score from"), 1, 0)
        form.addWidget(self.score, 1, 1)
        form.addWidget(self.percent, 1, 2)
        form.setColumnStretch(1, 1)
        return form

    def _buttons(self) -> QWidget:
        self.find_button = QPushButton("Find")
        self.find_button.setDefault(True)
        self.find_button.clicked.connect(self.search)
        self.everything = QPushButton("Find Everything")
        self.everything.setToolTip("Outline every object, whatever it is")
        self.everything.clicked.connect(self.search_everything)
        idle = QWidget()
        row = QHBoxLayout(idle)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(6)
        row.addWidget(self.find_button, 1)
        row.addWidget(self.everything, 1)
        self.searching = QLabel("Searching…")
        self.searching.setProperty("role", "muted")
        self.stop = QPushButton("Stop")
        self.stop.setToolTip("Stop searching; what was found stays")
        self.stop.clicked.connect(lambda: self._finding.stop())
        busy = QWidget()
        row = QHBoxLayout(busy)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.searching, 1)
        row.addWidget(self.stop)
        self.buttons = QStackedWidget()
        self.buttons.addWidget(idle)
        self.buttons.addWidget(busy)
        return self.buttons

    # What the session says

    def refresh(self) -> None:
        """Follow the session and the selection."""
        finding, finds = self._finding, self._finding.finds
        self.words.setVisible(finds)
        self.by_example.setVisible(finds)
        self.find_button.setVisible(finds)
        self.without.setVisible(not finds)
        if self.words.text() != finding.text:
            self.words.setText(finding.text)
        if finding.examples != self._shown_examples:
            self._show_examples()
        self._show_where()
        self._show_score()
        self.buttons.setCurrentIndex(1 if finding.busy else 0)
        self._keep_height()

    def restyle(self) -> None:
        """Take the icons of the present theme."""
        self._show_examples()

    def show_selection(self) -> None:
        """Follow the workspace's selection."""
        self._show_where()

    def _show_where(self) -> None:
        """Offer the selection only while it has an area, and the buttons only where they can work."""
        has_area = 0 < len(self._workspace.selection) <= MOST_SELECTED and bool(self._selected_areas())
        item = self.where.model().item(SELECTED)  # type: ignore[attr-defined]
        if item.isEnabled() != has_area:
            item.setEnabled(has_area)
            if not has_area and self.where.currentIndex() == SELECTED:
                self.where.setCurrentIndex(VIEW)
        self.everything.setEnabled(self._finding.image is not None)
        self.find_button.setEnabled(self._finding.can_search)

    def _show_score(self) -> None:
        value = round(100 * self._finding.review.min_score)
        with QSignalBlocker(self.score):
            self.score.setValue(value)
        self.percent.setText(f"{value} %")
        review = self._finding.review
        unseen = bool(review.title) and review.min_score < review.floor
        self.percent.setToolTip(
            f"Scores below {review.floor:.0%} were not searched for: find again" if unseen else ""
        )

    def _show_examples(self) -> None:
        self._shown_examples = self._finding.examples
        while (item := self.chips.takeAt(0)) is not None:
            if (old := item.widget()) is not None:
                old.hide()
                old.deleteLater()
        for k, box in enumerate(self._finding.examples):
            self.chips.addWidget(self._chip(k, box), k // EXAMPLES_PER_ROW, k % EXAMPLES_PER_ROW)
        self.chips.setColumnStretch(EXAMPLES_PER_ROW, 1)

    def _chip(self, index: int, box: BoxPrompt) -> QToolButton:
        sign = "+" if box.positive else "\u2212"
        side = round(max(box.bounds.width, box.bounds.height))
        chip = QToolButton()
        chip.setText(f"{sign} {side:,} px")
        chip.setIcon(theme.icon("close"))
        chip.setIconSize(QSize(10, 10))
        chip.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        chip.setLayoutDirection(Qt.LayoutDirection.RightToLeft)
        chip.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        chip.setToolTip("Remove this example")
        chip.setAccessibleName(f"Remove example {index + 1}, {sign} {side} px")
        chip.clicked.connect(lambda: self._finding.remove_example(index))
        return chip

    def _tool_changed(self) -> None:
        name = self._workspace.tool_name
        if name not in (ADD, EXCLUDE):
            self._tool_before = name
        self.add.setChecked(name == ADD)
        self.exclude.setChecked(name == EXCLUDE)

    # What the user does

    def search(self) -> None:
        """Search for the words and the examples, if there are any."""
        if self._finding.can_search:
            self._finding.search(self._place())

    def search_everything(self) -> None:
        """Find all objects, whatever they are."""
        self._finding.automask(self._place())

    def _place(self) -> Where:
        bounds, scale = self._look()
        image = self._finding.image
        assert image is not None
        place = self.where.currentIndex()
        if place == SELECTED:
            return Where.inside(self._selected_areas(), scale)
        if place == IMAGE:
            return Where.image(image.size, scale)
        return Where.view(bounds, scale)

    def _selected_areas(self) -> list[Shape]:
        """The selected areas, of the first `MOST_SELECTED` selected."""
        chosen = self._workspace.document.table(self._workspace.selection.ids[:MOST_SELECTED])
        return [chosen.shape(int(row)) for row in np.flatnonzero(chosen.kind == ShapeKind.AREA)]

    def _worded(self, text: str) -> None:
        self._finding.text = text

    def _scored(self, value: int) -> None:
        self._finding.review.min_score = value / 100

    def _example_added(self) -> None:
        self.search()

    def _choose_tool(self, name: str, on: bool) -> None:
        self._workspace.select_tool(name if on else self._tool_before)
        self._tool_changed()

    # Qt's own

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._keep_height()

    def _keep_height(self) -> None:
        """Keep the room that the words, broken into lines at this width, need."""
        layout = self.layout()
        assert layout is not None
        self.setMinimumHeight(
            max(layout.totalHeightForWidth(self.width()), layout.totalMinimumSize().height())
        )

    def hideEvent(self, event: QHideEvent) -> None:
        if self._workspace.tool_name in (ADD, EXCLUDE):
            self._workspace.select_tool(self._tool_before)
        super().hideEvent(event)


def _tool_button(text: str, tip: str) -> QToolButton:
    button = QToolButton()
    button.setText(text)
    button.setToolTip(tip)
    button.setCheckable(True)
    button.setStyleSheet(MODE_STYLE)
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return button
