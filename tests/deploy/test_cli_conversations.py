"""`landfast conversations`: the plain-line twin of what the chat keeps."""

import json
from pathlib import Path

import pytest

from deploy.conversations import Conversations, Talk, Turn
from deploy.paths import resolve
from tests.support.cli import Landfast, refused

NOW = "2025-06-01T10:00:00Z"
TURNS = (
    Turn(role="user", text="Is the sea salty?\x1b[31m", time=NOW),
    Turn(role="assistant", text="Very **much**.", time=NOW, model="tiny:Q4_0"),
)


@pytest.fixture
def kept(landfast: Landfast) -> Landfast:
    """A home in which one conversation is saved."""
    file = resolve({"LANDFAST_HOME": str(landfast.home)}).conversations
    Conversations(file).save(Talk(title="The sea", created=NOW, changed=NOW, turns=TURNS))
    return landfast


def test_an_empty_home_has_no_conversations_and_gets_no_file(landfast: Landfast) -> None:
    """Looking creates nothing."""
    envelope = landfast.json("conversations", "list", schema="conversations-list")
    assert envelope["data"]["conversations"] == []
    assert "No conversation is saved." in landfast("conversations", "list").stdout
    assert not Path(envelope["data"]["file"]).parent.exists()
    assert "no saved conversation 1" in refused(landfast("conversations", "show", "1"), 9)


def test_saved_conversations_are_listed_shown_and_found(kept: Landfast) -> None:
    """By number, and by words in any case; what was said cannot steer the terminal."""
    assert kept.json("conversations", "list", schema="conversations-list")["data"]["conversations"][0]["messages"] == 2
    assert "The sea" in kept("conversations", "list").stdout
    assert kept.json("conversations", "show", "1", schema="conversations-show")["data"]["title"] == "The sea"
    text = kept("conversations", "show", "1").stdout
    assert "Very **much**." in text
    assert "\x1b" not in text
    found = kept.json("conversations", "search", "SALTY", "sea", schema="conversations-search")["data"]["found"]
    assert [(one["id"], one["n"]) for one in found] == [(1, 1)]
    assert "Nothing that is saved" in kept("conversations", "search", "desert").stdout


def test_a_conversation_is_exported_in_both_forms(kept: Landfast, tmp_path: Path) -> None:
    """To standard output or into a new file; an existing one is not overwritten."""
    assert "## tiny:Q4_0" in kept("conversations", "export", "1").stdout
    assert (
        json.loads(kept("conversations", "export", "1", "--format", "json").stdout)["turns"][1]["model"] == "tiny:Q4_0"
    )
    file = tmp_path / "talk.md"
    envelope = kept.json("conversations", "export", "1", "--out", str(file), schema="conversations-export")
    assert envelope["data"]["file"] == str(file)
    assert "# The sea" in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    assert "already exists" in refused(kept("conversations", "export", "1", "--out", str(file)), 2)


def test_deleting_asks_first(kept: Landfast) -> None:
    """Without a terminal it needs --yes, and it needs to be told what."""
    refused(kept("conversations", "delete", "1"), 2)
    refused(kept("conversations", "delete"), 2)
    refused(kept("conversations", "delete", "7", "--yes"), 9)
    assert kept.json("conversations", "delete", "1", "--yes", schema="conversations-delete")["changed"]
    assert "nothing to delete" in kept("conversations", "delete", "--all", "--yes").stdout


def test_a_policy_that_forbids_saving_is_told_and_obeyed(kept: Landfast, tmp_path: Path) -> None:
    """What is there from before can be read and deleted, and is pointed out; it is not written elsewhere."""
    policy = tmp_path / "policy.toml"
    policy.write_text('[require]\nconversations = "never"\n')
    told = kept.json("--policy", str(policy), "conversations", "list", schema="conversations-list")
    assert "require.conversations" in told["data"]["forbidden"]
    assert "were saved before" in told["messages"][0]["text"]
    out = ("conversations", "export", "1", "--out", str(tmp_path / "talk.md"))
    assert "require.conversations" in refused(kept("--policy", str(policy), *out), 4)
    policy.write_text('[require]\nconversations = "always"\n')
    assert "line 2" in refused(kept("--policy", str(policy), "version"), 4)
