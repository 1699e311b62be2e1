"""`download`: a weight's file comes here, whole and verified, or it does not come at all.

Must not know the window or the command line: they get reports, and cancel through the task.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from filelock import Timeout

from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import Task
from samdesk.weights.registry import Registry
from samdesk.weights.sources import (
    Page,
    check_link,
    direct_link,
    is_drive,
    refuse_drive_page,
    resolve_drive,
    token_for,
)
from samdesk.weights.transfer import Meter, Transfer, duration_text, size_text
from samdesk.weights.verification import Recognise, check_contents, check_size_and_hash, put_aside, verify
from samdesk.weights.weight import Weight
from samdesk.weights.writing import disk_error

from .answers import (
    REDIRECT,
    PassingError,
    content_length,
    content_range,
    error_of,
    is_encoded,
    looks_like_page,
    page_error,
    redirect_target,
    trouble,
)
from .connection import POLL_S, open_client
from .part import Part

PAGE_BYTES = 1 << 20
SPACE_EVERY_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for what, and how often to try again.

    Attributes
    ----------
    connect_s, stall_s : float
        Until a server that does not answer, or sends nothing more, counts as a trouble.
    retries : int
        Troubles in a row without a new byte, after which to give up.
    backoff_s, backoff_max_s : float
        The first wait, and the longest; each is twice the one before.
    asked_max_s : float
        The longest wait that a server may ask for.
    redirects : int
    report_s : float
        Between two reports while bytes arrive.
    note_s : float
        Between two notes of how far it is; a crash costs at most what came since the last.
    spare_bytes : int
        To be left free on the disk.
    """

    connect_s: float = 15.0
    stall_s: float = 30.0
    retries: int = 6
    backoff_s: float = 1.0
    backoff_max_s: float = 30.0
    asked_max_s: float = 300.0
    redirects: int = 10
    report_s: float = 0.1
    note_s: float = 1.0
    spare_bytes: int = 64 << 20


def download(
    registry: Registry,
    weight: Weight,
    task: Task | None = None,
    *,
    recognise: Recognise | None = None,
    listener: Callable[[Transfer], None] | None = None,
    token: str | None = None,
    patience: Patience = Patience(),
    resolve: Callable[[str, Callable[[str], Page]], str] | None = None,
) -> Path:
    """Fetch the file of a weight; returns at once when it is there and verified.

    What was received stays in a `.part` file when this is cancelled, fails or is killed, and the
    next call goes on from there. One process fetches a file; others that ask for it wait and
    then find it. The file gets its name only after its size, its hash and its contents were
    found right.

    Parameters
    ----------
    registry : Registry
    weight : Weight
    task : Task, optional
        Receives progress and is asked many times a second whether to go on.
    recognise : callable, optional
        Tells the model type of a file, see `samdesk.weights.verification.Recognise`.
    listener : callable, optional
        Receives a `Transfer` for each report, on the calling thread.
    token : str, optional
        For the host of the link; looked up when not given.
    patience : Patience
    resolve : callable, optional
        Turns a shared link into that of the file; `resolve_link` when not given.

    Returns
    -------
    Path
        The verified file.

    Raises
    ------
    SamdeskError
        GatedError when the licence must be accepted first.
    Cancelled
    """
    task = task or Task()
    if registry.state(weight) == "ready":
        return registry.path(weight)
    if weight.reference or not weight.url:
        raise SamdeskError(
            f"{weight.name} cannot be downloaded: its file was imported from this computer.",
            "Import it again, or add it with a link.",
        )
    meter = Meter(weight.name, task, listener, patience.report_s)
    with _alone(registry, weight, meter):
        if _came_meanwhile(registry, weight, task, recognise):
            return registry.path(weight)
        _Fetch(registry, weight, task, recognise, token, patience, meter, resolve or resolve_link).run()
    path = registry.path(weight)
    size = path.stat().st_size
    meter.say("done", f"{weight.name}: {size_text(size)}, verified", size, size)
    return path


def resolve_link(url: str, read_page: Callable[[str], Page]) -> str:
    """The link of the file itself."""
    return resolve_drive(url, read_page) if is_drive(url) else direct_link(url)


@contextmanager
def _alone(registry: Registry, weight: Weight, meter: Meter) -> Iterator[None]:
    try:
        lock = registry.lock(weight)
        while True:
            try:
                lock.acquire(timeout=0)
                break
            except Timeout:
                meter.say("waiting", f"{weight.name}: another samdesk is downloading it")
                time.sleep(POLL_S)
    except OSError as error:
        raise disk_error(registry.folder, error) from error
    try:
        yield
    finally:
        lock.release()


def _came_meanwhile(registry: Registry, weight: Weight, task: Task, recognise: Recognise | None) -> bool:
    """Whether the file is there now: brought by another process, by hand, or before a crash."""
    state = registry.state(weight)
    if state == "unchecked":
        try:
            verify(registry, weight, task, recognise)
        except SamdeskError:
            return False
        return True
    return state == "ready"


class _Fetch:
    """One download under way."""

    def __init__(
        self,
        registry: Registry,
        weight: Weight,
        task: Task,
        recognise: Recognise | None,
        token: str | None,
        patience: Patience,
        meter: Meter,
        resolve: Callable[[str, Callable[[str], Page]], str],
    ) -> None:
        self.registry = registry
        self.weight = weight
        self.task = task
        self.recognise = recognise
        self.token = token
        self.patience = patience
        self.meter = meter
        self.resolve = resolve
        self.client: httpx.Client
        self.part: Part
        self.url = httpx.URL()
        self.resumed = False
        self.whole = False
        """Ask for the whole file: what is there turned out to be of no use."""
        self.came = 0

    def run(self) -> None:
        url = check_link(self.weight.url)
        target = self.registry.path(self.weight)
        algorithms = (self.weight.hash.algorithm,) if self.weight.hash is not None else ()
        self.meter.say("waiting", f"{self.weight.name}: connecting")
        with Part(
            self.registry.part(self.weight), url, algorithms, self.task.check, self.patience.note_s
        ) as self.part:
            self.resumed = self.part.size > 0
            with open_client(self.task.check, self.patience.connect_s, self.patience.stall_s) as self.client:
                self._until_complete(url)
                if not self._is_right() and self.resumed:
                    # what came first and what came now may be halves of two files
                    self.resumed = False
                    self.part.restart()
                    self._until_complete(url)
            self._accept(target)

    # asking

    def _until_complete(self, url: str) -> None:
        best, troubles, contradictions = self.part.size, 0, 0
        while not self._is_complete():
            try:
                if not self.url.host:
                    self.url = httpx.URL(check_link(self.resolve(url, self._read_page)))
                if self._ask():
                    return
                contradictions += 1
                if contradictions > 3:
                    raise SamdeskError(
                        f"{self.url.host} contradicts itself about the size of {self.weight.name}.",
                        "Try again later, or download it with a browser and import it.",
                    )
            except (httpx.TransportError, PassingError) as error:
                if self.part.size > best:
                    best, troubles = self.part.size, 0
                troubles += 1
                self._wait_after(error, troubles)
            except httpx.DecodingError as error:
                raise SamdeskError(
                    f"{self.url.host} sends {self.weight.name} in a coding that cannot be read.",
                    "Check the link.",
                ) from error
            except httpx.InvalidURL as error:
                raise SamdeskError(f"{url} is not a link: {error}.", "Copy it again.") from error

    def _is_complete(self) -> bool:
        return self.part.size > 0 and self.part.size == self.part.note.total

    def _wait_after(self, error: httpx.TransportError | PassingError, troubles: int) -> None:
        url = self.url if self.url.host else httpx.URL(self.weight.url)
        passing = trouble(self.weight, error, url) if isinstance(error, httpx.TransportError) else error
        if "certificate" in str(error):
            raise SamdeskError(
                passing.message, "Is the clock right? A company's own certificate goes into SSL_CERT_FILE."
            ) from error
        asked = passing.wait
        if asked is not None and asked > self.patience.asked_max_s:
            raise SamdeskError(
                passing.message, f"The server asks to come back in {duration_text(asked)}; what came is kept."
            ) from error
        offline = isinstance(error, httpx.ConnectError) and not self.came
        if troubles > (min(2, self.patience.retries) if offline else self.patience.retries):
            raise SamdeskError(passing.message, passing.hint) from error
        wait = min(self.patience.backoff_max_s, self.patience.backoff_s * 2 ** (troubles - 1))
        wait *= random.uniform(0.75, 1.25)
        self._pause(wait if asked is None else asked, passing.message)

    def _pause(self, seconds: float, why: str) -> None:
        until = time.monotonic() + seconds
        size, total = self.part.size, self.part.note.total
        words = f"{self.weight.name}: {why} Trying again in {duration_text(seconds)}"
        self.meter.say("waiting", words, size, total)
        while (left := until - time.monotonic()) > 0:
            self.task.check()
            time.sleep(min(POLL_S, left))

    def _ask(self) -> bool:
        """Ask for what is missing and receive it; False when the question must be put anew."""
        have = self.part.size
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        note = self.part.note
        ranged = bool(have and not self.whole and (note.validator or self.weight.hash is not None))
        if ranged:
            headers["Range"] = f"bytes={have}-"
            if note.validator:
                headers["If-Range"] = note.validator
        with self._answer(self.url, headers) as answer:
            if answer.status_code == 206 and ranged:
                if not self._continues(answer):
                    self.whole = True
                    return False
                self.resumed = True
                self._receive(answer, b"", answer.iter_raw())
            elif answer.status_code == 416 and ranged:
                if content_range(answer.headers).total == have:
                    return True
                self.whole = True
                return False
            elif answer.status_code == 200:
                self._begin(answer)
            else:
                raise error_of(self.weight, answer, answer.url)
        return True

    def _continues(self, answer: httpx.Response) -> bool:
        """Whether an answer 206 goes on where the part ends, in the same file."""
        span, note = content_range(answer.headers), self.part.note
        same_total = span.total is None or note.total is None or span.total == note.total
        etag = answer.headers.get("etag", "")
        same_tag = not etag or not note.etag or etag == note.etag
        return span.first == self.part.size and same_total and same_tag and not is_encoded(answer.headers)

    def _begin(self, answer: httpx.Response) -> None:
        """Receive a whole file; what is there is dropped once this turned out to be a file."""
        total = content_length(answer.headers)
        if total is not None and self.weight.size is not None and total != self.weight.size:
            head = next(answer.iter_raw(), b"")
            if looks_like_page(answer.headers, head):
                raise page_error(self.weight, answer.url)
            raise SamdeskError(
                f"{answer.url.host} has another file in place of {self.weight.name}: {total:,} bytes "
                f"instead of {self.weight.size:,}.",
                f"Look at {self.weight.homepage} for a newer link." if self.weight.homepage else "",
            )
        body = answer.iter_bytes() if is_encoded(answer.headers) else answer.iter_raw()
        head = next(body, b"")
        if looks_like_page(answer.headers, head):
            if is_drive(str(answer.url)):
                refuse_drive_page(
                    Page(str(answer.url), False, head.decode("utf-8", "replace")), self.weight.url
                )
            raise page_error(self.weight, answer.url)
        if not head:
            raise SamdeskError(f"The file at {self.weight.url} is empty.", "Check the link.")
        self._check_space(total or self.weight.size or 0)
        tag, modified = (answer.headers.get(name, "") for name in ("etag", "last-modified"))
        if is_encoded(answer.headers):
            tag = modified = ""  # they speak of the encoded file
        self.part.restart(tag, modified, total)
        self.resumed = False
        self.whole = False
        self._receive(answer, head, body)

    def _receive(self, answer: httpx.Response, head: bytes, body: Iterator[bytes]) -> None:
        total = self.part.note.total or self.weight.size
        self._check_space((total or self.part.size) - self.part.size)
        looked = self.part.size
        self.meter.received(self.part.size, total)
        for data in self._chunks(head, body):
            self.task.check()
            self.part.append(data)
            self.came += len(data)
            if total is not None and self.part.size > total:
                self.part.restart()
                raise SamdeskError(
                    f"{answer.url.host} sends more than the {total:,} bytes of {self.weight.name}.",
                    "It is another file: check the link.",
                )
            if self.part.size - looked >= SPACE_EVERY_BYTES:
                looked = self.part.size
                self._check_space(0)
            self.meter.received(self.part.size, total)
        if total is not None and self.part.size < total:
            raise PassingError(
                f"{answer.url.host} sent {self.part.size:,} of {total:,} bytes of {self.weight.name}.",
                "Start it again; what was received is kept.",
            )

    def _chunks(self, head: bytes, body: Iterator[bytes]) -> Iterator[bytes]:
        if head:
            yield head
        yield from body

    @contextmanager
    def _answer(self, url: httpx.URL, headers: dict[str, str]) -> Iterator[httpx.Response]:
        """The answer after all redirects; a token goes to the host that it is for and no further."""
        token = token_for(str(url)) if self.token is None else self.token
        first = url
        for _ in range(self.patience.redirects + 1):
            same = (url.scheme, url.host, url.port) == (first.scheme, first.host, first.port)
            proof = {"Authorization": f"Bearer {token}"} if token and same else {}
            with self.client.stream("GET", url, headers={**headers, **proof}) as answer:
                if answer.status_code not in REDIRECT:
                    yield answer
                    return
                url = redirect_target(self.weight, answer, url)
        raise SamdeskError(
            f"{first.host} redirects {self.weight.name} in a circle.",
            "Open the link in a browser, and import the downloaded file.",
        )

    def _read_page(self, url: str) -> Page:
        """A page that leads to the file, or the news that this is the file."""
        with self._answer(httpx.URL(url), {"Accept": "*/*"}) as answer:
            if answer.status_code != 200:
                raise error_of(self.weight, answer, answer.url)
            text = b""
            for data in answer.iter_bytes():
                text += data
                if not looks_like_page(answer.headers, text):
                    return Page(str(answer.url), True)
                if len(text) > PAGE_BYTES:
                    break
        return Page(str(answer.url), False, text.decode("utf-8", "replace"))

    def _check_space(self, missing: int) -> None:
        """Raise SamdeskError when the disk has no room for `missing` more bytes and a reserve."""
        try:
            free = shutil.disk_usage(self.registry.folder).free
        except OSError as error:
            raise disk_error(self.registry.folder, error) from error
        if free < missing + self.patience.spare_bytes:
            raise SamdeskError(
                f"There is no room for {self.weight.name} in {self.registry.folder}: it needs "
                f"{size_text(missing)} more, and {size_text(free)} are free.",
                "Free some space, or set SAMDESK_HOME to a folder on a larger disk.",
            )

    # accepting

    def _hashes(self) -> dict[str, str]:
        names = {"sha256"} | ({self.weight.hash.algorithm} if self.weight.hash is not None else set())
        return {name: self.part.digest(name) for name in names}

    def _is_right(self) -> bool:
        try:
            check_size_and_hash(self.weight, self.part.size, self._hashes(), self.weight.file)
        except SamdeskError:
            return False
        return True

    def _accept(self, target: Path) -> None:
        """Give the file its name when all about it is right; put it away when not."""
        size, hashes, name = self.part.size, self._hashes(), self.weight.file
        self.meter.say("checking", f"{self.weight.name}: checking", size, size)
        try:
            check_size_and_hash(self.weight, size, hashes, name)
            found = check_contents(self.weight, self.part.path, name, self.recognise)
        except SamdeskError as error:
            if self.weight.source == "shipped":
                self.part.discard()
                raise
            self.part.close()
            kept = put_aside(self.part.path, target)
            raise SamdeskError(error.message, f"{error.hint} It is kept as {kept.name}.".strip()) from error
        self.task.check()
        self.part.flush()
        self.part.finish(target)
        self.registry.ledger.note(target, "ready", sha256=hashes["sha256"], type_=found)
        if not self.weight.type and found:
            self.registry.set_type(self.weight, found)
