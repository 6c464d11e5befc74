"""The whole way of a bundle by the command line, as docs/air-gapped.md tells it, and with no network at all."""

import os
import re
import shutil
from pathlib import Path
from typing import Final

import pytest

from tests.support.cli import ROOT, Landfast, refused
from tests.support.gguf import tiny_model

pytestmark = pytest.mark.usefixtures("unmeasured_children")

GUIDE: Final = ROOT / "docs" / "air-gapped.md"
NO_NETWORK: Final = ("unshare", "--net")
MODEL: Final = "own"


@pytest.fixture
def connected(tmp_path: Path) -> Landfast:
    """A host with one model, a file of its own."""
    here = Landfast(tmp_path / "connected")
    (tmp_path / "own.gguf").write_bytes(tiny_model().build())
    assert here("install", str(tmp_path / "own.gguf")).returncode == 0
    return here


@pytest.fixture
def closed(tmp_path: Path) -> Landfast:
    """A host that has nothing yet."""
    return Landfast(tmp_path / "closed")


def test_the_guides_commands_work_in_their_order(tmp_path: Path, connected: Landfast, closed: Landfast) -> None:
    """Every `landfast` line of the guide is run, on the host under whose heading it stands."""
    hosts = {"connected": connected, "closed": closed}
    host = connected
    ran: list[str] = []
    shutil.copytree(tmp_path / "connected", tmp_path / "before")
    for line in GUIDE.read_text().splitlines():
        if heading := re.match(r"#+ .*\b(connected|closed) host", line):
            host = hosts[heading[1]]
        if not line.startswith("landfast "):
            continue
        command, _, target = line.partition("#")[0].partition(">")
        words = [_meant(word, tmp_path) for word in command.split()[1:]]
        if words[0] == "run" or "--wheels" in words:  # need the engine, and a package index
            continue
        done = host(*words, *(("--yes",) if words[:2] in (["keys", "trust"], ["models", "gc"]) else ()))
        assert done.returncode == 0, (line, done.stderr)
        if target:
            Path(_meant(target.strip(), tmp_path)).write_text(done.stdout)
        ran.append(" ".join(words[:2]))
    assert {"bundle create", "bundle inspect", "keys export", "keys trust", "models verify", "models gc"} <= set(ran)
    assert [word for word in ran if word.startswith("install")]
    assert MODEL in closed("models").stdout
    assert "trusted already" in closed("keys", "trust", str(tmp_path / "stick" / "maker.pub"), "--yes").stderr


def _meant(word: str, tmp_path: Path) -> str:
    """The guide's placeholders as they are here."""
    told = "/media/stick"
    if word == told or word.startswith(told + "/"):
        return str(tmp_path / "stick") + word.removeprefix(told)
    return MODEL if word == "MODEL" else word


def test_the_results_of_bundles_and_keys_fit_their_schemas(
    tmp_path: Path, connected: Landfast, closed: Landfast
) -> None:
    """For programs: creating, looking, trusting, installing, collecting and adopting."""
    stick = str(tmp_path / "stick")
    made = connected.json("bundle", "create", stick, schema="bundle-create")
    assert made["data"]["models"] == ["own:Q4_0"]
    seen = closed.json("bundle", "inspect", "--verify", stick, schema="bundle-inspect")
    assert (seen["data"]["trusted"], seen["data"]["made_by"]) == (False, made["data"]["key"])
    assert closed.json("install", "--from", stick, schema="error")["exit_code"] == 4
    key = f"{stick}/landfast-bundle.pub"
    assert closed.json("keys", "trust", key, "--yes", schema="keys-trust")["changed"]
    assert closed.json("keys", "list", schema="keys-list")["data"]["trusted"][0]["fingerprint"] == made["data"]["key"]
    assert connected.json("keys", "export", schema="keys-export")["data"]["fingerprint"] == made["data"]["key"]
    assert closed.json("install", "--from", stick, schema="install")["changed"]
    assert closed.json("models", "gc", schema="models-gc")["data"]["rubbish"] == []
    assert closed.json("models", "adopt", str(tmp_path), schema="models-adopt")["data"]["found"] == []
    assert closed.json("models", "verify", "--repair", schema="models-verify")["exit_code"] == 0


@pytest.mark.parametrize(
    ("words", "exit_code"),
    [
        (("bundle", "create", "OUT", "--part-size", "big"), 2),
        (("bundle", "create", "OUT", "--part-size", "10"), 2),
        (("bundle", "create", "OUT", "nothing"), 9),
        (("bundle", "inspect", "OUT"), 9),
        (("keys", "trust", "OUT", "--yes"), 9),
        (("install", "x", "--from", "OUT", "--max-rate", "fast"), 2),
    ],
)
def test_what_cannot_be_done_is_one_sentence(closed: Landfast, words: tuple[str, ...], exit_code: int) -> None:
    """Cause and cure on standard error, nothing on standard output."""
    assert "\n  " in refused(closed(*words), exit_code)


def test_rubbish_is_shown_before_it_is_deleted(connected: Landfast) -> None:
    """Without a terminal and without --yes nothing goes."""
    stray = connected.home / "data" / "store" / "blobs" / "sha256" / ("0" * 64)
    stray.write_bytes(b"stray")
    asked = connected("models", "gc")
    assert asked.returncode == 2
    assert "no model uses" in asked.stdout
    assert stray.exists()
    assert connected("models", "gc", "--yes").returncode == 0
    assert not stray.exists()


@pytest.mark.root
@pytest.mark.engine
@pytest.mark.index
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_with_no_network_and_no_compiler_a_model_comes_from_a_bundle_and_answers(
    tmp_path: Path, smollm2_path: Path
) -> None:
    """In an empty network namespace: trust, install, select, verify, run."""
    connected = Landfast(tmp_path / "connected")
    assert connected("install", "smollm2-135m-instruct", "--from", str(smollm2_path)).returncode == 0
    stick = str(tmp_path / "stick")
    assert connected("bundle", "create", stick, "--part-size", "30MB").returncode == 0
    bare = tmp_path / "bin"
    bare.mkdir()
    unshare = shutil.which("unshare")
    assert unshare is not None
    closed = Landfast(tmp_path / "closed", {"PATH": str(bare)}, (unshare, *NO_NETWORK[1:]))
    assert closed("keys", "trust", f"{stick}/landfast-bundle.pub", "--yes").returncode == 0
    installed = closed("install", "--from", stick)
    assert installed.returncode == 0, installed.stderr
    assert "from the bundle" in installed.stdout
    assert "smollm2" in closed("select", "--offline").stdout.lower()
    assert closed("models", "verify").returncode == 0
    answer = closed("run", "Say hello.", "--max-tokens", "8", "--seed", "1")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip()
