"""Weights on their way: downloads, checks and imports in the background, and how each weight stands.

Lives on the main thread; the work runs on lanes `http` and `weights`. Must not know widgets, nor
how bytes come here.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from psygnal import Signal

from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import InnerTask, Task
from samdesk.engines.base import ENGINES
from samdesk.sdk.weights import recogniser
from samdesk.weights import GatedError, Recognise, Registry, Transfer, Weight, import_file, verify
from samdesk.weights.sources import HUB, check_link, host_of, save_token
from samdesk.weights.transfer import duration_text, size_text

from .desk import Choose
from .jobs import Job, Jobs
from .models import Models

LOCK_S = 3.0
"""A cancelled download lets go of its file within this time."""

StandingState = Literal[
    "missing", "gated", "partial", "queued", "receiving", "checking", "ready", "unchecked", "damaged"
]

TYPE_TITLES = {type_: title for spec in ENGINES.values() for type_, title in spec.types.items()}
"""Model types and what the user reads for them."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a weight stands.

    Attributes
    ----------
    state : str
        As `Registry.state`, or "queued", "receiving" or "checking" while a job is at it.
    text : str
        The state in a few words.
    fraction : float or None
        Done part in 0..1; None while nothing is under way, or while it cannot be told.
    detail : str
        What more there is to say: bytes and rate, why it is damaged, why it failed.
    trouble : bool
        Whether `detail` tells of something that went wrong.
    """

    state: StandingState
    text: str
    fraction: float | None = None
    detail: str = ""
    trouble: bool = False

    @property
    def is_busy(self) -> bool:
        return self.state in ("queued", "receiving", "checking")

    @property
    def is_here(self) -> bool:
        """Whether there is a file, be it right or not."""
        return self.state in ("ready", "unchecked", "damaged")


class Downloads:
    """What is under way for the weights of one registry; several at once, one for each file.

    Parameters
    ----------
    jobs : Jobs
    registry : Registry
    recognise : callable, optional
        Tells the model type of a file. By default `samdesk.engines.checkpoint.recognise`, and
        nothing where torch is not installed: then the hash alone decides.

    Attributes
    ----------
    changed : Signal(str)
        The weight of this name stands otherwise, or is a new one.
    added : Signal(Weight)
        A link or a file became a weight.
    finished : Signal(Weight)
        A file arrived and was found right.
    failed : Signal(str, SamdeskError)
        What was under way for the weight of this name failed; no name for a login.
    logged_in : Signal(str)
        A token is kept, and where.
    """

    changed = Signal(str)
    added = Signal(Weight)
    finished = Signal(Weight)
    failed = Signal(str, SamdeskError)
    logged_in = Signal(str)

    def __init__(self, jobs: Jobs, registry: Registry, recognise: Recognise | None = None) -> None:
        self.registry = registry
        self._jobs = jobs
        self._recognise = recognise
        self._running: dict[str, Job[Any]] = {}
        self._transfers: dict[str, Transfer] = {}
        self._remarks: dict[str, str] = {}
        self._errors: dict[str, SamdeskError] = {}
        self._fetching: set[str] = set()
        self._importing: list[str] = []
        jobs.changed.connect(self._job_moved)

    @property
    def can_recognise(self) -> bool:
        """Whether the model type of a file can be found out here."""
        return self._recognise is not None or importlib.util.find_spec("torch") is not None

    @property
    def importing(self) -> tuple[str, ...]:
        """Names of the files that are being imported."""
        return tuple(self._importing)

    # how a weight stands

    def standing(self, weight: Weight) -> Standing:
        """How a weight stands now."""
        job = self._running.get(weight.name)
        return self._at_rest(weight) if job is None else self._under_way(weight, job)

    def licence_page(self, weight: Weight) -> str:
        """Where the licence of a gated weight is accepted; empty when there is none to accept."""
        error = self._errors.get(weight.name)
        if isinstance(error, GatedError):
            return error.page
        return weight.homepage if weight.gated else ""

    def takes_token(self, weight: Weight) -> bool:
        """Whether a token can be kept for the host of this weight."""
        return host_of(weight.url) == HUB

    def _under_way(self, weight: Weight, job: Job[Any]) -> Standing:
        if job.state == "queued":
            return Standing("queued", "queued", detail="Waits until another download has ended.")
        transfer = self._transfers.get(weight.name)
        if not job.title:
            return Standing("checking", "removing")
        if transfer is None and weight.name in self._fetching:
            return Standing("receiving", "starting")
        if transfer is None:
            fraction = job.progress.fraction
            return Standing("checking", _share("checking", fraction), fraction, job.progress.message)
        if transfer.stage == "receiving":
            return _receiving(transfer)
        words = transfer.message.removeprefix(f"{weight.name}: ")
        if transfer.stage == "waiting":
            text = "connecting" if words == "connecting" else "waiting"
            return Standing("receiving", text, transfer.fraction, words[:1].upper() + words[1:])
        return Standing("checking", "checking", 1.0, "Size, hash and contents are compared.")

    def _at_rest(self, weight: Weight) -> Standing:
        state = self.registry.state(weight)
        error = self._errors.get(weight.name)
        if state == "damaged":
            return Standing(state, "damaged", None, self.registry.why_damaged(weight), True)
        if state in ("ready", "unchecked"):
            text = "ready" if state == "ready" else "not checked"
            said = self._remarks.get(weight.name, "")
            if error is not None:
                return Standing(state, text, None, f"{error.message} {error.hint}".strip(), True)
            return Standing(state, text, None, said or _AT_REST.get(state, ""))
        received = self._received(weight)
        if state == "partial" and not received:
            state = "gated" if weight.gated else "missing"
        text = {"missing": "missing", "gated": "licence needed"}.get(state, "")
        if error is not None and state != "gated":
            text = "failed"
        if state == "partial":
            how = "stopped" if error is None else "failed"
            text = f"{how} at {100 * received / weight.size:.0f} %" if weight.size else how
        if error is not None:
            return Standing(state, text, None, f"{error.message} {error.hint}".strip(), True)
        said = f"{size_text(received)} are here; it goes on from there." if state == "partial" else ""
        return Standing(state, text, None, said or _AT_REST.get(state, ""))

    def _received(self, weight: Weight) -> int:
        try:
            return self.registry.part(weight).stat().st_size
        except OSError:
            return 0

    # what can be done; all return at once

    def start(self, weight: Weight) -> None:
        """Download, going on where an earlier download stopped."""

        def fetch(task: Task) -> None:
            from samdesk.weights.download import download

            spoken = _Spoken(task, f"{weight.name}: ")
            recognise = self._recogniser(spoken)
            download(self.registry, weight, spoken, recognise=recognise, listener=self._heard(weight))

        def fetched(job: Job[None]) -> None:
            if job.state == "done":
                self.finished.emit(self._now(weight))

        if weight.name not in self._running:
            self._fetching.add(weight.name)
        self._run("http", f"Downloading {weight.name}", weight, fetch, fetched)

    def cancel(self, weight: Weight) -> None:
        """Give up what is under way; what was received stays and can be resumed."""
        job = self._running.get(weight.name)
        if job is None:
            return
        job.cancel()
        if job.state == "cancelled":
            self._forget(weight.name)
            self.changed.emit(weight.name)

    def verify(self, weight: Weight) -> None:
        """Read the whole file and compare it with what was published."""

        def check(task: Task) -> None:
            verify(self.registry, weight, task, self._recogniser(task))

        def checked(job: Job[None]) -> None:
            if job.state == "done":
                how = "It is as published." if weight.hash is not None else "It holds what it should."
                self._remarks[weight.name] = f"Checked. {how}"

        self._run("weights", f"Checking {weight.name}", weight, check, checked)

    def remove(self, weight: Weight) -> None:
        """Delete the file, and the entry when the user added it; a file used where it lies stays."""

        def delete(task: Task) -> None:
            if not weight.reference and self.registry.folder.is_dir():
                _wait_for(self.registry, weight)
            self.registry.remove(weight)

        self._run("weights", "", weight, delete, lambda job: None)

    def add_link(self, url: str, name: str, type: str = "", *, download: bool = False) -> None:
        """Make a link a weight of the user.

        Raises
        ------
        SamdeskError
            When it is no link, or the name is taken; nothing was written then.
        """
        url = check_link(url)
        known = self.registry.by_url(url)
        if known is not None:
            raise SamdeskError(f"This link is {known.name} already.", "It is in the list.")
        name = self._check_name(name)

        def added(job: Job[Weight]) -> None:
            weight = job.result
            if job.state == "done" and weight is not None:
                self._errors.pop(name, None)
                self.added.emit(weight)
                self.changed.emit(name)
                if download:
                    self.start(weight)
            elif job.error is not None:
                self.failed.emit(name, job.error)

        suffix = _suffix(url)
        self._jobs.lane("weights").submit(
            lambda task: self.registry.add(name, type=type, url=url, suffix=suffix), done=added
        )

    def import_file(self, path: Path, name: str, type: str = "", reference: bool = False) -> None:
        """Make a file a weight of the user, by copy or where it lies.

        Raises
        ------
        SamdeskError
            When there is no such file, or the name is taken; nothing was written then.
        """
        path = path.expanduser().absolute()
        if not path.is_file():
            raise SamdeskError(f"There is no file {path}.", "Check the path.")
        if not type and not self.can_recognise:
            raise SamdeskError("The model type cannot be found out without torch.", "Choose it in the list.")
        name = self._check_name(name)
        self._importing.append(name)

        def read(task: Task) -> Weight:
            recognise = self._recogniser(task)
            return import_file(
                self.registry, path, name=name, type=type, reference=reference, task=task, recognise=recognise
            )

        def read_whole(job: Job[Weight]) -> None:
            self._importing.remove(name)
            if job.state == "done" and job.result is not None:
                self._errors.pop(name, None)
                self.added.emit(job.result)
                self.finished.emit(job.result)
            elif job.error is not None:
                self.failed.emit(name, job.error)
            self.changed.emit(name)

        self._jobs.lane("weights").submit(read, title=f"Importing {path.name}", done=read_whole)
        self.changed.emit(name)

    def log_in(self, token: str) -> None:
        """Keep a token for gated weights."""

        def kept(job: Job[str]) -> None:
            if job.error is not None:
                self.failed.emit("", job.error)
            elif job.result is not None:
                self.logged_in.emit(job.result)

        self._jobs.lane("weights").submit(lambda task: save_token(token), title="Logging in", done=kept)

    def _check_name(self, name: str) -> str:
        name = " ".join(name.split())
        if not name:
            raise SamdeskError("It needs a name.", "Give one that says what it is good for.")
        taken = [*(weight.name for weight in self.registry.weights), *self._importing]
        for known in taken:
            if known.casefold() == name.casefold():
                raise SamdeskError(f"There is a weight “{known}” already.", "Choose another name.")
        return name

    # running

    def _run(
        self,
        lane: str,
        title: str,
        weight: Weight,
        function: Callable[[Task], None],
        done: Callable[[Job[None]], None],
    ) -> None:
        name = weight.name
        if name in self._running:
            return

        def ended(job: Job[None]) -> None:
            if self._running.get(name) is not job:
                return
            self._forget(name)
            if job.error is not None:
                self._errors[name] = job.error
            done(job)
            if job.error is not None:
                self.failed.emit(name, job.error)
            self.changed.emit(name)

        self._errors.pop(name, None)
        self._remarks.pop(name, None)
        self._running[name] = self._jobs.lane(lane).submit(function, title=title, done=ended)
        self.changed.emit(name)

    def _forget(self, name: str) -> None:
        self._running.pop(name, None)
        self._transfers.pop(name, None)
        self._fetching.discard(name)

    def _heard(self, weight: Weight) -> Callable[[Transfer], None]:
        """A listener for the downloader's thread."""
        name = weight.name

        def moved(transfer: Transfer) -> None:
            if name in self._running:
                self._transfers[name] = transfer
                self.changed.emit(name)

        return lambda transfer: self._jobs.dispatch(lambda: moved(transfer))

    def _job_moved(self, job: Job[Any]) -> None:
        for name, running in list(self._running.items()):
            if running is job:
                self.changed.emit(name)

    def _now(self, weight: Weight) -> Weight:
        """The entry as it is now: its type may have been recognised."""
        return next((one for one in self.registry.weights if one.name == weight.name), weight)

    def _recogniser(self, task: Task) -> Recognise | None:
        return self._recognise or recogniser(task)


class Offer:
    """Offers the download when a model is chosen whose weight is not here, and chooses it when it came.

    Parameters
    ----------
    models : Models
    downloads : callable
        Gives the downloads when they are first needed.
    ask : Choose, optional
        Without one nothing is offered.

    Attributes
    ----------
    shown : Signal(Weight)
        The user wants to see this weight among the others.
    """

    shown = Signal(Weight)

    def __init__(self, models: Models, downloads: Callable[[], Downloads], ask: Choose | None) -> None:
        self._models = models
        self._downloads = downloads
        self._ask = ask
        self._listens = False
        self._wanted: tuple[str, str] | None = None
        models.wanted.connect(self.offer)

    def offer(self, weight: Weight) -> None:
        """Ask whether to download a weight that a model needs."""
        downloads = self._downloads()
        standing = downloads.standing(weight)
        if standing.is_busy:
            self._want(weight, downloads)
            return
        if self._ask is None:
            return
        options = self._options(weight, standing)
        answer = self._ask.choose(offer_text(weight, standing), offer_hint(weight, standing), options)
        if answer is None:
            return
        if options[answer] in _GOES_ON:
            self._want(weight, downloads)
            downloads.start(weight)
        else:
            self.shown.emit(weight)

    def _options(self, weight: Weight, standing: Standing) -> tuple[str, ...]:
        if not weight.url:
            return ("Show Weights",)
        if standing.state == "gated":
            return ("Accept the Licence…", "Download")
        return ({"partial": "Resume", "damaged": "Download Again"}.get(standing.state, "Download"),)

    def _want(self, weight: Weight, downloads: Downloads) -> None:
        self._wanted = (weight.name, self._models.current)
        if not self._listens:
            self._listens = True
            downloads.finished.connect(self._came)

    def _came(self, weight: Weight) -> None:
        wanted = self._wanted
        if wanted is None or wanted[0] != weight.name:
            return
        self._wanted = None
        if self._models.current == wanted[1]:  # else another model was chosen meanwhile
            self._models.choose(weight.name)


_GOES_ON = ("Download", "Resume", "Download Again")


def offer_text(weight: Weight, standing: Standing) -> str:
    """The question, for example "SAM ViT-B is not on this computer."."""
    if standing.state == "damaged":
        return f"The file of {weight.name} is damaged."
    if not weight.url:
        return f"The file of {weight.name} is not on this computer any more."
    if standing.state == "partial":
        return f"{weight.name} is only partly on this computer."
    return f"{weight.name} is not on this computer."


def offer_hint(weight: Weight, standing: Standing) -> str:
    """What a download would cost, for example "375 MB from example.org, Apache-2.0."."""
    if not weight.url:
        return "It was imported from a file: add it again."
    what = f"{size_text(weight.size)} from" if weight.size else "From"
    licence = f", {weight.licence}" if weight.licence else ""
    parts = [f"{what} {host_of(weight.url)}{licence}."]
    if standing.state == "gated":
        parts.append("It comes only to those who accepted its licence and are logged in.")
    elif standing.detail and standing.state in ("partial", "damaged"):
        parts.append(standing.detail)
    return " ".join(parts)


class _Spoken(InnerTask):
    """The task of a job, whose messages do not say again what its title says."""

    def __init__(self, task: Task, drop: str) -> None:
        super().__init__(task)
        self._drop = drop

    def progress(self, fraction: float | None, message: str = "") -> None:
        self._whole.progress(fraction, message.removeprefix(self._drop))


_AT_REST = {
    "unchecked": "It was put here or changed since it was last checked.",
    "gated": "It comes only to those who accepted its licence and are logged in.",
}


def _receiving(transfer: Transfer) -> Standing:
    done = transfer.fraction
    parts = [f"{100 * done:.0f} %" if done is not None else size_text(transfer.received)]
    if transfer.rate is not None:
        parts.append(f"{size_text(transfer.rate)}/s")
    if transfer.remaining_s is not None:
        parts.append(f"{duration_text(transfer.remaining_s)} left")
    detail = f"{size_text(transfer.received)} received."
    if transfer.total:
        detail = f"{size_text(transfer.received)} of {size_text(transfer.total)} received."
    return Standing("receiving", ", ".join(parts), done, detail)


def _share(words: str, fraction: float | None) -> str:
    return words if fraction is None else f"{words}, {100 * fraction:.0f} %"


def _suffix(url: str) -> str:
    path = url.partition("?")[0].lower()
    return ".safetensors" if path.endswith(".safetensors") else ".pt"


def _wait_for(registry: Registry, weight: Weight) -> None:
    """Until a download that was just cancelled has let go of its file."""
    from filelock import Timeout

    try:
        with registry.lock(weight).acquire(timeout=LOCK_S):
            return
    except (Timeout, OSError):
        return  # removing says what is wrong
