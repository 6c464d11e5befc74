"""The attacks, made for real: none works on a sealed engine, most work on an unsealed one."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
import pytest

from deploy.engine.attack_protocol import Attempt
from deploy.engine.client import LlamaEngine
from deploy.engine.load_plan import LoadPlan
from deploy.engine.protocol import ChatMessage, Done, Generate, Sampling, SealReport, Text
from deploy.engine.seal.attacks import ATTACKS
from deploy.engine.seal.landlock import supported_abi
from deploy.engine.seal.outside import look
from deploy.engine.seal.planted import Planted
from deploy.errors import EngineFailed

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(sys.platform != "linux", reason="the battery is for Linux"),
]

REPOSITORY: Final = Path(__file__).parents[4]
ABIS: Final = (None, 6, 5, 4, 3, 1, 0)
"""As the kernel is, as older kernels were, and none at all."""
REFUSED: Final = {"EPERM", "EACCES"}
NOBODY: Final = 65534
PLAN: Final = LoadPlan(context_tokens=512, threads=2)
QUESTION: Final = Generate(
    messages=(ChatMessage("user", "What is the capital of France?"),), max_tokens=16, sampling=Sampling(temperature=0)
)


class Outcome(msgspec.Struct):
    """What a battery gave."""

    attempts: tuple[Attempt, ...]
    while_loading: tuple[Attempt, ...]
    received: tuple[str, ...]
    seal: SealReport


def battery(engine: LlamaEngine, model: Path | None = None) -> Outcome:
    """Attack an engine in both of its states; without a model it is put into the later one all the same."""
    with Planted() as planted:
        with engine.start() as session:
            while_loading = session.attack(planted.targets, while_loading=True).attempts
            seal = session.ready.seal
        if model is None:
            with engine.start() as session:
                attempts = session.attack(planted.targets).attempts
        else:
            loaded = engine.open([model], PLAN, lambda _: None)
            targets = msgspec.structs.replace(planted.targets, model_path=str(model))
            attempts = loaded.attack(targets).attempts
            list(loaded.generate(QUESTION))
            loaded.close()
        return Outcome(attempts, while_loading, planted.received(), seal)


@cache
def battery_at(abi: int | None) -> Outcome:
    """The battery against the engine as root has it, once for each kernel that is tried."""
    return battery(LlamaEngine(audit=True, landlock_abi_at_most=abi))


def opened(attempts: tuple[Attempt, ...]) -> list[str]:
    """Names of the attacks that worked."""
    return [attempt.name for attempt in attempts if attempt.open]


def not_refused(attempts: tuple[Attempt, ...]) -> list[tuple[str, str]]:
    """Attacks that failed for another reason than the seal."""
    return [(attempt.name, attempt.outcome) for attempt in attempts if attempt.outcome not in REFUSED]


NOTHING_FORGOTTEN: Final = [("use a forgotten descriptor", "ENOENT")]
"""This one looks for something that must not be there; there is nothing to refuse."""


def require_abi(abi: int | None) -> None:
    """Skip where the kernel is older than what is to be tried."""
    if abi is not None and abi > supported_abi():
        pytest.skip(f"this kernel has Landlock {supported_abi()}")


@pytest.mark.parametrize("abi", ABIS)
def test_no_attack_works_on_a_sealed_engine(abi: int | None) -> None:
    """On this kernel and on older ones, and nothing reaches the listeners."""
    require_abi(abi)
    found = battery_at(abi)
    assert len(found.attempts) == len(ATTACKS) >= 44
    assert opened(found.attempts) == []
    assert not_refused(found.attempts) == NOTHING_FORGOTTEN
    assert found.received == ()
    assert found.seal.level == ("two-stage" if abi == 0 else "full")
    assert found.seal.landlock_abi == (supported_abi() if abi is None else abi)


@pytest.mark.parametrize("abi", ABIS)
def test_while_a_model_is_read_nothing_can_be_taken_out(abi: int | None) -> None:
    """With Landlock only properties of files can be asked for; without it files can be read, and sent nowhere."""
    require_abi(abi)
    found = battery_at(abi)
    readable = {
        "read password hashes",
        "read user list",
        "read a secret",
        "read a secret through proc",
        "list a folder",
    }
    known = {"look at a file"} | (readable | {"list descriptors of a process"} if abi == 0 else set())
    assert set(opened(found.while_loading)) <= known


@pytest.mark.index
@pytest.mark.parametrize("abi", [None, 0])
def test_no_attack_works_on_an_engine_with_a_model(abi: int | None, smollm2_path: Path) -> None:
    """Loaded for real, with its threads running; it answers afterwards."""
    found = battery(LlamaEngine(audit=True, landlock_abi_at_most=abi), smollm2_path)
    assert opened(found.attempts) == []
    assert not_refused(found.attempts) == NOTHING_FORGOTTEN
    assert found.received == ()


def test_the_attacks_are_real() -> None:
    """Without the seal most of them work, and every kind of listener hears of it."""
    found = battery(LlamaEngine(audit=True, unsealed=True))
    assert len(opened(found.attempts)) >= 25
    heard = {entry.partition(":")[0] for entry in found.received}
    assert {"TCP", "UDP", "unix socket", "abstract unix socket"} <= heard
    assert found.seal.level == "none"


def test_every_attack_is_named_and_explained() -> None:
    """The report shows both, so no name is used twice and no sentence is missing."""
    names = [attack.__name__ for attack in ATTACKS]
    assert len(set(names)) == len(names)
    assert all((attack.__doc__ or "").endswith(".") for attack in ATTACKS)


def test_an_ordinary_engine_does_not_attack() -> None:
    """The request exists only in a process that was started for an audit."""
    with Planted() as planted, LlamaEngine().start() as session:
        with pytest.raises(EngineFailed, match="not started for an audit"):
            session.attack(planted.targets)
        assert planted.received() == ()


def test_the_system_confirms_the_seal() -> None:
    """Seen from outside: no privileges, a filter on every thread, limits of zero."""
    with LlamaEngine().start() as session:
        assert [finding for finding in look(session.process_id) if not finding.ok] == []
        assert session.ready.sealed
        assert session.ready.seal.seconds < 1
    with LlamaEngine(unsealed=True).start() as session:
        seen = {finding.name: finding.ok for finding in look(session.process_id)}
        assert not seen["threads under the filter"]
        assert not session.ready.sealed


@pytest.mark.index
@pytest.mark.parametrize("path", ["smollm2_path", "gemma3_path"])
def test_sealed_and_unsealed_answers_are_equal(path: str, request: pytest.FixtureRequest) -> None:
    """The seal takes away what an engine does not need: greedy answers are the same, in every form of it."""
    file: Path = request.getfixturevalue(path)
    chat = path == "smollm2_path"
    asked = QUESTION if chat else Generate(prompt="1, 2, 3, 4,", max_tokens=16, sampling=Sampling(temperature=0))
    engines = (LlamaEngine(), LlamaEngine(landlock_abi_at_most=0), LlamaEngine(unsealed=True))
    answers = set()
    for engine in engines:
        session = engine.open([file], PLAN, lambda _: None)
        events = list(session.generate(asked))
        session.close()
        assert isinstance(events[-1], Done)
        answers.add("".join(event.text for event in events if isinstance(event, Text)))
    assert len(answers) == 1
    assert answers != {""}


ORDINARY: Final = """
import sys
import msgspec
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_battery import battery
from deploy.engine.client import LlamaEngine
what = sys.argv[2]
abi = int(what) if what.isdigit() else None
found = battery(LlamaEngine(audit=True, unsealed=what == "unsealed", landlock_abi_at_most=abi))
sys.stdout.buffer.write(msgspec.json.encode(found))
"""


@pytest.fixture(scope="module")
def ordinary_python() -> Iterator[Path]:
    """An interpreter with this one's packages that a user without privileges can run."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    folder = Path(tempfile.mkdtemp(prefix="landfast-ordinary-"))
    folder.chmod(0o755)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    try:
        for base in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
            python = _for_anybody(base, folder / "venv", version)
            if python is not None:
                yield python
                return
        pytest.skip("no interpreter that another user could run")
    finally:
        shutil.rmtree(folder)


def _for_anybody(base: str, venv: Path, version: str) -> Path | None:
    """A virtual environment of this interpreter that nobody in particular can use, or None."""
    python = venv / "bin" / "python"
    made = subprocess.run([base, "-m", "venv", "--without-pip", "--clear", str(venv)], capture_output=True, check=False)
    if made.returncode:
        return None
    packages = Path(msgspec.__file__).parents[1]
    (venv / "lib" / version / "site-packages" / "shared.pth").write_text(f"{packages}\n{REPOSITORY}\n")
    try:
        tried = _as_nobody(python, "import msgspec, numpy, pytest")
    except PermissionError:
        return None
    return None if tried.returncode else python


def _as_nobody(python: Path, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    """Run a piece of Python as a user without any privileges."""
    return subprocess.run(
        [python, "-c", *arguments],
        capture_output=True,
        check=False,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        cwd="/",
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
    )


def as_nobody(python: Path, what: str) -> Outcome:
    """The battery as a user without any privileges."""
    done = _as_nobody(python, ORDINARY, str(Path(__file__).parent), what)
    assert done.returncode == 0, done.stderr.decode()
    return msgspec.json.decode(done.stdout, type=Outcome)


@pytest.mark.root
@pytest.mark.parametrize("abi", ["-", "6", "5", "4", "3", "1", "0"])
def test_no_attack_works_as_an_ordinary_user(abi: str, ordinary_python: Path) -> None:
    """The seal needs no root: the same figures for a user without privileges."""
    if abi != "-":
        require_abi(int(abi))
    found = as_nobody(ordinary_python, abi)
    assert opened(found.attempts) == []
    assert not_refused(found.attempts) == NOTHING_FORGOTTEN
    assert found.received == ()


@pytest.mark.root
def test_the_attacks_are_real_for_an_ordinary_user(ordinary_python: Path) -> None:
    """Most of them need no root either."""
    assert len(opened(as_nobody(ordinary_python, "unsealed").attempts)) >= 25
