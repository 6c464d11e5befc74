"""Where the seal cannot be had it is refused in words; nothing is applied to this process by these tests."""

import errno
import os
import sys
import threading
from pathlib import Path

import pytest

from deploy.engine.protocol import Start
from deploy.engine.seal import darwin, limits, places
from deploy.engine.seal import seal as module
from deploy.engine.seal.seal import Unsealable, seal

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="tries the Linux seal")


@pytest.fixture(autouse=True)
def _never_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Should a refusal be missing, the test fails instead of sealing the tests themselves."""

    def apply(*_: object) -> None:
        raise AssertionError("the seal would have been applied")

    monkeypatch.setattr(limits, "limit_resources", apply)
    monkeypatch.setattr(limits, "drop_privileges", apply)


def test_a_second_thread_is_refused() -> None:
    """It would stay outside Landlock."""
    over = threading.Event()
    other = threading.Thread(target=over.wait)
    other.start()
    try:
        with pytest.raises(Unsealable, match="threads run already"):
            seal(Start())
    finally:
        over.set()
        other.join()


def test_an_unknown_processor_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its calls have numbers that are not in the table."""
    monkeypatch.setattr(module, "architecture", lambda: None)
    with pytest.raises(Unsealable, match="cannot be sealed on this processor"):
        seal(Start())


def test_an_unknown_system_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows, for one; the hint says who may allow a run without it."""
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(Unsealable, match=r"not be sealed|cannot be sealed on this system yet") as caught:
        seal(Start())
    assert "administrator" in caught.value.hint


def test_a_graphics_driver_without_landlock_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It opens files while it works, so the calls cannot be forbidden."""
    monkeypatch.setattr(module, "_require_one_thread", lambda: None)
    monkeypatch.setattr(places, "gpu_backends", lambda: ("cuda",))
    with pytest.raises(Unsealable, match="needs Landlock"):
        seal(Start(gpu=True, landlock_abi_at_most=0))


def test_a_kernel_that_refuses_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As some containers do."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(module, "_require_one_thread", lambda: None)
    monkeypatch.setattr(limits, "limit_resources", refuse)
    with pytest.raises(Unsealable, match=r"the system refuses it \(Function not implemented\)"):
        seal(Start())


def test_without_the_seal_nothing_is_claimed() -> None:
    """Asked for, it is level none, with a note that results show as a warning."""
    report = seal(Start(unsealed=True)).report
    assert report.level == "none"
    assert report.notes


def test_the_engine_sees_no_folder_of_a_person() -> None:
    """Its own package yes; neither the root of a checkout, nor a home, nor everything."""
    folders = {Path(folder) for folder in places.code_folders()}
    package = Path(places.__file__).parents[2]
    assert package in folders
    assert not {Path("/"), Path("/etc"), Path("/tmp"), Path.home(), Path.cwd()} & folders  # noqa: S108 - not used
    if package.parent.name not in {"site-packages", "dist-packages"}:
        assert package.parent not in folders


def test_graphics_backends_are_known_by_their_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """A build for the processor alone has none."""
    monkeypatch.setattr(places, "engine_libraries", lambda: (Path("libggml-cpu.so.0"), Path("libggml-base.so")))
    assert places.gpu_backends() == ()
    monkeypatch.setattr(places, "engine_libraries", lambda: (Path("libggml-cuda.so.0.25"), Path("libggml-cpu.so")))
    assert places.gpu_backends() == ("cuda",)


def test_a_path_cannot_write_rules_of_a_profile(tmp_path: Path) -> None:
    """A name with quotes stays a name in the macOS profile."""
    name = str(tmp_path / 'a") (allow network*) ("b\\c.gguf')
    rules = darwin.profile([name], ["/opt/code"], gpu=False)
    assert rules.startswith("(version 1)\n(deny default)\n")
    assert '\\") (allow network*) (\\"b\\\\c.gguf"))' in rules
    assert "iokit" not in rules
    assert "iokit" in darwin.profile([], [], gpu=True)
