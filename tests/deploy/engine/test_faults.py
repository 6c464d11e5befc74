"""The engine process fails in every way it can: the parent lives, says what happened, and the next request works."""

import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Final, Literal

import psutil
import pytest

from deploy.engine.client import LlamaEngine, LlamaSession
from deploy.engine.files import HeldFiles
from deploy.engine.load_plan import LoadPlan
from deploy.engine.protocol import Done, Generate, Load, Reading, Sampling, Text
from deploy.errors import EngineFailed, IntegrityError
from tests.support.gguf import split_model, text, tiny_model

pytestmark = [
    pytest.mark.engine,
    pytest.mark.index,
    pytest.mark.skipif(sys.platform != "linux", reason="uses signals and limits of Linux"),
]

PLAN: Final = LoadPlan(context_tokens=512, threads=2)
COUNT: Final = Generate(prompt="1, 2, 3, 4,", max_tokens=8, sampling=Sampling(temperature=0))
LONG: Final = Generate(prompt="Once upon a time", max_tokens=300)


def unheard(fraction: float) -> None:
    """Nobody watches."""


def works(model: Path) -> bool:
    """Whether a new request to a new process is answered."""
    session = LlamaEngine().open([model], PLAN, unheard)
    try:
        return isinstance(list(session.generate(COUNT))[-1], Done)
    finally:
        session.close()


def fails(session: LlamaSession, request: Generate, what: str) -> None:
    """Expect this sentence, and that nothing is left of the process."""
    with pytest.raises(EngineFailed, match=what) as caught:
        list(session.generate(request))
    assert caught.value.hint
    assert session.ended
    session.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV])
def test_a_signal_is_told_by_its_name(smollm2_path: Path, number: signal.Signals) -> None:
    """Killed, aborted, crashed in native code: one sentence each."""
    session = LlamaEngine().open([smollm2_path], PLAN, unheard)
    events = session.generate(LONG)
    next(event for event in events if isinstance(event, Text))
    os.kill(session.process_id, number)
    with pytest.raises(EngineFailed, match=number.name):
        list(events)
    assert session.ended
    session.close()
    assert works(smollm2_path)


def test_an_assertion_of_the_engine_is_told_in_its_words(smollm2_path: Path, tmp_path: Path) -> None:
    """A header that the engine aborts on: the abort is told as such, and leaves no core file."""
    hostile = tmp_path / "hostile.gguf"
    data = bytearray(smollm2_path.read_bytes())
    key = b"llama.block_count"
    at = data.index(key) + len(key)
    assert struct.unpack_from("<II", data, at)[0] == 4
    struct.pack_into("<I", data, at + 4, 513)
    hostile.write_bytes(data)
    with pytest.raises(EngineFailed, match=r"SIGABRT.*GGML_ASSERT"):
        LlamaEngine().open([hostile], PLAN, unheard)
    assert not list(tmp_path.glob("core*"))
    assert works(smollm2_path)


def test_a_file_that_is_cut_off_in_use_is_told(smollm2_path: Path, tmp_path: Path) -> None:
    """The mapped weights are gone: that is SIGBUS, with its cause in words."""
    copy = tmp_path / "model.gguf"
    shutil.copyfile(smollm2_path, copy)
    session = LlamaEngine().open([copy], PLAN, unheard)
    os.truncate(copy, 4096)
    fails(session, LONG, r"SIGBUS .*: its file became shorter")
    assert works(smollm2_path)


@pytest.mark.parametrize("load_mode", ["read", "mmap"])
def test_too_little_memory_is_a_refusal(smollm2_path: Path, load_mode: Literal["read", "mmap"]) -> None:
    """The limit of a plan holds: the engine cannot take more, says so, and disturbs nobody."""
    plan = LoadPlan(
        context_tokens=8192,
        threads=2,
        load_mode=load_mode,
        data_limit_bytes=120_000_000,
    )
    with pytest.raises(EngineFailed):
        LlamaEngine().open([smollm2_path], plan, unheard)
    assert works(smollm2_path)


def test_a_process_that_does_nothing_is_ended(smollm2_path: Path) -> None:
    """It is alive, uses no processor time and answers nothing: after the limit it is taken away."""
    session = LlamaEngine(hang_limit_s=1.0).open([smollm2_path], PLAN, unheard)
    os.kill(session.process_id, signal.SIGSTOP)
    started = time.monotonic()
    fails(session, COUNT, r"did nothing for 1 s while it answered")
    assert time.monotonic() - started < 10
    assert works(smollm2_path)


def test_a_process_that_does_not_read_is_ended(smollm2_path: Path) -> None:
    """A prompt larger than all buffers, and nobody who takes it: sending does not wait for ever."""
    session = LlamaEngine(hang_limit_s=1.0).open([smollm2_path], PLAN, unheard)
    os.kill(session.process_id, signal.SIGSTOP)
    fails(session, Generate(prompt="word " * 1_000_000), "did nothing for 1 s")


def test_long_work_is_no_hang(smollm2_path: Path) -> None:
    """One step of many seconds: no event comes, but processor time is used, so it is waited for."""
    plan = LoadPlan(context_tokens=2048, batch_tokens=2048, threads=1)
    session = LlamaEngine(hang_limit_s=0.5).open([smollm2_path], plan, unheard)
    started = time.monotonic()
    events = list(session.generate(Generate(prompt="word " * 1000, max_tokens=1)))
    session.close()
    assert isinstance(events[-1], Done)
    assert sum(isinstance(event, Reading) for event in events) == 2
    assert time.monotonic() - started > 0.5


PARENT: Final = """
import sys, time
from pathlib import Path
from deploy.engine.client import LlamaEngine
from deploy.engine.protocol import Generate, LoadPlan
session = LlamaEngine().open([Path(sys.argv[1])], LoadPlan(context_tokens=8192, threads=2), lambda _: None)
events = session.generate(Generate(prompt="word " * 6000))
next(events)
print(session.process_id, flush=True)
time.sleep(60)
"""


def test_the_engine_goes_within_a_second_of_its_parent(smollm2_path: Path) -> None:
    """Also while it computes. The best of three, since a busy machine may be late to notice."""
    assert min(_seconds_to_go(smollm2_path) for _ in range(3)) < 1.0


def _seconds_to_go(model: Path, code: str = PARENT) -> float:
    with subprocess.Popen([sys.executable, "-c", code, str(model)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = psutil.Process(int(parent.stdout.readline()))
        _wait_until_it_computes(worker)
        parent.kill()
        started = time.monotonic()
        while not _is_gone(worker) and time.monotonic() - started < 30:
            time.sleep(0.005)
        return time.monotonic() - started


IN_A_TEMPLATE: Final = """
import sys
from pathlib import Path
from deploy.engine.client import LlamaEngine
from deploy.engine.protocol import ChatMessage, Generate, LoadPlan
session = LlamaEngine().open([Path(sys.argv[1])], LoadPlan(context_tokens=256), lambda _: None)
print(session.process_id, flush=True)
list(session.generate(Generate(messages=(ChatMessage("user", "a"),))))
"""


def test_the_engine_goes_with_its_parent_also_while_a_template_lets_nothing_else_in(tmp_path: Path) -> None:
    """A power with millions of digits is one step of the interpreter: no other thread of the process gets a turn."""
    file = tiny_model()
    file.settings["tokenizer.chat_template"] = text("{{ (messages|length + 8)**((messages|length + 8)**9) }}")
    assert _seconds_to_go(file.write(tmp_path / "model.gguf"), IN_A_TEMPLATE) < 4.0  # before its own limits end it


def _wait_until_it_computes(worker: psutil.Process) -> None:
    """Half a second of processor time from now on."""
    before = worker.cpu_times().user
    while worker.cpu_times().user < before + 0.5:
        time.sleep(0.01)


def _is_gone(process: psutil.Process) -> bool:
    """Ended; whoever inherited it may collect it later."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_a_file_that_changes_while_it_loads_is_refused(tmp_path: Path) -> None:
    """Size, time and place of what was opened are compared afterwards."""
    path = tmp_path / "model.gguf"
    path.write_bytes(b"one")
    with HeldFiles([path]) as held:
        held.require_unchanged()
        path.write_bytes(b"other")
        with pytest.raises(IntegrityError, match="changed while it was being loaded"):
            held.require_unchanged()


def test_the_file_that_was_opened_is_the_one_that_is_loaded(smollm2_path: Path, tmp_path: Path) -> None:
    """Another file under the same name comes too late: the engine reads by descriptor."""
    path = tmp_path / "model.gguf"
    shutil.copyfile(smollm2_path, path)
    with HeldFiles([path]) as held:
        other = tmp_path / "other"
        other.write_bytes(b"nonsense")
        other.replace(path)
        held.require_unchanged()
        session = LlamaSession(LlamaEngine()._start(held, PLAN), held)
        session.load(Load(paths=held.names, plan=PLAN), unheard)
        held.require_unchanged()
        assert isinstance(list(session.generate(COUNT))[-1], Done)
        session.close()


def test_a_model_in_many_parts_is_loaded(tmp_path: Path) -> None:
    """All of them are open at once, and each a second time by the engine: the limit on open files allows that."""
    paths = [part.write(tmp_path / f"part-{number:03d}") for number, part in enumerate(split_model(80))]
    session = LlamaEngine().open(paths, LoadPlan(context_tokens=256), unheard)
    assert isinstance(list(session.generate(Generate(prompt="a b", max_tokens=2)))[-1], Done)
    session.close()


LARGE_STACKS: Final = """
import resource, sys
from pathlib import Path
from deploy.engine.client import LlamaEngine
from deploy.engine.protocol import Generate, LoadPlan
resource.setrlimit(resource.RLIMIT_STACK, (4 << 30, resource.getrlimit(resource.RLIMIT_STACK)[1]))
plan = LoadPlan(context_tokens=256, threads=2, data_limit_bytes=1 << 30)
session = LlamaEngine().open([Path(sys.argv[1])], plan, lambda _: None)
print(len(list(session.generate(Generate(prompt="a b", max_tokens=2)))))
session.close()
"""


def test_the_users_settings_for_threads_do_not_stop_the_engine(tmp_path: Path) -> None:
    """Computing centres ask for large stacks, and for threads bound to cores: the seal has no room for either."""
    if resource.getrlimit(resource.RLIMIT_STACK)[1] != resource.RLIM_INFINITY:
        pytest.skip("larger stacks are forbidden here")
    path = tiny_model().write(tmp_path / "model.gguf")
    asked = {"OMP_PROC_BIND": "true", "OMP_PLACES": "cores", "OMP_STACKSIZE": "4G"}
    command = [sys.executable, "-c", LARGE_STACKS, str(path)]
    done = subprocess.run(command, env=os.environ | asked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_file_that_root_reads_by_privilege_alone_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sealed engine has none: it would fail to open the file, and blame the model."""
    path = tiny_model().write(tmp_path / "model.gguf")
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "getgroups", list)
    monkeypatch.setattr(os, "getegid", lambda: 0)
    path.chmod(0o640)
    with pytest.raises(EngineFailed, match=r"model\.gguf is closed to all but another user") as caught:
        LlamaEngine().open([path], PLAN, unheard)
    assert "chmod" in caught.value.hint
    path.chmod(0o644)
    LlamaEngine().open([path], LoadPlan(context_tokens=256), unheard).close()


def test_the_engines_parent_is_known_to_windows_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command imports it, and names of signals are not the same everywhere; a start is refused in words."""
    forget = "import signal; del signal.SIGKILL, signal.SIGBUS, signal.SIGXCPU; import deploy.engine.client"
    assert subprocess.run([sys.executable, "-c", forget], check=False).returncode == 0
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(EngineFailed, match="Windows") as caught:
        LlamaSession()
    assert "WSL" in caught.value.hint


def test_refusals_name_the_file_that_the_user_knows(tmp_path: Path) -> None:
    """Inside, files have numbers; outside, nobody should see one."""
    path = tmp_path / "bad.gguf"
    path.write_bytes(b"GGUF nonsense")
    with pytest.raises(EngineFailed) as caught:
        LlamaEngine().open([path], PLAN, unheard)
    assert "/proc/self/fd" not in caught.value.message
