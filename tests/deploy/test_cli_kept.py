"""`--keep`, `--resume`, `landfast sessions` and `landfast adapters` as a user has them, with a real model."""

from pathlib import Path
from typing import Final

import pytest

from tests.support.cli import Landfast, refused
from tests.support.gguf import TensorSpec, adapter_file

BRIEF: Final = ("--temperature", "0", "--max-tokens", "8", "--context", "512")
GOES_ON: Final = BRIEF[:4]


@pytest.mark.engine
@pytest.mark.index
def test_a_session_is_kept_resumed_grown_and_removed(own_copy: Landfast) -> None:
    """By run, then by chat; a damaged one is refused, and the list shows it all."""
    first = own_copy.json("run", *BRIEF, "--keep", "sea", "Why is the sea salty?", schema="run")
    assert first["data"]["kept"]["name"] == "sea"
    assert first["changed"]
    second = own_copy.json("run", *GOES_ON, "--resume", "sea", "And the lakes?", schema="run")
    assert second["data"]["resumed"] == {"name": "sea", "tokens": first["data"]["kept"]["tokens"], "why_not": ""}
    assert second["data"]["stats"]["reused_tokens"] >= first["data"]["kept"]["tokens"]
    talked = own_copy.json(
        "chat", *GOES_ON, "--resume", "sea", "--keep", "sea", piped="And rivers?\nAnd rain?\n", schema="chat"
    )
    assert [turn["role"] for turn in talked["data"]["turns"]] == ["user", "assistant"] * 3
    assert talked["data"]["kept"]["tokens"] > first["data"]["kept"]["tokens"]
    shown = own_copy("sessions").stdout
    assert "Why is the sea salty?" in shown
    (listed,) = own_copy.json("sessions", schema="sessions")["data"]["sessions"]
    file = Path(talked["data"]["kept"]["file"])
    assert listed["size_bytes"] == file.stat().st_size
    assert "cannot be changed" in refused(own_copy("run", "--resume", "sea", "--system", "Be rude.", "Hi"), 2)
    assert "kept as sea already" in refused(own_copy("run", "--keep", "sea", "Hi"), 2)
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)
    assert "it was altered" in refused(own_copy("chat", "--resume", "sea"), 6)
    assert "altered" in own_copy("sessions").stdout
    gone = own_copy.json("sessions", "remove", "sea", "--yes", schema="sessions-remove")
    assert gone["data"]["removed"] == ["sea"]
    assert "no kept session sea" in refused(own_copy("sessions", "remove", "sea", "--yes"), 9)


@pytest.mark.engine
@pytest.mark.index
def test_an_adapter_is_added_used_checked_and_removed(own_copy: Landfast, tmp_path: Path) -> None:
    """Under its name; with what it belongs to, and the plain words for each step."""
    file = adapter_file(
        TensorSpec("blk.0.attn_output.weight.lora_a", (576, 4)),
        TensorSpec("blk.0.attn_output.weight.lora_b", (4, 576)),
        alpha=4.0,
    )
    path = file.write(tmp_path / "task.gguf")
    added = own_copy.json("adapters", "add", str(path), schema="adapters-add")
    assert added["data"]["fits"] == ["smollm2-135m-instruct:Q4_1"]
    path.unlink()
    assert own_copy("run", *BRIEF, "--adapter", "task:0.5", "Hello").returncode == 0
    assert "task" in own_copy("adapters").stdout
    assert own_copy.json("adapters", schema="adapters")["data"]["adapters"][0]["id"] == "task"
    assert "task: task.gguf is unchanged" in own_copy("adapters", "verify").stdout
    assert own_copy.json("adapters", "verify", schema="adapters-verify")["data"]["adapters"][0]["whole"]
    checked = own_copy.json("models", "verify", schema="models-verify")
    assert checked["data"]["adapters"][0]["id"] == "task"
    own_copy.json("adapters", "remove", "task", "--yes", schema="adapters-remove")
    assert "There is no adapter task" in refused(own_copy("run", *BRIEF, "--adapter", "task", "Hello"), 9)


@pytest.mark.parametrize("kind", ["sessions", "adapters", "models"])
def test_nobody_is_asked_about_what_is_not_there(tmp_path: Path, kind: str) -> None:
    """A wrong name is told at once, and not after a yes."""
    refused(Landfast(tmp_path / "home")(kind, "remove", "nothing-of-that-name"), 9)
