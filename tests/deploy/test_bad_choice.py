"""Bad input to the choice of a model, at the command line: catalogue, policy, header and machine that are not right."""

import struct
from pathlib import Path
from typing import Final

import msgspec

from deploy.catalog import loader
from deploy.errors import ExitCode
from profiles.machine import Machine
from profiles.simulated import load_machine
from scripts.build_catalog import serialise
from tests.support.cli import Landfast, refused
from tests.support.world import TINY

BLOCKS: Final = b"llama.block_count"


def test_a_damaged_catalogue_is_never_half_read(landfast: Landfast) -> None:
    """Every command that chooses stops, and says how to go on."""
    file = landfast.home / "data" / "catalog.json"
    file.parent.mkdir(parents=True)
    file.write_bytes(serialise(loader.load()).replace(b"Apache-2.0", b"Apache-3.0", 1))
    for words in (("select", "--offline"), ("plan", "qwen3-8b"), ("install", "qwen3-8b")):
        told = refused(landfast(*words), ExitCode.INTEGRITY)
        assert "damaged" in told
        assert "landfast catalog update FILE" in told


def test_a_broken_policy_stops_every_command_at_its_line(landfast: Landfast, tmp_path: Path) -> None:
    """Nothing is chosen, planned, listed or run under rules that are not understood."""
    file = tmp_path / "policy.toml"
    file.write_text('[deny]\ncountry = ["XX"]\nlicense = ["MIT"]\n')
    for words in (("select",), ("plan", "qwen3-8b"), ("install",), ("run", "Hello"), ("models",), ("catalog",)):
        told = refused(landfast("--policy", str(file), *words), ExitCode.POLICY)
        assert "policy.toml, line 3" in told
        assert "license" in told


def test_a_header_that_lies_is_not_shown_to_the_engine(landfast: Landfast, tmp_path: Path) -> None:
    """Three million layers, or more tensors than bytes: refused with what it claims."""
    layers, tensors = tmp_path / "layers.gguf", tmp_path / "tensors.gguf"
    place = TINY.index(BLOCKS) + len(BLOCKS) + 4
    layers.write_bytes(TINY[:place] + struct.pack("<I", 3_000_000) + TINY[place + 4 :])
    tensors.write_bytes(TINY[:8] + struct.pack("<Q", 1 << 62) + TINY[16:])
    for file, claim in ((layers, "3,000,000"), (tensors, f"{1 << 62:,}")):
        assert claim in refused(landfast("plan", str(file)), ExitCode.INVALID_MODEL)


def test_a_machine_of_512_mb_is_told_what_would_help(landfast: Landfast, tmp_path: Path) -> None:
    """Nothing fits with the defaults; the shorter context that is advised is enough."""
    file = tmp_path / "small.json"
    file.write_bytes(msgspec.json.encode(small(512 * 10**6)))
    done = landfast("select", "--machine", str(file))
    assert done.returncode == ExitCode.NOTHING_FITS
    assert "It fits with --context 4096" in done.stdout
    assert "shorter --context" in done.stderr
    assert (
        landfast("select", "--machine", str(file), "--context", "2048", "--min-speed", "1").returncode == ExitCode.DONE
    )


def small(total_bytes: int) -> Machine:
    """A single-board computer with less memory."""
    board = load_machine("raspberry-pi-5-8gb")
    total = msgspec.structs.replace(board.memory.total_bytes, value=total_bytes)
    available = msgspec.structs.replace(board.memory.available_bytes, value=total_bytes * 4 // 5)
    memory = msgspec.structs.replace(board.memory, total_bytes=total, available_bytes=available)
    return msgspec.structs.replace(board, memory=memory)


def test_models_without_benchmarks_are_ranked_and_called_unknown(landfast: Landfast, tmp_path: Path) -> None:
    """No figure is invented where the catalogue has none."""
    shipped = loader.load()
    bare = tuple(msgspec.structs.replace(model, scores=(), merits=()) for model in shipped.models[:20])
    file = tmp_path / "bare.json"
    file.write_bytes(serialise(msgspec.structs.replace(shipped, dated="2999-01-01", models=bare)))
    assert landfast("catalog", "update", str(file)).returncode == ExitCode.DONE
    done = landfast("select", "--machine", "laptop-32gb-ryzen-ai-9")
    assert done.returncode == ExitCode.DONE
    assert "quality unknown: the catalogue gives no composite of benchmarks for it" in " ".join(done.stdout.split())
