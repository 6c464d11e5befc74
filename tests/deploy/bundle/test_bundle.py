"""Bundles: made the same way every time, taken in only when signed, whole and complete."""

import os
import shutil
from pathlib import Path

import msgspec
import pytest

from deploy.bundle.manifest import CATALOGUE, LICENCES, MANIFEST, PUBLIC_KEY, SIGNATURE, decode, encode
from deploy.commands.bundle import CreateRequest, create, inspect
from deploy.commands.context import Context
from deploy.commands.install import InstallRequest, install
from deploy.commands.keys import export, list_keys, trust_key
from deploy.errors import (
    Incomplete,
    IntegrityError,
    LandfastError,
    NotEnoughSpace,
    NotFound,
    PolicyRefused,
    Unreachable,
    UsageError,
)
from tests.deploy.bundle.kit import (
    BIG,
    MODELS,
    PART_BYTES,
    SPLIT,
    bundled,
    copy_of,
    heard_by,
    manifest_of,
    parts_of,
    rewrite,
    take,
    taker,
    tree,
)
from tests.deploy.sources.kit import Listener
from tests.support.world import TINY, FakeSource, artifact, catalog, model, world


def test_the_same_input_gives_the_same_bytes(made_by: Context, bundle: Path, tmp_path: Path) -> None:
    """Another run of the same host, in another folder: no date, no order of chance."""
    assert tree(bundled(made_by, tmp_path / "again")) == tree(bundle)


def test_a_bundle_holds_models_catalogue_and_licences(bundle: Path) -> None:
    """Small files lie there under their own names; large ones in parts of the size that was asked for."""
    manifest = manifest_of(bundle)
    assert [known.id for known in manifest.models] == ["big:Q4_0", "split:Q4_0", "tiny:Q4_0"]
    assert (bundle / "models" / "tiny@Q4_0" / "tiny.gguf").read_bytes() == TINY
    parts = parts_of(bundle, "big.gguf")
    assert [part.stat().st_size for part in parts[:-1]] == [PART_BYTES] * (len(parts) - 1)
    assert b"".join(part.read_bytes() for part in parts) == BIG
    assert manifest.entry_at(CATALOGUE) is not None
    assert "licence: Apache-2.0" in (bundle / LICENCES).read_text()
    assert set(tree(bundle)) == {part.path for part in manifest.parts} | {MANIFEST, SIGNATURE, PUBLIC_KEY}


@pytest.mark.parametrize(("name", "body"), [("tiny", TINY), ("big:Q4_0", BIG), ("split", b"".join(SPLIT.values()))])
def test_a_model_is_installed_from_a_bundle(bundle: Path, tmp_path: Path, name: str, body: bytes) -> None:
    """In one part, in several, and a model of several files; nothing stays staged."""
    here = taker(tmp_path, bundle)
    assert take(here, bundle, name) == body
    assert here.store.staged_bytes() == 0
    (record,) = here.store.installed()
    assert record.source == f"bundle {bundle}"
    assert {file.pinned for file in record.files} == {"catalogue"}


def test_without_a_name_the_best_model_of_the_bundle_is_chosen(bundle: Path, tmp_path: Path) -> None:
    """Only what the bundle holds can be had."""
    here = taker(tmp_path, bundle)
    assert take(here, bundle, None) == BIG


def test_several_hosts_take_from_one_stick_at_once(bundle: Path, tmp_path: Path) -> None:
    """The bundle is only read."""
    before = tree(bundle)
    for number in range(3):
        assert take(taker(tmp_path / str(number), bundle), bundle) == BIG
    assert tree(bundle) == before


def test_a_model_that_the_catalogue_does_not_know_is_vouched_for_by_the_signer(tmp_path: Path) -> None:
    """A file of one's own goes to another host with its hash and its facts."""
    own = tmp_path / "own.gguf"
    body = BIG + b"own"
    own.write_bytes(body)
    here = world(tmp_path / "maker", sources=())
    install(here, InstallRequest(model=str(own)))
    bundle = bundled(here, tmp_path / "bundle")
    other = taker(tmp_path / "taker", bundle)
    for name in (None, "own", "own:Q4_0"):
        assert take(other, bundle, name) == body
    (record,) = other.store.installed()
    assert (record.id, record.files[0].pinned, record.publisher) == ("own:Q4_0", "bundle", "own file")


def test_the_signer_vouches_where_the_catalogue_has_no_hash(tmp_path: Path) -> None:
    """An unpinned model was pinned by its first download; the bundle passes that on."""
    unpinned = msgspec.structs.replace(
        artifact("Q4_0"), files=(msgspec.structs.replace(artifact("Q4_0").files[0], sha256=None),)
    )
    known = model("tiny", unpinned)
    here = world(tmp_path / "maker", known)
    install(here, InstallRequest(model="tiny"))
    bundle = bundled(here, tmp_path / "bundle")
    other = world(tmp_path / "taker", known, sources=())
    trust_key(other, str(bundle / PUBLIC_KEY))
    assert take(other, bundle, "tiny") == TINY
    assert other.store.installed()[0].files[0].pinned == "bundle"


def test_a_newer_catalogue_in_the_bundle_counts(tmp_path: Path) -> None:
    """A host that has not heard of a model learns of it with the bundle."""
    newer = msgspec.structs.replace(catalog(*MODELS), dated="2031-01-01")
    here = Context(
        **{name: getattr(world(tmp_path / "maker"), name) for name in Context.__slots__}
        | {"catalog": lambda: newer, "sources": (FakeSource(),)}
    )
    install(here, InstallRequest(model="tiny"))
    bundle = bundled(here, tmp_path / "bundle")
    other = world(tmp_path / "taker", model("another", artifact("Q8_0", "another.gguf", BIG)), sources=())
    trust_key(other, str(bundle / PUBLIC_KEY))
    assert take(other, bundle, "tiny") == TINY
    assert other.store.installed()[0].licence == "Apache-2.0"


def test_a_foreign_key_is_refused_with_its_fingerprint_and_the_cure(bundle: Path, tmp_path: Path) -> None:
    """Nothing is read before somebody has said that the signer is trusted; then it works."""
    here = taker(tmp_path)
    with pytest.raises(PolicyRefused) as caught:
        take(here, bundle)
    assert inspect(here, str(bundle)).data.made_by in caught.value.message  # type: ignore[union-attr]
    assert "landfast keys trust" in caught.value.hint
    assert not here.store.root.exists()
    trust_key(here, str(bundle / PUBLIC_KEY))
    assert take(here, bundle) == BIG


def test_a_bundle_signed_again_by_a_stranger_is_refused(bundle: Path, tmp_path: Path) -> None:
    """Whoever edits a bundle can sign it, but not with the key that is trusted."""
    stranger = world(tmp_path / "stranger")
    export(stranger)
    spoilt = copy_of(bundle, tmp_path / "spoilt")
    rewrite(spoilt, stranger, b"Apache-2.0", b"Apache-3.0")
    with pytest.raises(PolicyRefused):
        take(taker(tmp_path / "taker", bundle), spoilt)


def test_an_edited_manifest_is_refused(bundle: Path, tmp_path: Path) -> None:
    """One letter of a licence is enough."""
    spoilt = copy_of(bundle, tmp_path / "spoilt")
    raw = (spoilt / MANIFEST).read_bytes()
    (spoilt / MANIFEST).write_bytes(raw.replace(b"Apache-2.0", b"Apache-1.0", 1))
    with pytest.raises(IntegrityError, match="not the one that was signed"):
        take(taker(tmp_path / "taker", bundle), spoilt)


@pytest.mark.parametrize("name", [MANIFEST, SIGNATURE])
def test_a_bundle_without_manifest_or_signature_is_refused(bundle: Path, tmp_path: Path, name: str) -> None:
    """It is not taken for a plain folder."""
    spoilt = copy_of(bundle, tmp_path / "spoilt")
    (spoilt / name).unlink()
    with pytest.raises(IntegrityError, match=name):
        take(taker(tmp_path / "taker", bundle), spoilt)


@pytest.mark.parametrize(
    "path", ["../../etc/passwd", "/etc/passwd", "models/../../x", "models/.hidden", "a\\\\b", "models//x", "C:x", ""]
)
def test_a_path_that_leads_out_is_refused_even_from_a_trusted_key(
    made_by: Context, bundle: Path, tmp_path: Path, path: str
) -> None:
    """The signer may be trusted and wrong."""
    spoilt = copy_of(bundle, tmp_path / "spoilt")
    rewrite(spoilt, made_by, b'"models/tiny@Q4_0/tiny.gguf"', f'"{path}"'.encode())
    with pytest.raises(IntegrityError, match="manifest cannot be used"):
        take(taker(tmp_path / "taker", bundle), spoilt)


def test_a_link_in_a_bundle_is_refused(bundle: Path, tmp_path: Path) -> None:
    """Neither a part nor a folder above it may be one: it could lead anywhere."""
    for name in ("models/tiny@Q4_0/tiny.gguf", "models"):
        spoilt = copy_of(bundle, tmp_path / name.replace("/", "-"))
        (spoilt / name).rename(tmp_path / f"elsewhere-{name.replace('/', '-')}")
        (spoilt / name).symlink_to(tmp_path / f"elsewhere-{name.replace('/', '-')}")
        with pytest.raises(IntegrityError, match="is a link"):
            take(taker(tmp_path / "taker", bundle), spoilt, "tiny")


@pytest.mark.parametrize("where", [0, PART_BYTES // 2, PART_BYTES - 1])
def test_a_flipped_byte_is_refused_and_its_part_named(bundle: Path, tmp_path: Path, where: int) -> None:
    """Nothing is installed; with the good part the same command goes on and does not copy the others again."""
    spoilt = copy_of(bundle, tmp_path / "spoilt")
    part = parts_of(spoilt, "big.gguf")[1]
    good = part.read_bytes()
    part.write_bytes(good[:where] + bytes([good[where] ^ 1]) + good[where + 1 :])
    here = taker(tmp_path / "taker", bundle)
    with pytest.raises(IntegrityError, match=part.name):
        take(here, spoilt)
    assert here.store.installed() == ()
    part.write_bytes(good)
    assert take(here, spoilt) == BIG


@pytest.mark.parametrize(("change", "leaf"), [(-1, Incomplete), (1, IntegrityError)])
def test_a_part_of_another_length_is_refused(
    bundle: Path, tmp_path: Path, change: int, leaf: type[LandfastError]
) -> None:
    """Cut short by a full stick, or longer than it should be."""
    spoilt = copy_of(bundle, tmp_path / "spoilt")
    part = parts_of(spoilt, "big.gguf")[1]
    os.truncate(part, part.stat().st_size + change)
    with pytest.raises(leaf, match=part.name):
        take(taker(tmp_path / "taker", bundle), spoilt)


def test_a_second_medium_may_come_later(bundle: Path, tmp_path: Path) -> None:
    """Each medium holds manifest, signature and some parts, in any order; what is missing is named."""
    media = [copy_of(bundle, tmp_path / str(number)) for number in range(2)]
    parts = parts_of(bundle, "big.gguf")
    for number, part in enumerate(parts):
        (media[number % 2] / part.relative_to(bundle)).unlink()
    here = taker(tmp_path / "taker", bundle)
    with pytest.raises(NotFound, match=parts[0].name) as caught:
        take(here, media[0])
    assert "Insert the medium" in caught.value.hint
    listener = Listener()
    assert take(heard_by(here, listener), media[1]) == BIG


def test_a_copy_that_was_stopped_goes_on(bundle: Path, tmp_path: Path) -> None:
    """What was staged is hashed and kept; only the rest is read from the medium."""
    here = taker(tmp_path / "taker", bundle)
    stop = Listener(lambda progress: progress.step == "download" and progress.done_bytes > 2 * PART_BYTES)
    with pytest.raises(KeyboardInterrupt):
        take(heard_by(here, stop), bundle)
    lesser = copy_of(bundle, tmp_path / "lesser")
    for part in parts_of(lesser, "big.gguf")[:2]:
        part.unlink()
    assert take(here, lesser) == BIG


def test_a_staged_beginning_that_went_bad_is_copied_again(bundle: Path, tmp_path: Path) -> None:
    """A power cut left zeros in the middle of a part."""
    here = taker(tmp_path / "taker", bundle)
    stop = Listener(lambda progress: progress.step == "download" and progress.done_bytes > 2 * PART_BYTES)
    with pytest.raises(KeyboardInterrupt):
        take(heard_by(here, stop), bundle)
    (staged,) = (here.store.root / "staging").rglob("big.gguf")
    with staged.open("r+b") as file:
        file.seek(PART_BYTES // 2)
        file.write(bytes(1000))
        file.truncate(2 * PART_BYTES + 1234)
    assert take(here, bundle) == BIG


def test_a_model_that_is_not_in_the_bundle_is_not_found(made_by: Context, tmp_path: Path) -> None:
    """The cure shows what is in it."""
    bundle = bundled(made_by, tmp_path / "bundle", "tiny")
    with pytest.raises(NotFound) as caught:
        take(taker(tmp_path / "taker", bundle), bundle, "big:Q4_0")
    assert "bundle inspect" in caught.value.hint


def test_inspect_tells_who_made_it_and_what_it_holds(made_by: Context, bundle: Path, tmp_path: Path) -> None:
    """Also to those who do not trust it yet."""
    seen = inspect(taker(tmp_path), str(bundle)).data
    assert seen is not None
    assert (seen.trusted, seen.hashed, seen.wheels) == (False, False, 0)
    assert [(held.id, held.licence) for held in seen.models][:1] == [("big:Q4_0", "Apache-2.0")]
    full = inspect(made_by, str(bundle), full=True)
    assert full.data is not None
    assert full.data.trusted
    assert {part.verdict for part in full.data.parts} == {"ok"}


def test_inspect_names_every_part_that_is_not_as_it_should_be(bundle: Path, made_by: Context, tmp_path: Path) -> None:
    """Missing ones are a warning, since they may be on another medium; altered ones are an error."""
    spoilt = copy_of(bundle, tmp_path / "spoilt")
    first, second, third, *_ = parts_of(spoilt, "big.gguf")
    first.unlink()
    os.truncate(second, 5)
    third.write_bytes(bytes(third.stat().st_size))
    result = inspect(made_by, str(spoilt), full=True)
    assert result.data is not None
    verdicts = {part.path: part.verdict for part in result.data.parts if part.verdict != "ok"}
    names = [str(path.relative_to(spoilt)) for path in (first, second, third)]
    assert verdicts == dict(zip(names, ("missing", "altered", "altered"), strict=True))
    assert (result.status, result.exit_code, len(result.errors)) == ("partial", 6, 2)
    assert "1 of" in result.messages[0].text


@pytest.mark.parametrize("place", ["nowhere", "."])
def test_inspecting_what_is_no_bundle_is_told(tmp_path: Path, place: str) -> None:
    """A mistyped path, and a folder of something else."""
    with pytest.raises((NotFound, IntegrityError)) as caught:
        inspect(taker(tmp_path / "taker"), str(tmp_path / place))
    assert caught.value.hint


def test_a_folder_with_something_in_it_is_left_alone(made_by: Context, tmp_path: Path) -> None:
    """Whatever lies there is not overwritten; a bundle that was not finished is."""
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(UsageError):
        create(made_by, CreateRequest(out=str(tmp_path), models=("tiny",), part_bytes=PART_BYTES))
    assert (tmp_path / "mine").read_text() == "precious"
    half = tmp_path / "half"
    stop = Listener(lambda _: True)
    with pytest.raises(KeyboardInterrupt):
        bundled(heard_by(made_by, stop), half, "big")
    (half / "stale").write_text("left over")
    assert tree(bundled(made_by, half, "tiny")) == tree(bundled(made_by, tmp_path / "fresh", "tiny"))


def test_a_bundle_that_was_not_finished_is_refused(made_by: Context, tmp_path: Path) -> None:
    """Manifest and signature come last."""
    stop = Listener(lambda progress: progress.done_bytes > PART_BYTES)
    with pytest.raises(KeyboardInterrupt):
        bundled(heard_by(made_by, stop), tmp_path / "half", "big")
    with pytest.raises(LandfastError):
        take(taker(tmp_path / "taker"), tmp_path / "half")


def test_too_little_room_is_told_before_the_first_byte(
    made_by: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the folder is as it was."""
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr("deploy.bundle.writing.shutil.disk_usage", lambda _: usage)
    with pytest.raises(NotEnoughSpace, match="takes"):
        bundled(made_by, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_altered_model_does_not_get_into_a_bundle(tmp_path: Path) -> None:
    """The store is read with the same suspicion as everything else."""
    here = world(tmp_path / "maker")
    install(here, InstallRequest(model="tiny"))
    (blob,) = (here.store.root / "blobs" / "sha256").iterdir()
    blob.chmod(0o644)
    blob.write_bytes(TINY[:-1] + b"x")
    with pytest.raises(IntegrityError):
        bundled(here, tmp_path / "bundle")


def test_nothing_installed_makes_no_bundle(tmp_path: Path) -> None:
    """An empty stick helps nobody."""
    with pytest.raises(NotFound):
        bundled(world(tmp_path / "maker"), tmp_path / "bundle")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b'"part_bytes": 300000', b'"part_bytes": 0', "part_bytes"),
        (b'"landfast.bundle/1"', b'"landfast.bundle/9"', "bundle/9"),
        (b'"models/tiny@Q4_0/tiny.gguf"', b'"MODELS/big@Q4_0/BIG.gguf.part0001"', "the same path"),
        (b'"size_bytes": 300000', b'"size_bytes": 300001', "add up"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(bundle: Path, old: bytes, new: bytes, reason: str) -> None:
    """Before any path of it is opened."""
    raw = (bundle / MANIFEST).read_bytes()
    assert old in raw
    with pytest.raises(IntegrityError, match=reason):
        decode(raw.replace(old, new))


def test_a_manifest_that_lacks_a_file_of_a_model_is_refused(bundle: Path) -> None:
    """Every model's files are in it."""
    manifest = manifest_of(bundle)
    entries = tuple(entry for entry in manifest.entries if "tiny" not in entry.path)
    with pytest.raises(IntegrityError, match=r"tiny\.gguf"):
        decode(encode(msgspec.structs.replace(manifest, entries=entries)))


def test_trust_is_given_to_keys_only(tmp_path: Path) -> None:
    """Any other file is refused with a hint; trusting twice changes nothing; a renamed key file trusts nobody."""
    here = taker(tmp_path / "taker")
    (tmp_path / "no.key").write_text("not a key")
    for name, leaf in (("no.key", UsageError), ("absent", NotFound)):
        with pytest.raises(leaf):
            trust_key(here, str(tmp_path / name))
    exported = export(here).data
    assert exported is not None
    (tmp_path / "own.pub").write_text(exported.pem)
    assert [trust_key(here, str(tmp_path / "own.pub")).changed for _ in range(2)] == [True, False]
    (known,) = list_keys(here).data.trusted  # type: ignore[union-attr]
    assert known.fingerprint == exported.fingerprint
    Path(known.path).rename(Path(known.path).with_name("other.pem"))
    assert list_keys(here).data.trusted == ()  # type: ignore[union-attr]


def test_a_part_that_cannot_be_read_is_told(bundle: Path, tmp_path: Path) -> None:
    """The sentence names the file and what the system says."""
    spoilt = copy_of(bundle, tmp_path / "spoilt")
    part = parts_of(spoilt, "big.gguf")[1]
    part.unlink()
    part.mkdir()
    with pytest.raises(Unreachable, match=part.name):
        take(taker(tmp_path / "taker", bundle), spoilt)
