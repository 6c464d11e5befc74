"""Sessions kept on the disk because a person asked for it, with the fake engine: what is written, used and refused."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from deploy.commands import sessions
from deploy.commands.context import Context
from deploy.commands.install import InstallRequest, install
from deploy.commands.run import RunData, RunRequest, run
from deploy.engine.fake import FakeEngine, FakeSession
from deploy.engine.protocol import Event, Generate
from deploy.errors import EngineFailed, ExitCode, IntegrityError, NotFound, PolicyRefused, UsageError
from deploy.journal import Line
from deploy.policy.document import parse
from deploy.policy.policy import Policy
from deploy.results import Result
from tests.support.world import Heard, world


class Usage(NamedTuple):
    """Of a disk."""

    total: int
    used: int
    free: int


@pytest.fixture(name="here")
def fixture_here(tmp_path: Path) -> Context:
    """A world with one installed model."""
    install(world(tmp_path), InstallRequest(model="tiny"))
    return world(tmp_path, engine=FakeEngine("It is 4."))


@pytest.fixture(name="asked")
def fixture_asked(monkeypatch: pytest.MonkeyPatch) -> list[Generate]:
    """Everything that fake sessions are asked."""
    heard: list[Generate] = []
    answer = FakeSession.generate

    def listen(session: FakeSession, request: Generate) -> object:
        heard.append(request)
        return answer(session, request)

    monkeypatch.setattr(FakeSession, "generate", listen)
    return heard


@pytest.fixture(name="restored")
def fixture_restored(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tokens each fake session took over."""
    heard: list[int] = []
    restore = FakeSession.restore_state

    def listen(session: FakeSession, shape: object, pieces: object) -> None:
        restore(session, shape, pieces)  # type: ignore[arg-type]
        heard.append(len(session.restored.tokens) if session.restored else 0)

    monkeypatch.setattr(FakeSession, "restore_state", listen)
    return heard


def unheard(_: Event) -> None:
    """Nobody watches."""


def kept(here: Context, name: str = "sums") -> Path:
    """Keep a session and give its file."""
    result = run(here, RunRequest(prompt="What is two and two?", system="Be brief.", keep=name), unheard)
    assert result.errors == ()
    assert result.data is not None
    assert result.data.kept is not None
    return Path(result.data.kept.file)


def test_nothing_is_kept_unless_asked_for(here: Context) -> None:
    """A plain run and a look at the list make neither file nor key."""
    run(here, RunRequest(prompt="Hello"), unheard)
    assert sessions.list_sessions(here).data is not None
    assert not here.paths.sessions.exists()
    assert not here.paths.keys.exists()


def test_a_session_goes_on_where_it_was_kept(here: Context, asked: list[Generate], restored: list[int]) -> None:
    """The model sees what was said, takes over its state, and is found without being named."""
    path = kept(here)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert isinstance(here.report, Heard)
    assert any(told.text.startswith("Keeping the session as sums: 1 MB") for told in here.report.all)
    result = run(here, RunRequest(prompt="And three and three?", resume="sums"), unheard)
    assert result.data is not None
    assert result.data.resumed == sessions.Resumed(name="sums", tokens=7, why_not="")
    assert restored == [7]
    assert [(message.role, message.content) for message in asked[-1].messages] == [
        ("system", "Be brief."),
        ("user", "What is two and two?"),
        ("assistant", "It is 4."),
        ("user", "And three and three?"),
    ]
    lines = (here.paths.journal / "journal.jsonl").read_bytes().splitlines()
    events = [msgspec.json.decode(line, type=Line).event for line in lines]
    assert [(event.kind, event.outcome) for event in events if event.kind in {"keep", "resume"}] == [
        ("keep", "kept"),
        ("resume", "resumed"),
    ]


def test_it_can_be_kept_again_under_its_name_alone(here: Context, asked: list[Generate]) -> None:
    """A name that is taken is refused before a model is loaded, but for the session that goes on."""
    kept(here)
    with pytest.raises(UsageError, match="A session is kept as sums already"):
        run(here, RunRequest(prompt="Hello", keep="sums"), unheard)
    run(here, RunRequest(prompt="And then?", resume="sums", keep="sums"), unheard)
    run(here, RunRequest(prompt="And then?", resume="sums"), unheard)
    assert len(asked) == 3
    assert len(asked[-1].messages) == 6


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".x", "a b", "x" * 65, "é"])
def test_a_name_cannot_lead_anywhere(here: Context, name: str) -> None:
    """Neither to keep nor to resume."""
    for request in (RunRequest(prompt="Hello", keep=name), RunRequest(prompt="Hello", resume=name)):
        with pytest.raises(UsageError, match="cannot be the name of a session"):
            run(here, request, unheard)


def test_an_altered_header_is_refused_before_anything_is_loaded(here: Context) -> None:
    """What was said cannot be trusted then; nothing is asked."""
    path = kept(here)
    path.write_bytes(path.read_bytes().replace(b"two and two", b"two and ten"))
    before = len(here.engine.opened)  # type: ignore[attr-defined]
    with pytest.raises(IntegrityError, match="it was altered"):
        run(here, RunRequest(prompt="Go on", resume="sums"), unheard)
    assert len(here.engine.opened) == before  # type: ignore[attr-defined]


@pytest.mark.parametrize("change", ["flip", "cut"])
def test_an_altered_state_is_not_used_and_all_is_read_again(
    here: Context, asked: list[Generate], restored: list[int], change: str
) -> None:
    """The cause is said; the conversation, which is proved, goes on."""
    path = kept(here)
    content = bytearray(path.read_bytes())
    content[-35] ^= 1  # of the state; its code is behind it
    path.write_bytes(content if change == "flip" else path.read_bytes()[:-1])
    result = run(here, RunRequest(prompt="Go on", resume="sums"), unheard)
    assert result.data is not None
    assert result.data.answer == "It is 4."
    assert restored == []
    assert len(asked[-1].messages) == 4
    why = "altered after it was written" if change == "flip" else "its length has changed"
    assert why in result.messages[-1].text
    assert "Everything was read again" in result.messages[-1].text


def test_another_engine_reads_again(here: Context, restored: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The state is bound to the build that made it."""
    kept(here)
    monkeypatch.setattr(sessions, "_build", lambda: "another")
    result = run(here, RunRequest(prompt="Go on", resume="sums"), unheard)
    assert result.data is not None
    assert result.data.resumed is not None
    assert "build of the engine" in result.data.resumed.why_not
    assert restored == []


def test_an_engine_that_does_not_take_it_reads_again(here: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its refusal is the reason."""
    kept(here)

    def refuse(*_: object) -> None:
        raise EngineFailed("The engine does not take the session's state.")

    monkeypatch.setattr(FakeSession, "restore_state", refuse)
    result = run(here, RunRequest(prompt="Go on", resume="sums"), unheard)
    assert result.data is not None
    assert result.data.resumed is not None
    assert "does not take" in result.data.resumed.why_not


def test_another_users_key_opens_nothing(here: Context) -> None:
    """A key that is lost is a key of somebody else."""
    kept(here)
    (here.paths.keys / "sessions.key").unlink()
    with pytest.raises(IntegrityError, match="another user or with another key"):
        run(here, RunRequest(prompt="Go on", resume="sums"), unheard)
    listed = sessions.list_sessions(here).data
    assert listed is not None
    assert "another key" in listed.sessions[0].problem


def test_what_there_is_no_room_for_is_not_kept(here: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is given all the same, with the error beside it; nothing is left."""
    for name, value in (("LIMIT_BYTES", 10), ("shutil", None)):
        with monkeypatch.context() as patch:
            if value is None:
                patch.setattr(shutil, "disk_usage", lambda _: Usage(100, 100, 0))
            else:
                patch.setattr(sessions, name, value)
            result = run(here, RunRequest(prompt="Hello", keep="large"), unheard)
        assert result.data is not None
        assert result.data.answer == "It is 4."
        assert result.exit_code == ExitCode.RESOURCES
        assert result.errors[0].code == "no-space"
    assert [path.name for path in here.paths.sessions.iterdir()] == []


def test_a_state_that_breaks_off_leaves_nothing(here: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a session nor a part of one."""

    def die(*_: object) -> object:
        yield b""
        raise EngineFailed("It died.")

    monkeypatch.setattr(FakeSession, "save_state", die)
    result = run(here, RunRequest(prompt="Hello", keep="lost"), unheard)
    assert result.errors
    assert [path.name for path in here.paths.sessions.iterdir() if path.name != ".lock"] == []


def test_sessions_are_listed_and_removed(here: Context) -> None:
    """With size, model and first words; what was not finished, too."""
    first, second = kept(here, "sums"), kept(here, "more")
    (first.parent / "torn.part").write_bytes(b"x")
    listed = sessions.list_sessions(here).data
    assert listed is not None
    assert [(one.name, one.model, one.begins, one.problem) for one in listed.sessions] == [
        ("more", "tiny:Q4_0", "What is two and two?", ""),
        ("sums", "tiny:Q4_0", "What is two and two?", ""),
        ("torn", "", "", "It was not finished."),
    ]
    assert listed.sessions[0].size_bytes == second.stat().st_size
    gone = sessions.remove(here, "sums").data
    assert gone is not None
    assert gone.removed == ("sums",)
    assert not first.exists()
    with pytest.raises(NotFound, match="no kept session sums"):
        sessions.remove(here, "sums")
    with pytest.raises(NotFound, match="no kept session sums"):
        run(here, RunRequest(prompt="Go on", resume="sums"), unheard)
    rest = sessions.remove(here, None).data
    assert rest is not None
    assert rest.removed == ("more", "torn")


@pytest.mark.parametrize("rule", ["sessions", "conversations"])
def test_a_policy_forbids_both(here: Context, rule: str) -> None:
    """Nothing is kept and nothing resumed; what was kept before is told, and can be removed."""
    kept(here)
    policy = Policy((parse(f'[require]\n{rule} = "never"\n', Path("p.toml")),))
    strict = replace(here, policy=policy)
    for request in (RunRequest(prompt="Hello", keep="x"), RunRequest(prompt="Hello", resume="sums")):
        with pytest.raises(PolicyRefused, match="forbids keeping or resuming"):
            run(strict, request, unheard)
    found = sessions.list_sessions(strict)
    assert found.data is not None
    assert f"require.{rule}" in found.data.forbidden
    assert "sessions remove --all" in found.messages[0].text
    assert sessions.remove(strict, None).changed


def test_the_plan_is_that_of_the_kept_session(here: Context) -> None:
    """Whatever would be chosen now: the state fits no other. Where it needs more memory than there is, it is chosen."""
    kept(here)
    with sessions.resuming(here, "sums") as found:
        assert found is not None
        was = found.header
    opened = here.engine.opened  # type: ignore[attr-defined]
    run(here, RunRequest(prompt="Go on", resume="sums"), unheard)
    assert opened[-1][1].context_tokens == opened[-2][1].context_tokens
    large = msgspec.structs.replace(was, hard_bytes=1 << 60)
    plan = sessions.open_like(here, None, None, RunRequest(prompt="x").workload, ()).plan
    assert sessions._as_kept(large, plan) is plan
    assert sessions._as_kept(was, plan).plan.context_tokens == was.plan.context_tokens


@pytest.mark.parametrize("resume", ["sums", None], ids=["grown", "new"])
def test_of_two_runs_at_once_the_second_to_end_is_told(
    here: Context, monkeypatch: pytest.MonkeyPatch, resume: str | None
) -> None:
    """It has its answer, the other one's turn stays, and what to do is said."""
    kept(here)
    name, answer = resume or "fresh", FakeSession.generate
    others: list[Result[RunData]] = []

    def meanwhile(session: FakeSession, request: Generate) -> object:
        if request.messages[-1].content == "The slow one":
            others.append(run(here, RunRequest(prompt="The other one", resume=resume, keep=name), unheard))
        return answer(session, request)

    monkeypatch.setattr(FakeSession, "generate", meanwhile)
    slow = run(here, RunRequest(prompt="The slow one", resume=resume, keep=name), unheard)
    assert others[0].errors == ()
    assert slow.data is not None
    assert (slow.data.answer, slow.data.kept) == ("It is 4.", None)
    assert slow.exit_code == ExitCode.USAGE
    assert f"Another run has kept the session {name} meanwhile" in slow.errors[0].message
    assert f"--resume {name} --keep {name}" in slow.errors[0].hint
    with sessions.resuming(here, name) as there:
        assert there is not None
        assert there.header.messages[-2].content == "The other one"
