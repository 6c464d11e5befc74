"""The hub source, against a hub on loopback."""

import os
import random
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from deploy.catalog.model import Artifact
from deploy.errors import IntegrityError, LandfastError, NotFound, Unreachable
from deploy.sources.base import NoOffer, Offer
from deploy.sources.hub import Hub
from tests.deploy.sources.kit import HubWorld, Listener, artifact_of, hubbed, set_proxy

LARGE = random.Random(7).randbytes(24 << 20)  # noqa: S311 - bytes for a test
"""More than two of the blocks of 10 MiB in which the hub's client writes."""


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's client sleeps a second before each new try."""
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)


def test_files_arrive_in_their_order(hub_world: HubWorld, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A model in two files comes out in the catalogue's order, with progress over both and no talk."""
    artifact = hubbed(hub_world, {"q4/b-00001.gguf": b"first", "q4/a-00002.gguf": b"second"})
    listener = Listener()
    paths = Hub(hub_world.environment()).fetch(artifact, tmp_path, listener)
    assert [path.name for path in paths] == ["b-00001.gguf", "a-00002.gguf"]
    assert [path.read_bytes() for path in paths] == [b"first", b"second"]
    assert listener.heard[-1].done_bytes == listener.heard[-1].total_bytes == len(b"firstsecond")
    assert capfd.readouterr() == ("", "")


def test_a_server_gone_in_mid_transfer_is_unreachable_and_the_rest_comes_later(
    hub_world: HubWorld, tmp_path: Path
) -> None:
    """What came is kept, and the next call asks for the missing bytes alone."""
    artifact = hubbed(hub_world, {"m.gguf": LARGE})
    hub_world.cut_after = 21 << 20
    with pytest.raises(Unreachable):
        Hub(hub_world.environment()).fetch(artifact, tmp_path, Listener())
    (part,) = tmp_path.rglob("m.gguf")
    kept = part.stat().st_size
    assert kept == 20 << 20
    hub_world.cut_after = None
    hub_world.asked.clear()
    listener = Listener()
    (path,) = Hub(hub_world.environment()).fetch(artifact, tmp_path, listener)
    assert path.read_bytes() == LARGE
    assert hub_world.ranges() == [f"bytes={kept}-"]
    assert listener.heard[0].done_bytes == kept


def test_ctrl_c_passes_through_and_loses_no_finished_block(hub_world: HubWorld, tmp_path: Path) -> None:
    """An interrupt in the middle leaves a beginning that the next call goes on from."""
    artifact = hubbed(hub_world, {"m.gguf": LARGE})
    with pytest.raises(KeyboardInterrupt):
        Hub(hub_world.environment()).fetch(artifact, tmp_path, Listener(lambda progress: progress.done_bytes > 0))
    hub_world.asked.clear()
    (path,) = Hub(hub_world.environment()).fetch(artifact, tmp_path, Listener())
    assert path.read_bytes() == LARGE
    assert hub_world.ranges() == ["bytes=10485760-"]


def test_a_finished_file_is_not_transferred_again(hub_world: HubWorld, tmp_path: Path) -> None:
    """A second call asks for the version and nothing else."""
    artifact = hubbed(hub_world, {"m.gguf": b"GGUF"})
    Hub(hub_world.environment()).fetch(artifact, tmp_path, Listener())
    hub_world.asked.clear()
    Hub(hub_world.environment()).fetch(artifact, tmp_path, Listener())
    assert hub_world.ranges() == []


def test_bytes_of_another_version_are_never_built_on(hub_world: HubWorld, tmp_path: Path) -> None:
    """When an unpinned file is replaced between two calls, the new one is fetched from its beginning."""
    artifact = unpinned(hubbed(hub_world, {"m.gguf": LARGE}))
    hub_world.cut_after = 15 << 20
    with pytest.raises(Unreachable):
        Hub(hub_world.environment()).fetch(artifact, tmp_path, Listener())
    hub_world.cut_after = None
    new = bytes(reversed(LARGE))
    hubbed(hub_world, {"m.gguf": new})
    hub_world.asked.clear()
    (path,) = Hub(hub_world.environment()).fetch(artifact, tmp_path, Listener())
    assert path.read_bytes() == new
    assert hub_world.ranges() == [None]


@pytest.mark.parametrize("body", [b"GGUF but other", b"GGUX"])
def test_a_replaced_file_is_refused_before_the_download(hub_world: HubWorld, tmp_path: Path, body: bytes) -> None:
    """Where the hub's own version mark or size contradicts the pin, no byte is transferred."""
    artifact = hubbed(hub_world, {"m.gguf": b"GGUF"})
    hubbed(hub_world, {"m.gguf": body})
    with pytest.raises(IntegrityError, match="another file"):
        Hub(hub_world.environment()).fetch(artifact, tmp_path, Listener())
    assert hub_world.ranges() == []


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (404, "EntryNotFound", NotFound),
        (404, "RevisionNotFound", NotFound),
        (404, "", NotFound),
        (401, "RepoNotFound", NotFound),
        (403, "GatedRepo", Unreachable),
        (401, "GatedRepo", Unreachable),
        (403, "", Unreachable),
        (500, "", Unreachable),
        (429, "", Unreachable),
    ],
)
def test_a_refusal_becomes_the_right_error(
    hub_world: HubWorld, tmp_path: Path, status: int, code: str, error: type[LandfastError]
) -> None:
    """What the hub says is turned into an error with a cure; where a token may help the hint says so."""
    artifact = hubbed(hub_world, {"m.gguf": b"GGUF"})
    hub_world.status, hub_world.error_code = status, code
    with pytest.raises(error) as caught:
        Hub(hub_world.environment()).fetch(artifact, tmp_path, Listener())
    assert type(caught.value) is error
    assert ("HF_TOKEN" in caught.value.hint) is (status in {401, 403, 404})
    assert "\n" not in caught.value.message


def test_an_empty_port_is_unreachable(hub_world: HubWorld, tmp_path: Path) -> None:
    """Nobody listening gives Unreachable with the cause, from fetch and from reach."""
    artifact = hubbed(hub_world, {"m.gguf": b"GGUF"})
    dead = Hub(hub_world.environment(HF_ENDPOINT="http://127.0.0.1:9"))
    with pytest.raises(Unreachable, match="refused"):
        dead.fetch(artifact, tmp_path, Listener())
    assert not dead.reach(5).reachable


def test_a_name_that_does_not_resolve_is_unreachable(hub_world: HubWorld, tmp_path: Path) -> None:
    """A machine without a network gets an answer, and not a long wait."""
    artifact = hubbed(hub_world, {"m.gguf": b"GGUF"})
    with pytest.raises(Unreachable):
        Hub(hub_world.environment(HF_ENDPOINT="https://hub.invalid")).fetch(artifact, tmp_path, Listener())


def test_a_file_too_large_for_one_transfer_is_refused_with_a_cure(
    hub_world: HubWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub's client transfers nothing beyond a limit; it is said before anything comes."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "MAX_HTTP_DOWNLOAD_SIZE", 3)
    artifact = hubbed(hub_world, {"m.gguf": b"GGUF"})
    with pytest.raises(Unreachable, match="larger than"):
        Hub(hub_world.environment()).fetch(artifact, tmp_path, Listener())


def test_a_mirror_gets_only_a_token_that_was_set_for_it(hub_world: HubWorld, tmp_path: Path) -> None:
    """A saved token stays at home; HF_TOKEN is sent with every request."""
    artifact = hubbed(hub_world, {"m.gguf": b"GGUF"})
    Hub(hub_world.environment()).fetch(artifact, tmp_path / "a", Listener())
    assert {authorization for *_, authorization in hub_world.asked} == {None}
    hub_world.asked.clear()
    Hub(hub_world.environment(HF_TOKEN="hf_secret")).fetch(artifact, tmp_path / "b", Listener())  # noqa: S106 - no real one
    assert {authorization for *_, authorization in hub_world.asked} == {"Bearer hf_secret"}


def test_the_saved_token_is_for_the_hub_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a mirror the token that the user saved is used, and the client's own endpoint."""
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "saved")
    assert Hub({})._token() == "saved"
    assert Hub({})._place.startswith("hub at https://")


def test_a_server_that_is_no_hub_is_told(hub_world: HubWorld, tmp_path: Path) -> None:
    """A web server that has such a file but gives no version of it is not believed to be a hub."""
    artifact = hubbed(hub_world, {"m.gguf": b"GGUF"})
    hub_world.bare = True
    with pytest.raises(Unreachable, match="not a model hub"):
        Hub(hub_world.environment()).fetch(artifact, tmp_path, Listener())


def test_a_proxy_that_cannot_be_used_is_named(
    hub_world: HubWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub's client is made at its first use, and takes the proxy that is set then."""
    from huggingface_hub import close_session

    artifact = hubbed(hub_world, {"m.gguf": b"GGUF"})
    set_proxy(monkeypatch, "socks5://127.0.0.1:9")
    close_session()
    with pytest.raises(Unreachable, match="SOCKS proxy"):
        Hub(hub_world.environment()).fetch(artifact, tmp_path, Listener())


def test_no_error_repeats_a_password_in_the_endpoint(hub_world: HubWorld, tmp_path: Path) -> None:
    """Errors are shown, logged and pasted into reports: a file that is not there, and a server that is no hub."""
    artifact = hubbed(hub_world, {"m.gguf": b"GGUF"})
    source = Hub(hub_world.environment(HF_ENDPOINT=hub_world.url.replace("http://", "http://me:pw@")))
    for hub_world.status, hub_world.bare in ((404, False), (None, True)):
        with pytest.raises(LandfastError) as caught:
            source.fetch(artifact, tmp_path, Listener())
        assert f"hub at {hub_world.url}" in caught.value.message
        assert "pw" not in caught.value.message + caught.value.hint


def test_a_beginning_that_is_too_long_is_dropped(hub_world: HubWorld, tmp_path: Path) -> None:
    """Bytes beyond the file's size cannot be its beginning."""
    artifact = hubbed(hub_world, {"m.gguf": b"GGUF"})
    (path,) = Hub(hub_world.environment()).fetch(artifact, tmp_path, Listener())
    path.write_bytes(b"GGUF and more")
    Hub(hub_world.environment()).fetch(artifact, tmp_path, Listener())
    assert path.read_bytes() == b"GGUF"


def test_reach_and_offer_name_the_place(hub_world: HubWorld) -> None:
    """The endpoint is part of the name, a password in it is not, and HF_HUB_OFFLINE closes the hub."""
    artifact = hubbed(hub_world, {"m.gguf": b"GGUF"})
    endpoint = hub_world.url.replace("http://", "http://me:pw@")
    source = Hub({"HF_ENDPOINT": endpoint})
    assert source.reach(5).reachable
    assert source.offer(artifact) == Offer(source=f"hub at {hub_world.url}")
    assert not Hub(hub_world.environment(HF_HUB_OFFLINE="1")).reach(5).reachable
    assert isinstance(source.offer(artifact_of({"m.gguf": b"GGUF"})), NoOffer)
    with pytest.raises(NotFound):
        source.fetch(artifact_of({"m.gguf": b"GGUF"}), Path("unused"), Listener())


def test_nothing_is_kept_outside_the_staging_folder(hub_world: HubWorld, tmp_path: Path) -> None:
    """In a fresh process and home, a download leaves no cache and no registry behind, and asks no more than it must."""
    hubbed(hub_world, {"m.gguf": b"GGUF"})
    home = tmp_path / "home"
    home.mkdir()
    program = (
        "import os, sys; from pathlib import Path; from deploy.sources.hub import Hub; import msgspec;"
        "from deploy.catalog.model import Artifact; artifact = msgspec.json.decode(sys.argv[1], type=Artifact);"
        "Hub(os.environ).fetch(artifact, Path(sys.argv[2]), lambda progress: None)"
    )
    artifact = msgspec.json.encode(hubbed(hub_world, {"m.gguf": b"GGUF"})).decode()
    environment = hub_world.environment(HOME=str(home), PYTHONPATH=os.pathsep.join(sys.path))
    environment = {name: value for name, value in environment.items() if not name.startswith("XDG_")}
    subprocess.run([sys.executable, "-c", program, artifact, str(tmp_path / "staging")], env=environment, check=True)
    assert list(home.rglob("*")) == []
    assert len(hub_world.asked) == 2


def unpinned(artifact: Artifact) -> Artifact:
    """The same artifact, of which the catalogue knows no hash and only a rounded size."""
    files = tuple(msgspec.structs.replace(file, sha256=None, size_exact=False) for file in artifact.files)
    return msgspec.structs.replace(artifact, files=files)
