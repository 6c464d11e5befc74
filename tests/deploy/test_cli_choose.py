"""Words of the command line: numbers of tokens as people write them, and searches that need no verb."""

import json
from pathlib import Path

from tests.support.cli import Landfast, refused


def test_a_search_needs_no_verb(landfast: Landfast) -> None:
    """Words, filters alone, and nothing at all are searches; `update` is not."""
    found = landfast.json("catalog", "qwen3", "coder", "--json", schema="catalog-search")
    assert found["data"]["models"]
    assert all("coder" in entry["id"] for entry in found["data"]["models"])
    assert landfast.json("catalog", "--family", "olmo", "--json", schema="catalog-search")["data"]["models"]
    assert "cannot be installed" in landfast("catalog").stdout
    assert refused(landfast("catalog", "update", "none.json"), 9)


def test_a_policy_is_named_before_the_command(landfast: Landfast, tmp_path: Path) -> None:
    """It is in force for that call; a broken one stops every command with its line."""
    file = tmp_path / "policy.toml"
    file.write_text('[allow]\ncountry = ["CH"]\n')
    shown = landfast.json("--policy", str(file), "policy", "show", "--json", schema="policy-show")
    assert shown["data"]["files"][0]["rules"] == [{"rule": "allow.country", "value": "CH"}]
    checked = landfast.json("policy", "check", str(file), "--json", schema="policy-check")
    assert 0 < checked["data"]["admitted_after"] < checked["data"]["admitted_before"]
    assert "would refuse" in landfast("policy", "check", str(file)).stdout
    file.write_text('[allow]\ncountries = ["CH"]\n')
    assert "line 2" in refused(landfast("--policy", str(file), "version"), 4)


def test_two_models_are_compared_in_two_columns(landfast: Landfast) -> None:
    """Hard, reclaimable and peak memory of both."""
    landfast.json("compare", "qwen3-0.6b:Q8_0", "qwen3-4b:Q4_K_M", "--context", "4k", "--json", schema="compare")
    text = landfast("compare", "qwen3-0.6b:Q8_0", "qwen3-4b:Q4_K_M").stdout
    assert "too-" not in text, "a verdict is words, with its mark"
    assert all(word in text for word in ("fits", "Hard", "Reclaimable", "Peak", "times as much memory"))


def test_a_purpose_is_asked_for_in_plain_words(landfast: Landfast) -> None:
    """What was not made for it is refused as such."""
    words = ("--for", "tools", "--language", "de", "--context", "32k", "--users", "2", "--min-speed", "1")
    done = landfast("select", "--offline", *words, "--json")
    found = json.loads(done.stdout)
    assert found["data"]["workload"] == {
        "context_tokens": 32768,
        "min_decode_tok_s": 1.0,
        "purpose": "tools",
        "language": "de",
        "users": 2,
    }
    assert any(entry["fit"]["verdict"] == "unsuited" for entry in found["data"]["ranking"]["refused"])
    assert refused(landfast("select", "--for", "poetry"), 2)


def test_two_models_are_compared_on_another_machine(landfast: Landfast) -> None:
    """As with select and plan, and said as loudly."""
    names = ("qwen3-8b:Q4_K_M", "qwen3-4b:Q4_K_M")
    found = landfast.json("compare", *names, "--machine", "desktop-rtx-3060-12gb", "--json", schema="compare")
    assert {side["plan"]["pool"] for side in found["data"]["sides"]} == {"NVIDIA GeForce RTX 3060"}
    assert any("SIMULATED" in message["text"] for message in found["messages"])
