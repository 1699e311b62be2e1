"""The installer: its decisions, its pinned versions, and a whole installation without a network."""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from installer import bootstrap, checks, environment, system
from installer.environment import Checkout, Stamp
from installer.progress import InstallError, Log, Reporter, Stage

ROOT = Path(__file__).resolve().parents[2]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = ({"sys_platform": "linux"}, {"sys_platform": "darwin"}, {"sys_platform": "win32"})
POSIX_ONLY = pytest.mark.skipif(os.name == "nt", reason="shell scripts and POSIX locks")


# --- the pinned versions ---------------------------------------------------------------------


def pins() -> dict[str, Requirement]:
    text = (ROOT / "installer" / "constraints.txt").read_text("utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    found = [Requirement(line) for line in lines]
    assert len({canonicalize_name(pin.name) for pin in found}) == len(found)
    return {canonicalize_name(pin.name): pin for pin in found}


def requirements() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = project["project"]["optional-dependencies"].values()
    texts = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    return [Requirement(text) for text in [*texts, *(text for extra in extras for text in extra)]]


def test_constraints_are_exact_versions_and_name_no_place() -> None:
    assert "://" not in (ROOT / "installer" / "constraints.txt").read_text("utf-8")
    for pin in pins().values():
        (specifier,) = pin.specifier
        assert specifier.operator == "==", pin
        assert "*" not in specifier.version, pin
        assert "+" not in specifier.version, f"{pin}: a local version is one build, on one index"


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda platform: platform["sys_platform"])
def test_every_requirement_has_a_pin_that_fits(python: str, platform: dict[str, str]) -> None:
    known = pins()
    for requirement in requirements():
        place = {**platform, "python_version": python, "python_full_version": f"{python}.0"}
        if requirement.marker and not requirement.marker.evaluate(place):
            continue
        (specifier,) = known[canonicalize_name(requirement.name)].specifier
        assert requirement.specifier.contains(specifier.version, prereleases=True), requirement


def test_what_the_build_needs_is_installed_for_it() -> None:
    named = {canonicalize_name(Requirement(tool).name) for tool in environment.BUILD_TOOLS}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert {
        canonicalize_name(Requirement(text).name) for text in project["build-system"]["requires"]
    } <= named
    assert named <= set(pins())


# --- arguments -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "extras", "rest"),
    [
        ([], (), []),
        (["demo", "--out", "x"], (), ["demo", "--out", "x"]),
        (["--with", "models", "a.tif"], ("models",), ["a.tif"]),
        (["--with=models,dev"], ("models", "dev"), []),
        (["--with", "models", "--with", "dev"], ("models", "dev"), []),
        (["a.tif", "--with", "models", "--fresh"], (), ["a.tif", "--with", "models", "--fresh"]),
        (["--with", "models", "--", "--help"], ("models",), ["--help"]),
        (["--version"], (), ["--version"]),
        (["segment", "--", "-x"], (), ["segment", "--", "-x"]),
    ],
)
def test_only_leading_options_are_the_installers(
    given: list[str], extras: tuple[str, ...], rest: list[str]
) -> None:
    options, left = bootstrap.split_arguments(given)
    assert options.extras == extras
    assert left == rest
    assert not options.help
    assert not options.fresh


def test_flags_are_seen() -> None:
    options, _ = bootstrap.split_arguments(["--fresh", "--install-only", "-h"])
    assert options == bootstrap.RunOptions(fresh=True, install_only=True, help=True)


def test_with_needs_a_name() -> None:
    with pytest.raises(InstallError, match="name of an extra"):
        bootstrap.split_arguments(["--with"])


# --- recognizing an environment --------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A checkout with a space in its path, without an environment."""
    root = tmp_path / "my checkout"
    shutil.copytree(ROOT / "installer", root / "installer", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "samdesk"\nversion = "1"\n[project.optional-dependencies]\n'
        "models = []\ndev = []\n",
        "utf-8",
    )
    return Checkout(root)


@pytest.fixture
def reporter(checkout: Checkout) -> Reporter:
    return Reporter(Log(checkout.state / "log.txt"), io.StringIO())


def install_by_hand(checkout: Checkout, *extras: str) -> None:
    checkout.python.parent.mkdir(parents=True)
    checkout.python.touch()
    stamp = Stamp(environment.fingerprint(checkout), frozenset().union(extras))
    environment.write_stamp(checkout.stamp, stamp)


def test_a_current_environment_is_left_alone(checkout: Checkout, reporter: Reporter) -> None:
    install_by_hand(checkout, "models")
    for extras in ((), ("models",)):
        environment.ensure(checkout, extras, reporter)
    assert not checkout.state.exists(), "neither a lock nor a log was needed"


@pytest.mark.parametrize("name", ["pyproject.toml", "installer/constraints.txt"])
def test_a_changed_file_is_noticed(checkout: Checkout, name: str) -> None:
    install_by_hand(checkout)
    assert environment.is_current(checkout, ())
    with (checkout.root / name).open("a") as file:
        file.write("# changed\n")
    assert not environment.is_current(checkout, ())


def test_a_moved_checkout_is_noticed(checkout: Checkout) -> None:
    install_by_hand(checkout)
    moved = Checkout(checkout.root.rename(checkout.root.parent / "elsewhere"))
    assert not environment.is_current(moved, ())


def test_a_new_extra_and_a_lost_interpreter_are_noticed(checkout: Checkout) -> None:
    install_by_hand(checkout, "dev")
    assert not environment.is_current(checkout, ("models",))
    checkout.python.unlink()
    assert not environment.is_current(checkout, ())


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"fingerprint": 1, "extras": 2}', "\x00\xff"])
def test_a_damaged_stamp_is_no_stamp(tmp_path: Path, text: str) -> None:
    path = tmp_path / "stamp.json"
    assert environment.read_stamp(path) == Stamp()
    path.write_text(text, "latin-1")
    assert environment.read_stamp(path) == Stamp()


def test_an_unknown_extra_is_refused_with_the_known_ones(checkout: Checkout, reporter: Reporter) -> None:
    with pytest.raises(InstallError, match="'modles'") as caught:
        environment.ensure(checkout, ("modles",), reporter)
    assert "models, dev" in caught.value.hint
    assert not checkout.venv.exists()


def test_a_broken_environment_of_someone_else_is_not_deleted(checkout: Checkout, reporter: Reporter) -> None:
    theirs = checkout.venv / "precious.txt"
    theirs.parent.mkdir()
    theirs.write_text("mine", "utf-8")
    with pytest.raises(InstallError, match="not made by this installer"):
        environment.ensure(checkout, (), reporter)
    assert theirs.read_text("utf-8") == "mine"


def test_what_an_interrupted_pip_left_is_not_taken_for_installed(tmp_path: Path) -> None:
    whole, half, replaced = (tmp_path / name for name in ("a-1.dist-info", "b-1.dist-info", "~umpy"))
    for folder in (whole, half, replaced):
        folder.mkdir()
        (folder / "METADATA").touch()
    (whole / "INSTALLER").touch()
    environment.remove_unfinished(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [whole.name]


def test_what_leads_out_of_the_environment_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in environment.DROPPED:
        monkeypatch.setenv(name, "/elsewhere")
    monkeypatch.setenv("PIP_INDEX_URL", "kept")
    env = environment.clean_environment()
    assert env["PIP_INDEX_URL"] == "kept"
    assert not set(environment.DROPPED) & set(env)


# --- what the user is told -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("  Downloading numpy-2.4.6-cp311-cp311-manylinux.whl (16.9 MB)", "numpy 2.4.6 (16.9 MB)"),
        ("  Using cached six-1.17.0-py2.py3-none-any.whl (11 kB)", "six 1.17.0 (11 kB)"),
        ("Processing /a/torch-2.13.0+cpu-cp311-linux.whl (from samdesk==0.1.0)", "torch 2.13.0+cpu"),
        ("Processing c:\\wheels\\torch-2.13.0-cp311.whl", "torch 2.13.0"),
        ("Installing collected packages: a, b, c", "unpacking 3 packages"),
        ("Collecting numpy>=2.0", None),
        ("WARNING: something", None),
    ],
)
def test_pip_in_few_words(line: str, told: str | None) -> None:
    assert environment.pip_detail(line + "\n") == told


LOST = "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError()': /simple/x/\n"
NONE = "ERROR: No matching distribution found for numpy==2.4.6\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LOST + NONE, "could not be reached"),
        (NONE, "not offered here for this system"),
        ("ERROR: ResolutionImpossible: for help visit ...", "not offered here for this system"),
        (LOST + "OSError: [Errno 28] No space left on device", "disk is full"),
        (LOST + "ERROR: Failed building wheel for scipy", "no ready-made build"),
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]", "PIP_CERT"),
        ("PermissionError: [Errno 13] Permission denied: '/a/.venv/lib'", "cannot be written"),
        ("[WinError 32] The process cannot access the file", "Close every samdesk window"),
        ("FileNotFoundError: Forced include not found: /a/resources", "git status"),
        ("/a/.venv/bin/python: No module named pip", "--fresh"),
        ("$ python -m pip install\n-> -9\n", "memory"),
        ("something nobody has seen", ""),
    ],
)
def test_the_likely_cause(text: str, words: str) -> None:
    cause = environment.likely_cause(text)
    assert words in cause
    assert bool(words) == bool(cause)


def test_a_log_is_begun_anew_once_per_process(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text("of yesterday\n", "utf-8")
    log = Log(path)
    assert log.text() == ""
    log.write("one\n")
    log.write("two\nthree\n")
    assert path.read_text("utf-8") == log.text() == "one\ntwo\nthree\n"
    assert log.tail(2) == "two\nthree"


def test_stages_say_how_they_ended() -> None:
    out = io.StringIO()
    with Stage("Good", out, live=False):
        pass
    with pytest.raises(InstallError), Stage("Bad", out, live=False):
        raise InstallError("no")
    with pytest.raises(KeyboardInterrupt), Stage("Left", out, live=True):
        raise KeyboardInterrupt
    ends = [line.rpartition("\r")[2] for line in out.getvalue().rstrip().split("\n")]
    assert [line.partition(" (")[0] for line in ends if "..." not in line] == [
        "Good: done",
        "Bad: failed",
        "Left: stopped",
    ]


def test_a_commands_output_goes_to_the_log_and_its_status_back(reporter: Reporter) -> None:
    seen: list[str] = []

    def detail(line: str) -> None:
        seen.append(line.strip())

    code = "import sys; print('out'); print('err', file=sys.stderr); print([*sys.stdin]); sys.exit(7)"
    assert reporter.run([sys.executable, "-u", "-c", code], detail=detail) == 7
    assert seen == ["out", "err", "[]"]
    assert reporter.log.text().endswith("out\nerr\n[]\n-> 7\n")


# --- the lock --------------------------------------------------------------------------------


def is_free(path: Path) -> bool:
    """Ask in another process, as another installer would."""
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); from installer.environment import _try_lock;"
        "sys.exit(not _try_lock(os.open(sys.argv[2], os.O_RDWR)))"
    )
    return subprocess.run([sys.executable, "-c", code, str(ROOT), str(path)], check=False).returncode == 0


def fail() -> None:
    raise AssertionError("nobody else holds the lock")


@POSIX_ONLY
def test_the_lock_is_held_until_what_inherited_it_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with environment.locked(path, fail) as lock:
        assert not is_free(path)
        pip = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=(lock,))
    assert not is_free(path), "the installer was killed, its pip goes on"
    pip.communicate()
    assert is_free(path)


# --- the operating system --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "environ", "needs"),
    [
        ([], {"DISPLAY": ":0"}, system.QT + system.XCB),
        (["a.tif"], {"DISPLAY": ":0"}, system.QT + system.XCB),
        ([], {"DISPLAY": ":0", "WAYLAND_DISPLAY": "wayland-0"}, system.QT),
        ([], {"DISPLAY": ":0", "QT_QPA_PLATFORM": "offscreen"}, system.QT),
        (["demo"], {}, system.QT),
        (["info", "a.tif"], {"DISPLAY": ":0"}, ()),
        (["segment", "a.tif"], {"DISPLAY": ":0"}, ()),
        (["--version"], {"DISPLAY": ":0"}, ()),
    ],
)
def test_only_a_window_needs_libraries(
    arguments: list[str], environ: dict[str, str], needs: tuple[system.Need, ...]
) -> None:
    assert system.needs_of(arguments, environ) == needs


LACKING = [system.Need("libnowhere.so.9", "libnowhere9"), system.Need("no-such-program", "nowhere-tools")]


def program(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n", "utf-8")
    (folder / name).chmod(0o755)


@POSIX_ONLY
def test_what_is_missing_is_found_out_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "LINUX", True)
    assert system.missing([system.Need("sh", "dash"), *LACKING]) == LACKING
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "libnowhere.so.9, no-such-program" in system.install_hint(LACKING)
    program(tmp_path, "dnf", "")
    assert "dnf install 'libnowhere.so.9()(64bit)' (and: no-such-program)" in system.install_hint(LACKING)
    program(tmp_path, "apt-get", "")
    assert "apt-get install libnowhere9 nowhere-tools" in system.install_hint(LACKING)


@POSIX_ONLY
def test_packages_are_installed_after_an_update_and_a_second_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reporter: Reporter
) -> None:
    monkeypatch.setattr(system, "LINUX", True)
    calls = tmp_path / "calls"
    new = tmp_path / "bin" / "no-such-program"
    # the first install fails, as with a stale package list
    script = f'echo "$3 $DEBIAN_FRONTEND" >> {calls}; [ "$3" = update ] && exit 0\n'
    script += f"[ $(grep -c install {calls}) = 2 ] || exit 100; echo '#!/bin/sh' > {new}; chmod +x {new}"
    program(tmp_path / "bin", "apt-get", script)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert system.install(LACKING, reporter, []) == LACKING[:1], "a program came, the library did not"
    told = "update noninteractive\ninstall noninteractive\n"
    assert calls.read_text("utf-8") == told * 2


@POSIX_ONLY
def test_the_virtual_screen_answers_and_ends(tmp_path: Path) -> None:
    with checks.virtual_screen(tmp_path) as display:
        address = f"/tmp/.X11-unix/X{display.removeprefix(':')}"
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(address)
    with socket.socket(socket.AF_UNIX) as client, pytest.raises(OSError, match=r"No such file|refused"):
        client.connect(address)


@POSIX_ONLY
@pytest.mark.parametrize(("broken", "status"), [("mypy", 1), ("pytest", 5), ("nothing", 0)])
def test_one_failed_check_fails_all_but_the_tests_still_run(
    checkout: Checkout, reporter: Reporter, capfd: pytest.CaptureFixture[str], broken: str, status: int
) -> None:
    script = f'echo "$2: $LC_ALL"; [ "$2" = {broken} ] && exit 5; exit 0'
    program(checkout.root / ".venv", "unused", "")
    program(checkout.python.parent, checkout.python.name, script)
    assert checks.run_checks(checkout, ["-k", "x"], reporter, screen=False) == status
    shown = capfd.readouterr().out.splitlines()
    assert shown[-1].startswith("pytest: ")
    assert len(shown) == (2 if broken == "mypy" else 1), "only what failed speaks"


@POSIX_ONLY
@pytest.mark.parametrize(
    ("failing", "status"), [("tests/engines", 4), ("--ignore=tests/engines", 4), ("nothing", 0)]
)
def test_those_that_need_no_screen_run_beside_the_others(
    checkout: Checkout, reporter: Reporter, capfd: pytest.CaptureFixture[str], failing: str, status: int
) -> None:
    script = f'shift; echo "$*"; [ "$2" = {failing} ] && exit 4; exit 0'
    program(checkout.root / ".venv", "unused", "")
    program(checkout.python.parent, checkout.python.name, script)
    for folder in checks.BESIDE:
        (checkout.root / folder).mkdir(parents=True)
    assert checks.run_checks(checkout, [], reporter, screen=False) == status
    shown = capfd.readouterr().out.splitlines()
    others = " ".join(f"--ignore={folder}" for folder in checks.BESIDE)
    assert shown[-3:] == [
        f"pytest {others}",
        f"{', '.join(checks.BESIDE)}:",
        f"pytest {' '.join(checks.BESIDE)}",
    ]


# --- finding a Python ------------------------------------------------------------------------

OLD = "exit 3"


def find(checkout: Checkout, path: Path) -> subprocess.CompletedProcess[str]:
    """`installer/run --help` with nothing but the programs in `path` and those the script uses."""
    program(path, "uname", "echo Linux")
    for tool in ("sed", "dirname", "readlink"):
        target = shutil.which(tool)
        assert target is not None
        (path / tool).symlink_to(target)
    return subprocess.run(
        ["/bin/sh", str(checkout.root / "installer" / "run"), "--help"],
        env={"PATH": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )


def real(marker: Path) -> str:
    return f'echo used >> "{marker}"; exec "{sys.executable}" "$@"'


@POSIX_ONLY
def test_the_first_fitting_python_is_taken(checkout: Checkout, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    program(programs, "python3", OLD)
    program(programs, "python3.13", "echo 'python3.13: command not found' >&2; exit 127")
    program(programs, "python3.12", real(tmp_path / "used"))
    done = find(checkout, programs)
    assert done.stdout == bootstrap.RUN_HELP
    assert (tmp_path / "used").exists()
    assert done.stderr == ""


@POSIX_ONLY
def test_without_a_fitting_python_the_message_says_what_to_do(checkout: Checkout, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    program(programs, "apt-get", "")
    program(programs, "python3", OLD)
    done = find(checkout, programs)
    assert done.returncode == 1
    assert "3.11" in done.stderr
    assert "apt-get install python3 python3-venv" in done.stderr


@POSIX_ONLY
def test_the_environments_own_python_comes_first(checkout: Checkout, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    program(programs, "python3", f"touch '{tmp_path / 'asked'}'; exit 3")
    program(programs, "its python", real(tmp_path / "used"))
    checkout.venv.mkdir()
    config = f"home = x\nexecutable = {programs / 'its python'}\nversion = 3.11.7\n"
    (checkout.venv / "pyvenv.cfg").write_text(config, "utf-8")
    assert find(checkout, programs).stdout == bootstrap.RUN_HELP
    assert (tmp_path / "used").read_text("utf-8") == "used\n"
    assert not (tmp_path / "asked").exists()


# --- a whole installation --------------------------------------------------------------------

BACKEND = """
import os, zipfile

def prepare_metadata_for_build_editable(folder, settings=None):
    info = os.path.join(folder, "samdesk-1.dist-info")
    os.mkdir(info)
    with open(os.path.join(info, "METADATA"), "w") as file:
        file.write(METADATA)
    return "samdesk-1.dist-info"

METADATA = "Metadata-Version: 2.1\\nName: samdesk\\nVersion: 1\\n"
METADATA += "Provides-Extra: dev\\n"

def build_editable(folder, settings=None, metadata=None):
    name = "samdesk-1-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        wheel.writestr("samdesk.pth", os.getcwd() + "\\n")
        wheel.writestr("samdesk-1.dist-info/METADATA", METADATA)
        wheel.writestr("samdesk-1.dist-info/WHEEL", WHEEL)
        wheel.writestr("samdesk-1.dist-info/RECORD", "")
    return name

WHEEL = "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
"""


def wheel(folder: Path, name: str, version: str) -> None:
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        text = "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        file.writestr(f"{info}/WHEEL", text)
        file.writestr(f"{info}/RECORD", "")


def start(checkout: Checkout, wheels: Path, *arguments: str) -> subprocess.Popen[str]:
    """`installer/run` as a user starts it, with `wheels` in place of the network."""
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PIP_CONFIG_FILE": os.devnull}
    return subprocess.Popen(
        [str(checkout.root / "installer" / "run"), *arguments],
        env={**os.environ, **offline, "SAMDESK_PYTHON": sys.executable, "PYTHONPATH": "/elsewhere"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@POSIX_ONLY
def test_from_nothing_to_a_running_program_and_again(checkout: Checkout, tmp_path: Path) -> None:
    package = checkout.root / "samdesk"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text("import sys; print(sys.argv[1:])", "utf-8")
    (checkout.root / "backend.py").write_text(BACKEND, "utf-8")
    wheels = tmp_path / "wheels"
    wheels.mkdir()

    # nothing is offered: a reason, the log, and no claim that it worked
    failing = start(checkout, wheels, "info", "a b")
    told = failing.communicate()[1]
    assert failing.returncode == 1
    assert str(checkout.state / "log.txt") in told
    assert "hatchling" in told
    assert "Most likely a library is not offered here" in told
    assert environment.read_stamp(checkout.stamp) == Stamp()

    # two at once: one installs, the other waits, both run
    for name in environment.BUILD_TOOLS:
        (specifier,) = pins()[canonicalize_name(name)].specifier
        wheel(wheels, name, specifier.version)
    both = [start(checkout, wheels, "info", "a b") for _ in range(2)]
    ends = [one.communicate() for one in both]
    assert [one.returncode for one in both] == [0, 0], ends
    assert [out for out, _ in ends] == ["['info', 'a b']\n"] * 2
    assert sum("Installing the libraries: done" in err for _, err in ends) == 1
    assert all("Making .venv" not in err for _, err in ends), "what the failed run made is used"

    # a second time: silent, with nothing offered
    shutil.rmtree(wheels)
    again = start(checkout, wheels, "info", "--x", "")
    assert again.communicate() == ("['info', '--x', '']\n", "")

    # another extra is remembered
    extra = start(checkout, wheels, "--with", "dev", "--install-only")
    assert "Installing the libraries (with dev): done" in extra.communicate()[1]
    assert environment.read_stamp(checkout.stamp).extras == {"dev"}
    assert start(checkout, wheels, "info").communicate() == ("['info']\n", "")


def test_a_lost_environment_forgets_no_extra(
    checkout: Checkout, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_by_hand(checkout, "dev")
    checkout.mark.touch()
    checkout.python.unlink()
    monkeypatch.setattr(sys, "executable", shutil.which("false"))  # as if stopped on the way
    with pytest.raises(InstallError, match="could not be made"):
        environment.ensure(checkout, ("models",), reporter)
    assert environment.read_stamp(checkout.stamp) == Stamp("", frozenset({"dev"}))
    assert checkout.mark.exists()
    assert not [*checkout.state.glob("discarded-*")]
