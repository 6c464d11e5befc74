"""The policy binds what is chosen, installed and run, and every refusal names rule and file."""

import dataclasses
from pathlib import Path

import msgspec
import pytest

from deploy.commands.compare import compare
from deploy.commands.context import Context, real_context
from deploy.commands.install import InstallRequest, install
from deploy.commands.places import only_from
from deploy.commands.plan import plan
from deploy.commands.policy import check, show
from deploy.commands.select import select
from deploy.commands.session import open_model
from deploy.commands.sources import admitted_sources
from deploy.errors import ExitCode, PolicyRefused
from deploy.fit.fit import Workload
from deploy.policy.document import parse
from deploy.policy.policy import Policy
from tests.support.world import TINY, FakeSource, artifact, model, world

CHEAP = Workload(context_tokens=512, min_decode_tok_s=0)
FRENCH = '[deny]\ncountry = ["FR"]'


def under(context: Context, text: str) -> Context:
    """The same world under a policy."""
    return dataclasses.replace(context, policy=Policy((parse(text, Path("test.toml")),)))


def test_what_is_forbidden_is_not_chosen(tmp_path: Path) -> None:
    """It stands among the refused, with the rule and the file in its reason."""
    swiss = msgspec.structs.replace(model("swiss", artifact("Q4_0")), country="CH")
    found = select(under(world(tmp_path, model("french", artifact("Q4_0")), swiss), FRENCH), CHEAP)
    assert found.data is not None
    assert [candidate.fit.model_id for candidate in found.data.ranking.ranked] == ["swiss"]
    (refused,) = found.data.ranking.refused
    assert refused.fit.verdict == "policy"
    assert "deny.country" in refused.why
    assert "test.toml" in refused.why


def test_a_form_that_is_allowed_is_taken_for_one_that_is_not(tmp_path: Path) -> None:
    """A rule about quantisations leaves the model's other forms."""
    both = model("both", artifact("Q8_0"), artifact("Q4_0"))
    found = select(under(world(tmp_path, both), '[deny]\nquantisation = ["Q8*"]'), CHEAP)
    assert found.data is not None
    assert [candidate.fit.quant for candidate in found.data.ranking.ranked] == ["Q4_0"]


def test_what_is_forbidden_is_not_installed(tmp_path: Path) -> None:
    """By name too, and nothing is fetched."""
    shelf = FakeSource()
    context = under(world(tmp_path, sources=(shelf,)), FRENCH)
    with pytest.raises(PolicyRefused, match="FR") as caught:
        install(context, InstallRequest(model="tiny"))
    assert "deny.country in test.toml" in caught.value.hint
    assert caught.value.exit_code == ExitCode.POLICY
    assert shelf.fetched == []


def test_what_became_forbidden_is_not_run(tmp_path: Path) -> None:
    """Neither by name nor as the best that is installed."""
    context = world(tmp_path)
    install(context, InstallRequest(model="tiny"))
    for name in ("tiny", None):
        with pytest.raises(PolicyRefused):
            open_model(under(context, FRENCH), name, CHEAP)
    open_model(context, None, CHEAP).session.close()


def test_a_file_of_ones_own_is_bound_too(tmp_path: Path) -> None:
    """Its licence is not known, and the policy asks for one."""
    path = tmp_path / "own.gguf"
    path.write_bytes(TINY)
    context = under(world(tmp_path), '[allow]\nlicence = ["MIT"]')
    with pytest.raises(PolicyRefused, match="licence is not known"):
        open_model(context, str(path), CHEAP)
    with pytest.raises(PolicyRefused, match="licence is not known"):
        install(context, InstallRequest(model=str(path)))


def test_a_hash_that_nobody_promised_can_be_forbidden(tmp_path: Path) -> None:
    """Pinned on first use is not pinned, before the install and after it."""
    form = artifact("Q4_0")
    loose = msgspec.structs.replace(form, files=(msgspec.structs.replace(form.files[0], sha256=None),))
    context = world(tmp_path, model("tiny", loose))
    strict = under(context, "[require]\npinned = true")
    with pytest.raises(PolicyRefused, match="nobody promised"):
        install(strict, InstallRequest(model="tiny"))
    install(context, InstallRequest(model="tiny"))
    with pytest.raises(PolicyRefused, match="nobody promised"):
        open_model(strict, "tiny", CHEAP)


def test_a_plan_is_made_and_says_that_it_is_forbidden(tmp_path: Path) -> None:
    """What-if is allowed."""
    found = plan(under(world(tmp_path), FRENCH), "tiny", CHEAP)
    assert found.data is not None
    assert any("deny.country" in message.text for message in found.messages)


def test_sources_that_are_forbidden_are_not_asked(tmp_path: Path) -> None:
    """Each with a sentence; a folder that is named is judged as well."""
    policy = Policy((parse('[allow]\nsource = ["hub"]', Path("test.toml")),))
    allowed, barred = admitted_sources(policy, (FakeSource(name="hub"), FakeSource(name="mirror")))
    assert [source.name for source in allowed] == ["hub"]
    assert "mirror" in barred[0]
    with pytest.raises(PolicyRefused, match="folder"):
        only_from(under(world(tmp_path), '[allow]\nsource = ["hub"]'), str(tmp_path))


def test_the_real_world_reads_the_policy_or_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken file is an error of every command."""
    file = tmp_path / "one.toml"
    file.write_text(FRENCH)
    monkeypatch.setenv("LANDFAST_POLICY", str(file))
    context = real_context(lambda _progress: None, offline=True)
    assert [document.file for document in context.policy.documents] == [str(file)]
    file.write_text("[deny]\ncountri = ['FR']")
    with pytest.raises(PolicyRefused, match=r"one\.toml, line 2"):
        real_context(lambda _progress: None, offline=True)


def test_show_lists_every_rule(tmp_path: Path) -> None:
    """As a person would write it."""
    found = show(under(world(tmp_path), f'{FRENCH}\n[require]\nsize_at_most = "2GB"\npinned = true'))
    assert found.data is not None
    assert [(rule.rule, rule.value) for rule in found.data.files[0].rules] == [
        ("deny.country", "FR"),
        ("require.size_at_most", "2 GB"),
        ("require.pinned", "yes"),
    ]


def test_check_says_what_one_more_file_would_hit(tmp_path: Path) -> None:
    """Models and installed ones, before and after, and nothing is changed by it."""
    swiss = msgspec.structs.replace(model("swiss", artifact("Q4_0")), country="CH")
    context = world(tmp_path, model("french", artifact("Q4_0")), swiss)
    install(context, InstallRequest(model="french"))
    file = tmp_path / "more.toml"
    file.write_text(FRENCH)
    found = check(context, str(file))
    assert found.data is not None
    assert (found.data.forms, found.data.admitted_before, found.data.admitted_after) == (2, 2, 1)
    (hit,) = found.data.newly_refused
    assert (hit.id, hit.rule, hit.installed) == ("french:Q4_0", "deny.country", True)
    assert "french:Q4_0" in found.messages[0].text
    today = check(under(context, FRENCH), None)
    assert today.data is not None
    assert [hit.id for hit in today.data.refused_before] == ["french:Q4_0"]
    assert today.data.newly_refused == ()


def test_two_models_stand_side_by_side(tmp_path: Path) -> None:
    """What differs is said in sentences; of a file of one's own the quality is not known."""
    path = tmp_path / "own.gguf"
    path.write_bytes(TINY)
    context = world(tmp_path, model("small", artifact("Q4_0")), model("large", artifact("Q4_0"), parameters=4 * 10**9))
    found = compare(context, ("small", "large"), CHEAP)
    assert found.data is not None
    assert [side.plan.id for side in found.data.sides] == ["small:Q4_0", "large:Q4_0"]
    assert found.data.differences[0].startswith("Large Q4_0 has the higher expected quality")
    own = compare(context, ("small", str(path)), CHEAP)
    assert own.data is not None
    assert "not known" in own.data.differences[0]


def test_a_single_file_is_a_place_like_a_folder(tmp_path: Path) -> None:
    """Named by its path alone or with --from: a rule that admits no folder admits no file, which is called one."""
    path = tmp_path / "own.gguf"
    path.write_bytes(TINY)
    for request in (InstallRequest(model=str(path)), InstallRequest(folder=str(path))):
        with pytest.raises(PolicyRefused, match=f"file {path}"):
            install(under(world(tmp_path / "barred"), '[allow]\nsource = ["hub"]'), request)
        came = install(under(world(tmp_path / "open"), '[allow]\nsource = ["folder"]'), request)
        assert came.data is not None
        assert came.data.installed.source == f"file {path}"
