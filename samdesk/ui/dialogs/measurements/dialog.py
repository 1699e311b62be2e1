"""The measurement window: table, histogram and sums, in step with document and selection.

Must not know how rows are found or summed up: `samdesk.app.measuring` does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from PySide6.QtCore import QItemSelection, QItemSelectionModel, QModelIndex, QSize, Qt, QTimer
from PySide6.QtGui import QColor, QGuiApplication
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFrame,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QMenu,
    QPushButton,
    QSplitter,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)
from shiboken6 import isValid

from samdesk.app.commands.file import beside
from samdesk.app.commands.measure import SHEET_FILTER
from samdesk.app.measuring import TEXTS, Sheet, Summary, Wanted
from samdesk.app.measuring.live import Figures
from samdesk.domain.columns import UNCLASSIFIED, is_ignored
from samdesk.domain.columns.ragged import Rows
from samdesk.domain.measure import MEASURES, column_title
from samdesk.ui import theme
from samdesk.ui.dialogs.book import Window
from samdesk.ui.elided import Elided

from .histogram import HistogramView
from .model import RIGHT, STYLE, MeasurementModel, MeasurementView, number_text

RUNS_SHOWN = 500
"""A selection of more runs of rows than this is not marked row by row: that would take too long."""

MARKED = 20_000
"""More selected annotations than this are not marked, unless all are."""

SUM_MS = 60
"""Sums follow what is chosen after this long."""

SIZE = QSize(1260, 660)
SIDE = 380
"""Of the histogram's side at first, logical pixels."""

SUMS = ("", "Count", "Mean", "SD", "Median")
"""Columns of the sums."""


class Measurements(QDialog):
    """The table of all annotations and what its columns come to."""

    def __init__(self, window: Window) -> None:
        super().__init__(window)
        self.setWindowTitle("Measurements")
        self.setWindowFlag(Qt.WindowType.WindowMaximizeButtonHint)
        self.resize(SIZE)
        self._window, self._workspace = window, window.workspace
        self._measuring = self._workspace.measuring
        self._wanted = Wanted()
        self._current = ""
        self._figures: Figures | None = None
        self._widths: dict[str, int] = {}
        self._syncing = False
        self._build()
        self._listen()
        self._measuring.follow(True)
        self._reload()

    # Building

    def _build(self) -> None:
        self.search = QLineEdit()
        self.search.setPlaceholderText("Filter by name, class or ID")
        self.search.setClearButtonEnabled(True)
        self.scope = QComboBox()
        self.scope.setAccessibleName("Rows")
        self.scope.setMinimumContentsLength(16)
        self.columns = QPushButton("Columns")
        self.columns.setAutoDefault(False)
        self.menu = QMenu(self)
        self.columns.setMenu(self.menu)
        top = QHBoxLayout()
        for widget, stretch in ((self.search, 1), (self.scope, 0), (self.columns, 0)):
            top.addWidget(widget, stretch)

        self.model = MeasurementModel(self)
        self.view = MeasurementView(self.model)
        self.splitter = QSplitter(Qt.Orientation.Horizontal)
        self.splitter.setChildrenCollapsible(False)
        self.splitter.addWidget(self.view)
        self.splitter.addWidget(self._build_side())
        self.splitter.setStretchFactor(0, 1)
        self.splitter.setSizes([SIZE.width() - SIDE, SIDE])

        self.foot = Elided(200)
        self.copy = self._button(
            "Copy", self._copy, "Copy the selected rows, or all that are shown, with tabs"
        )
        self.save = self._button("Save As…", self._save, "Save the rows that are shown as CSV or TSV")
        bottom = QHBoxLayout()
        bottom.addWidget(self.foot, 1)
        for button in (self.copy, self.save):
            bottom.addWidget(button)
        close = theme.close_button(self)
        close.button(QDialogButtonBox.StandardButton.Close).setAutoDefault(
            False
        )  # not by Enter in the filter
        bottom.addWidget(close)
        layout = QVBoxLayout(self)
        layout.addLayout(top)
        layout.addWidget(self.splitter, 1)
        layout.addLayout(bottom)
        self._sum_later = QTimer(self, singleShot=True, interval=SUM_MS)

    def _build_side(self) -> QWidget:
        self.heading = QLabel()
        self.heading.setStyleSheet("font-weight: 600")
        self.histogram = HistogramView()
        self.sums = QTreeWidget()
        self.sums.setColumnCount(len(SUMS))
        self.sums.setHeaderLabels(list(SUMS))
        self.sums.setRootIsDecorated(False)
        self.sums.setUniformRowHeights(True)
        self.sums.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.sums.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.sums.setStyleSheet(STYLE)
        self.sums.setFrameShape(QFrame.Shape.NoFrame)
        self.sums.setIconSize(theme.SWATCH)
        self.sums.setAccessibleName("Sums for each class")
        header = self.sums.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setSectionsClickable(False)
        for column in range(1, len(SUMS)):
            self.sums.headerItem().setTextAlignment(column, RIGHT)
        side = QWidget()
        layout = QVBoxLayout(side)
        layout.setContentsMargins(12, 4, 0, 0)
        layout.addWidget(self.heading)
        layout.addWidget(self.histogram, 2)
        layout.addWidget(self.sums, 3)
        return side

    def _button(self, text: str, does: Any, tip: str) -> QPushButton:
        button = QPushButton(text)
        button.setAutoDefault(False)
        button.setToolTip(tip)
        button.clicked.connect(self._window.bridge.guarded(lambda *_: does()))
        return button

    def _listen(self) -> None:
        guard = self._window.bridge.guarded
        self.search.textChanged.connect(guard(lambda text: self._want(text=text)))
        self.scope.activated.connect(guard(self._choose_scope))
        self.menu.aboutToShow.connect(guard(self._fill_menu))
        header = self.view.horizontalHeader()
        header.sortIndicatorChanged.connect(guard(self._sort))
        header.sectionResized.connect(self._resized)
        self.view.selectionModel().selectionChanged.connect(guard(lambda *_: self._choose_rows()))
        self.view.selectionModel().currentColumnChanged.connect(guard(self._choose_column))
        self.view.doubleClicked.connect(guard(self._center))
        self._sum_later.timeout.connect(guard(self._sum_up))
        self.view.copied.connect(guard(self._copy))
        measuring, selection = self._measuring, self._workspace.selection
        measuring.changed.connect(self._reload)
        selection.changed.connect(self._selection_changed)

        def let_go() -> None:
            measuring.changed.disconnect(self._reload, missing_ok=True)
            selection.changed.disconnect(self._selection_changed, missing_ok=True)
            measuring.follow(False)

        self.destroyed.connect(let_go)

    # Rows and columns

    def _reload(self) -> None:
        """Follow the sheet."""
        self._fill_scope(self._measuring.sheet)
        self._arrange()

    def _want(self, **changes: Any) -> None:
        wanted = replace(self._wanted, **changes)
        if wanted != self._wanted:
            self._wanted = wanted
            self._arrange()

    def _arrange(self) -> None:
        self._measuring.arrange(self._wanted, self._arranged)

    def _arranged(self, sheet: Sheet, rows: Rows) -> None:
        if not isValid(self):  # closed while rows were being found
            return
        titles = self._measuring.shown_titles if sheet is self._measuring.sheet else self.model.titles
        scrolled = self.view.verticalScrollBar().value()
        self._syncing = True
        self.model.show_rows(sheet, rows, titles)
        self.view.fit_columns(titles, self._widths)
        self._show_sorting()
        self._syncing = False
        self.view.verticalScrollBar().setValue(scrolled)
        if self._current not in titles:
            numbers = [title for title in titles if title not in TEXTS]
            self._current = next((t for t in numbers if t.startswith("Area")), next(iter(numbers), ""))
        self._mark_selection()
        self._sum_up()

    def _show_sorting(self) -> None:
        """Let the header say by what the rows are sorted."""
        titles, wanted = self.model.titles, self._wanted
        column = titles.index(wanted.sort) if wanted.sort in titles else -1
        down = Qt.SortOrder.DescendingOrder if wanted.backwards else Qt.SortOrder.AscendingOrder
        self.view.horizontalHeader().setSortIndicator(column, down)
        self.model.show_sorted(wanted.sort, wanted.backwards)

    def _sort(self, column: int, order: Qt.SortOrder) -> None:
        if self._syncing:
            return
        title = self.model.titles[column] if 0 <= column < len(self.model.titles) else ""
        if title and title not in TEXTS:
            self._current = title
        self._want(sort=title, backwards=bool(title) and order is Qt.SortOrder.DescendingOrder)

    def _resized(self, column: int, old: int, new: int) -> None:
        if not self._syncing and 0 <= column < len(self.model.titles):
            self._widths[self.model.titles[column]] = new

    def _fill_scope(self, sheet: Sheet) -> None:
        """All, the selection, and every class that is in use."""
        tally = np.bincount(sheet.table.class_id, minlength=len(sheet.table.classes) + 1)
        used = [one.name for one, count in zip(sheet.table.classes, tally[1:], strict=True) if count]
        wanted: list[tuple[str, str | bool | None]] = [("All annotations", None), ("Selection", True)]
        wanted += [(UNCLASSIFIED, "")] if tally[0] else []
        wanted += [(name, name) for name in used]
        if [(self.scope.itemText(k), self.scope.itemData(k)) for k in range(self.scope.count())] == wanted:
            return
        self.scope.clear()
        for text, data in wanted:
            self.scope.addItem(text, data)
        chosen = True if self._wanted.selected else self._wanted.class_name
        place = next((k for k, (_, data) in enumerate(wanted) if data == chosen), 0)
        self.scope.setCurrentIndex(place)
        if not place:
            self._wanted = replace(self._wanted, selected=False, class_name=None)

    def _choose_scope(self, place: int) -> None:
        chosen = self.scope.itemData(place)
        only = chosen if isinstance(chosen, str) else None
        self._want(selected=chosen is True, class_name=only)

    def _fill_menu(self) -> None:
        """A tick for every column there is."""
        self.menu.clear()
        sheet, hidden = self._measuring.sheet, self._measuring.hidden
        unit = self._measuring.ruler.unit
        measures = [(column_title(name, unit), name) for name in MEASURES]
        known = {title for title, _ in measures}
        stored = [(title, title) for title in sheet.stored if title not in known]
        for number, group in enumerate((measures, stored)):
            if number and group:
                self.menu.addSeparator()
            for title, name in group:
                action = self.menu.addAction(title)
                action.setCheckable(True)
                action.setChecked(name not in hidden)
                action.toggled.connect(
                    self._window.bridge.guarded(lambda on, name=name: self._measuring.hide(name, not on))
                )

    # Selection

    def _choose_rows(self) -> None:
        """Select the annotations of the rows that are marked."""
        if self._syncing:
            return
        places = self._marked()
        self._syncing = True
        if len(places) == len(self._workspace.document):
            self._workspace.selection.set_all()  # nobody needs to be looked for
        else:
            self._workspace.selection.set(self.model.sheet.table.ids[self.model.rows[places]])
        self._syncing = False
        self._sum_later.start()

    def _marked(self) -> Rows:
        """The places of the rows that are marked, ascending."""
        marked = self.view.selectionModel().selection()
        runs = [np.arange(run.top(), run.bottom() + 1) for run in map(marked.at, range(marked.count()))]
        if len(runs) < 2:
            return runs[0] if runs else np.empty(0, np.int64)
        return np.unique(np.concatenate(runs))

    def _selection_changed(self) -> None:
        if self._syncing:
            return
        if self._wanted.selected:
            self._arrange()
        else:
            self._mark_selection()
            self._sum_later.start()

    def _mark_selection(self) -> None:
        """Mark the rows of what is selected, and scroll to them when they are new."""
        places = np.empty(0, np.int64)
        if len(self._workspace.selection) <= MARKED or self._all_selected:
            places = self.model.places_of(self._measuring.selected_rows(self.model.sheet))
        if np.array_equal(places, self._marked()):
            return
        marked = QItemSelection()
        runs = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1) if len(places) else []
        last = self.model.columnCount() - 1
        for run in runs if len(runs) <= RUNS_SHOWN else []:
            marked.select(self.model.index(int(run[0]), 0), self.model.index(int(run[-1]), last))
        self._syncing = True
        flag = QItemSelectionModel.SelectionFlag.ClearAndSelect
        self.view.selectionModel().select(marked, flag)
        self._syncing = False
        if runs and not self.view.hasFocus():
            self.view.scrollTo(self.model.index(int(places[0]), 0))

    @property
    def _all_selected(self) -> bool:
        return len(self._workspace.selection) == len(self._workspace.document)

    def _choose_column(self, current: QModelIndex, _before: QModelIndex) -> None:
        if self._syncing or not current.isValid():
            return
        title = self.model.titles[current.column()]
        if title not in TEXTS and title != self._current:
            self._current = title
            self._sum_later.start()

    def _center(self, index: QModelIndex) -> None:
        one = self.model.id_at(index.row())
        document = self._workspace.document
        if one in document:
            self._workspace.set_plane(document.get(one).plane)
            self._workspace.selection.set([one])
            self._window.actions_["view.center"].trigger()

    # Sums

    def _sum_up(self) -> None:
        self._measuring.sum_up(self.model.sheet, self._current, self.model.rows, self._show_figures)

    def _show_figures(self, figures: Figures) -> None:
        if not isValid(self) or figures.title != self._current:
            return
        self._figures = figures
        sheet, title = self.model.sheet, figures.title
        self.heading.setText(title)
        pending = title in sheet.pending and figures.histogram is None
        why = "Being measured…" if pending or self._measuring.is_busy else "No values"
        self.histogram.show_histogram(figures.histogram, why if len(sheet) else "No annotations yet")
        self._fill_sums(figures)
        self.foot.show_parts([(self._told(figures), theme.colors()["muted"])])
        self.copy.setEnabled(len(self.model.rows) > 0)
        self.save.setEnabled(len(self.model.rows) > 0)

    def _fill_sums(self, figures: Figures) -> None:
        self.sums.clear()
        self.sums.setVisible(len(self.model.rows) > 0)
        classes = {one.name: one.color for one in self.model.sheet.table.classes}
        rows = [("All", figures.rows, figures.all)]
        if len(self._workspace.selection):
            rows.append(("Selected", figures.chosen_rows, figures.chosen))
        for name, count, found in rows if len(self.model.rows) else []:
            self._add_sum(name, count, found, figures.title)
        for name, count, found in figures.classes:
            item = self._add_sum(name, count, found, figures.title)
            item.setIcon(0, theme.swatch(classes.get(name, (255, 0, 0))))
            if is_ignored(name):
                for column in range(len(SUMS)):
                    item.setForeground(column, QColor(theme.colors()["muted"]))
                item.setToolTip(0, "Ignored: not counted in “All”")

    def _add_sum(self, name: str, count: int, found: Summary, title: str) -> QTreeWidgetItem:
        decimals = self.model.decimals(title)
        # means of whole numbers are not whole
        fine = decimals or 2
        texts = [
            number_text(found.mean, fine),
            number_text(found.sd, fine),
            number_text(found.median, decimals),
        ]
        item = QTreeWidgetItem([name, f"{count:,}", *texts])
        for column in range(1, len(SUMS)):
            item.setTextAlignment(column, RIGHT)
        if found.count:
            limits = (("Min", found.min), ("Max", found.max), ("Sum", found.sum))
            tip = "\n".join(f"{what} {number_text(value, decimals)}" for what, value in limits)
            for column in range(len(SUMS)):
                item.setToolTip(column, tip)
        self.sums.addTopLevelItem(item)
        return item

    def _told(self, figures: Figures) -> str:
        shown, all_of = len(self.model.rows), len(self.model.sheet)
        if not all_of:
            return "Measuring…" if self._measuring.is_busy else "No annotations"
        what = f"{shown:,} of {all_of:,}" if shown < all_of else f"{shown:,}"
        parts = [f"{what} annotation{'' if all_of == 1 else 's'}"]
        if len(self._workspace.selection):
            parts.append(f"{len(self._workspace.selection):,} selected")
        found = figures.all
        if found.count:
            decimals = self.model.decimals(figures.title)
            sums = (("mean", found.mean), ("SD", found.sd), ("min", found.min), ("median", found.median),
                    ("max", found.max), ("sum", found.sum))  # fmt: skip
            told = [
                f"{name} {number_text(value, decimals or 2 * (name in ('mean', 'SD')))}"
                for name, value in sums
                if not np.isnan(value)
            ]
            parts.append(f"{figures.title}: {', '.join(told)}")
        return "   ·   ".join(parts)

    # Copying and saving

    def _copy(self) -> None:
        places = self._marked()
        rows = self.model.rows[places] if len(places) else self.model.rows
        if len(rows):
            clipboard = QGuiApplication.clipboard()
            self._measuring.copy(self.model.sheet, self.model.titles, rows, clipboard.setText)

    def _save(self) -> None:
        image = self._workspace.image
        if image is None:
            return
        name = beside(image.source.path, " measurements.csv")
        path = self._window.ask.save_file("Save measurements", name, SHEET_FILTER)
        if path is not None:
            self._measuring.export(path, self.model.sheet, self.model.rows)


def make(window: Window, about: str) -> QDialog:
    """The measurement window; the one that is open comes to the front."""
    return window.dialogs.get("measurements") or Measurements(window)
