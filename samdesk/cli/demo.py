"""`samdesk demo`: the main job on sample images, driven through the window's own session.

Writes GeoJSON files, a picture of the window and a report. Must not prompt the engine by
any other way than a user's clicks take.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samdesk import paths
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds, Shape
from samdesk.domain.outline import iou
from samdesk.domain.prompts import BoxPrompt, PointPrompt, Prompts
from samdesk.images.sample import Slide, sample_slide

from .demo3d import demo_object

if TYPE_CHECKING:
    from samdesk.ui.main_window import MainWindow

WAIT_S = 120.0
WINDOW = (1400, 900)
NUCLEI = 8
GLANDS = 2


@dataclass(frozen=True, slots=True)
class Goal:
    """An object to outline.

    Attributes
    ----------
    prompts : Prompts
        What a user would give.
    scale : float
        Image pixels per screen pixel while prompting.
    class_name : str or None
    truth : Shape or None
        The object's real outline, where it is known.
    """

    prompts: Prompts
    scale: float = 1.0
    class_name: str | None = None
    truth: Shape | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """A row of the report; times in ms, area in px²."""

    prompts: str
    area: float
    score: float
    holes: int
    iou: float | None
    encode_ms: float
    prompt_ms: float
    outline_ms: float


def run_demo(out: Path, engine: str, stay: bool) -> int:
    """Do the demo and write its files to `out`.

    Parameters
    ----------
    out : Path
        Created when missing.
    engine : str
        Name of the engine that is prompted.
    stay : bool
        Leave the window open when there is a display.
    """
    out = out.absolute()
    _make_folder(out)
    _say("preparing the sample slide")
    slide = _sample()
    _say("opening the window")
    with _own_home(out / "state"), _display() as real:
        from samdesk.ui.start import application, open_window

        app = application()
        window = open_window((), (engine, None))
        window.resize(*WINDOW)
        report: dict[str, Any] = {"engine": window.workspace.session.segmenter.title, "images": {}}
        for name, path, goals in _cases(slide):
            _say(f"prompting {name}")
            report["images"][name] = [
                asdict(row) for row in _do(window, path, goals, out / f"{name}.geojson")
            ]
        _picture(window, slide, out / "window.png")
        _say("making a 3D object")
        demo_object(out / "3d")
        (out / "report.json").write_text(json.dumps(report, indent=2, ensure_ascii=False), "utf-8")
        _tell(out, report)
        if stay and real:
            print("The window stays open; close it to end.")
            app.exec()
        else:
            window.close()
    return 0


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise SamdeskError(
            f"{out} cannot be written: {error.strerror}.", "Choose another folder with --out."
        ) from error


def _sample() -> Slide:
    from samdesk.domain.tasks import Progress, Task

    shown = -1

    def report(progress: Progress) -> None:
        nonlocal shown
        percent = int(100 * (progress.fraction or 0))
        if percent // 10 > shown // 10 and sys.stdout.isatty():
            print(f"\r  {percent} %", end="\r", flush=True)
            shown = percent

    return sample_slide(paths.cache_dir() / "samples", task=Task(report))


@contextmanager
def _own_home(home: Path) -> Iterator[None]:
    """Keep the demo's annotations, settings and recent files apart from the user's."""
    before = os.environ.get("SAMDESK_HOME")
    os.environ["SAMDESK_HOME"] = str(home)
    try:
        yield
    finally:
        if before is None:
            del os.environ["SAMDESK_HOME"]
        else:
            os.environ["SAMDESK_HOME"] = before


@contextmanager
def _display() -> Iterator[bool]:
    """Use the screen when there is one, else Qt's virtual one; says which."""
    real = not sys.platform.startswith("linux") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    if not real:
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
    yield real and os.environ.get("QT_QPA_PLATFORM") != "offscreen"


def _cases(slide: Slide) -> Iterator[tuple[str, Path, list[Goal]]]:
    found = importlib.util.find_spec("skimage")
    assert found is not None
    assert found.origin is not None
    shipped = Path(found.origin).parent / "data"

    def click(x: float, y: float, *away: tuple[float, float]) -> Goal:
        return Goal(Prompts((PointPrompt(x, y), *(PointPrompt(*a, False) for a in away))), 0.5)

    def box(x0: float, y0: float, x1: float, y1: float) -> Goal:
        return Goal(Prompts(boxes=(BoxPrompt(Bounds(x0, y0, x1, y1)),)), 0.5)

    yield "coins", shipped / "coins.png", [click(44, 54), click(335, 44), box(16, 230, 77, 290)]
    yield "cell", shipped / "cell.png", [click(428, 375), box(355, 300, 500, 450)]
    yield "ihc", shipped / "ihc.png", [box(248, 304, 388, 510)]
    yield "coffee", shipped / "coffee.png", [box(170, 12, 414, 206), box(76, 52, 484, 390)]
    yield "retina", shipped / "retina.jpg", [box(112, 530, 320, 770)]
    yield "slide", slide.path, _slide_goals(slide)


def _slide_goals(slide: Slide) -> list[Goal]:
    step = max(1, len(slide.nuclei) // NUCLEI)
    goals = [
        Goal(Prompts((PointPrompt(*one.centroid),)), 1.0, "Tumor", one)
        for one in slide.nuclei[step // 2 :: step][:NUCLEI]
    ]
    for gland in slide.glands[:: max(1, len(slide.glands) // GLANDS)][:GLANDS]:
        prompts = Prompts(boxes=(BoxPrompt(gland.bounds.expanded(30)),))
        goals.append(Goal(prompts, 2.0, "Stroma", gland))
    return goals


def _do(window: MainWindow, path: Path, goals: list[Goal], target: Path) -> list[Done]:
    workspace = window.workspace
    workspace.open(path)
    _wait(window, lambda: workspace.image is not None and workspace.image.source.path == path, path.name)
    workspace.document.apply(workspace.document.removing(workspace.document.ids(), "Begin again"))
    rows = [row for goal in goals if (row := _outline(window, goal)) is not None]
    workspace.selection.clear()
    exported: list[Any] = []
    workspace.notice.connect(exported.append)
    workspace.exchange.export(target)
    _wait(window, lambda: bool(exported), f"export of {target.name}")
    workspace.notice.disconnect(exported.append)
    window.notices.dismiss()
    if exported[0].level == "error":
        raise SamdeskError(exported[0].text, exported[0].hint)
    return rows


def _outline(window: MainWindow, goal: Goal) -> Done | None:
    session = window.workspace.session
    window.workspace.choose_class(goal.class_name)
    timings: dict[str, float] = {}
    answers: list[int] = []

    def answered() -> None:
        answers.append(1)
        current = session.proposal.current
        for name, ms in (current.timings if current else {}).items():
            timings[name] = max(ms, timings.get(name, 0.0))

    session.answered.connect(answered)
    for box in goal.prompts.boxes:
        session.add_box(box, goal.scale)
        _wait(window, partial(_at_least, answers, len(answers) + 1), "answer")
    for point in goal.prompts.points:
        session.add_point(point, goal.scale)
        _wait(window, partial(_at_least, answers, len(answers) + 1), "answer")
    session.answered.disconnect(answered)
    candidate = session.proposal.current
    if candidate is None or not session.accept():
        session.drop()
        return None
    shape = candidate.shape
    return Done(
        prompts=_said(goal.prompts),
        area=round(shape.area, 2),
        score=round(candidate.score, 3),
        holes=len(shape.rings) - len(shape.parts),
        iou=None if goal.truth is None else round(iou(shape, goal.truth), 4),
        encode_ms=round(timings.get("read", 0) + timings.get("encode", 0), 1),
        prompt_ms=round(timings.get("predict", 0), 1),
        outline_ms=round(timings.get("outline", 0), 1),
    )


def _picture(window: MainWindow, slide: Slide, target: Path) -> None:
    """Show the last nuclei with a candidate under work, and keep what the window looks like."""
    canvas, session = window.canvas, window.workspace.session
    kept = [window.workspace.document.get(i).shape for i in window.workspace.document.ids()]
    x, y = kept[NUCLEI // 2].centroid if len(kept) > NUCLEI // 2 else (slide.side / 2, slide.side / 2)
    canvas.show_bounds(Bounds(x - 420, y - 260, x + 420, y + 260))
    near = min(
        (n for n in slide.nuclei if abs(n.centroid[0] - x) + abs(n.centroid[1] - y) > 60),
        key=lambda n: abs(n.centroid[0] - x) + abs(n.centroid[1] - y),
    )
    answers: list[int] = []
    session.answered.connect(lambda: answers.append(1))
    session.add_point(PointPrompt(*near.centroid), canvas.view.scale)
    _wait(window, lambda: bool(answers) and canvas.is_settled(), "picture")
    window.grab().save(str(target))
    session.drop()


def _wait(window: MainWindow, condition: Callable[[], bool], what: str) -> None:
    from PySide6.QtCore import QEventLoop

    from samdesk.ui.start import application

    deadline = time.monotonic() + WAIT_S
    while not condition():
        application().processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 20)
        notice = window.notices.notice
        if notice is not None and notice.level == "error":
            raise SamdeskError(notice.text, notice.hint)
        if time.monotonic() > deadline:
            raise SamdeskError(f"Waited {WAIT_S:g} s for {what}.", "The machine may be very busy; try again.")
        time.sleep(0.002)


def _at_least(answers: list[int], number: int) -> bool:
    return len(answers) >= number


def _said(prompts: Prompts) -> str:
    words = [f"{'+' if p.positive else '-'}({p.x:.0f}, {p.y:.0f})" for p in prompts.points]
    return " ".join(words + ["box({:.0f}, {:.0f}, {:.0f}, {:.0f})".format(*b.bounds) for b in prompts.boxes])


def _say(text: str) -> None:
    print(f"· {text}", flush=True)


def _tell(out: Path, report: dict[str, Any]) -> None:
    print(f"\n{report['engine']}")
    print(f"{'image':<8} {'prompts':<34} {'area px²':>10} {'IoU':>6} {'encode':>8} {'prompt':>8}")
    for name, rows in report["images"].items():
        for row in rows:
            agree = "" if row["iou"] is None else f"{row['iou']:.3f}"
            print(
                f"{name:<8} {row['prompts']:<34.34} {row['area']:>10,.0f} {agree:>6} "
                f"{row['encode_ms']:>5.0f} ms {row['prompt_ms']:>5.0f} ms"
            )
    print("\nWritten:")
    pictures = (out / "window.png", out / "3d" / "scene.png")
    for path in (*sorted(out.glob("*.geojson")), *pictures, out / "report.json"):
        print(f"  {path}")
