"""The builder's choices, and that the shipped file is what it makes of the facts."""

from pathlib import Path

import msgspec
import pytest

from scripts.build_catalog import OUT, build, never_falling, serialise
from scripts.catalog_facts import DefaultFile, FileRow, plain_source, read_facts
from scripts.catalog_files import candidates, choose, choose_projectors, chosen_quants
from scripts.catalog_tables import QUANT_RULES

FACTS = OUT.parents[2].parent / "shared" / "facts"
SHA = "0" * 64
BIG = 10**10
SMALL = 10**9

ROW = FileRow(
    model_id="a/M",
    repo="unsloth/M-GGUF",
    file="M-Q4_K_M.gguf",
    role="model",
    quant="Q4_K_M",
    variant=None,
    trust="unsloth",
    bytes=None,
    bytes_approx=1000,
    sha256=None,
    revision=None,
    split_no=None,
    split_count=None,
    bytes_sha_joined=None,
    sources=(),
)


def row(**changes: object) -> FileRow:
    """A file of unsloth's, changed as given."""
    return msgspec.structs.replace(ROW, **changes)


def split(numbers: list[int], count: int) -> list[FileRow]:
    """These parts of a split file."""
    return [row(file=f"M-Q4_K_M-{n:05}-of-{count:05}.gguf", split_no=n, split_count=count) for n in numbers]


@pytest.mark.skipif(not FACTS.is_dir(), reason="the facts are not beside the repository")
def test_the_shipped_file_is_what_the_builder_makes_of_the_facts() -> None:
    """Nobody edits the catalogue by hand, and the same facts always give the same bytes."""
    assert serialise(build(read_facts(FACTS))) == OUT.read_bytes()


def test_one_model_stands_on_one_line() -> None:
    """A change of one model shows as a change of one line."""
    lines = OUT.read_text("utf-8").splitlines()
    entries = [line for line in lines if line.startswith('{"id":')]
    catalog = msgspec.json.decode(OUT.read_bytes())
    assert len(entries) == sum(len(catalog[name]) for name in ("models", "left_out", "score_sources"))


def test_a_pinned_file_goes_before_a_more_trusted_one() -> None:
    """Bytes that are known beforehand matter most; among equals, trust decides."""
    official = row(repo="a/M-GGUF", trust="official")
    bartowski = row(repo="bartowski/M-GGUF", trust="bartowski")
    pinned = row(repo="lmstudio-community/M-GGUF", trust="lmstudio-community", bytes=1001, sha256=SHA)
    assert choose([bartowski, official, pinned], BIG, None)[0].rows == (pinned,)
    assert choose([bartowski, official], BIG, None)[0].rows == (official,)


def test_a_hash_that_may_belong_to_another_upload_is_no_pin() -> None:
    """Size and hash from different sources are not combined into a promise."""
    joined = row(bytes=1001, sha256=SHA, bytes_sha_joined=True)
    assert joined.pin is None
    assert not joined.size_exact
    ggml = row(repo="ggml-org/M-GGUF", trust="ggml-org")
    assert choose([joined, ggml], BIG, None)[0].rows == (ggml,)


def test_the_facts_decide_between_two_names_of_one_file() -> None:
    """A renamed file is still listed under its old name; the suggested one is the present one."""
    old, new = row(file="M-q4_k_m.gguf"), row(file="M-Q4_K_M.gguf")
    assert choose([old, new], BIG, DefaultFile(old.repo, old.file))[0].rows == (old,)
    assert choose([old, new], BIG, DefaultFile(new.repo, new.file))[0].rows == (new,)


@pytest.mark.parametrize("numbers", [[1, 3], [2, 3], [1, 2], [1, 2, 2, 3]])
def test_a_split_file_with_a_missing_or_doubled_part_is_no_candidate(numbers: list[int]) -> None:
    """All parts or nothing."""
    assert not candidates(split(numbers, 3))


def test_parts_come_in_order() -> None:
    """The facts list parts in any order; the engine wants the first one first."""
    (candidate,) = candidates(split([2, 3, 1], 3))["Q4_K_M"]
    assert [part.split_no for part in candidate.rows] == [1, 2, 3]


def test_files_without_a_size_are_no_candidates() -> None:
    """What cannot be planned for is not offered."""
    assert not candidates([row(bytes_approx=None)])


@pytest.mark.parametrize("name", ["M-Q4_0_4_4.gguf", "M-Q4_0-hip-optimized.gguf", "M.gguf", "M-Q4_0.bin"])
def test_special_builds_under_a_plain_label_are_no_candidates(name: str) -> None:
    """Some of these need other hardware or an engine of the past."""
    assert not candidates([row(file=name, quant="Q4_0")])


def test_quants_depend_on_the_models_size() -> None:
    """Small models may come unquantised, large ones in two bits, and old forms only for want of better ones."""
    everything = [rule.quant for rule in QUANT_RULES]
    assert {"F16", "Q8_0", "Q4_K_M"} <= set(chosen_quants(everything, SMALL))
    assert not {"BF16", "Q3_K_M", "Q2_K", "UD-IQ1_M", "Q4_0"} & set(chosen_quants(everything, SMALL))
    assert "F16" not in chosen_quants(everything, BIG)
    assert {"UD-Q2_K_XL", "UD-IQ2_XXS", "UD-IQ1_M"} <= set(chosen_quants(everything, 400 * SMALL))
    assert chosen_quants(["Q4_0", "Q4_1", "BF16"], SMALL) == ("BF16", "Q4_0")


def test_every_quant_rule_is_given_once_and_with_its_reason() -> None:
    """The table is the explanation."""
    quants = [rule.quant for rule in QUANT_RULES]
    assert len(set(quants)) == len(quants)
    assert all(len(rule.reason) > 15 for rule in QUANT_RULES)


def test_coarser_and_no_smaller_is_left_out() -> None:
    """Nobody would choose a coarser form that takes as much memory."""
    fine = row(bytes_approx=900)
    coarse = row(file="M-Q4_K_S.gguf", quant="Q4_K_S", bytes_approx=900)
    smaller = row(file="M-IQ4_XS.gguf", quant="IQ4_XS", bytes_approx=800)
    assert [c.quant for c in choose([smaller, coarse, fine], BIG, None)] == ["Q4_K_M", "IQ4_XS"]


def test_other_forms_of_a_model_made_in_mxfp4_must_save_something() -> None:
    """Requantising four bits loses quality, so it has to save a tenth at least."""
    native = row(file="M-MXFP4.gguf", quant="MXFP4", bytes_approx=1000)
    q8 = row(file="M-Q8_0.gguf", quant="Q8_0", bytes_approx=1010)
    q4 = row(file="M-Q4_K_M.gguf", quant="Q4_K_M", bytes_approx=950)
    q3 = row(file="M-Q3_K_M.gguf", quant="Q3_K_M", bytes_approx=700)
    assert [c.quant for c in choose([q8, q4, q3, native], BIG, None)] == ["MXFP4", "Q3_K_M"]


def test_a_bound_holds_for_every_shorter_context() -> None:
    """Where the engine packs worse at some length, the bound of the longer ones is not below it."""
    assert never_falling(((512, 10), (1024, 30), (4096, 20), (8192, 40))) == (
        (512, 10),
        (1024, 30),
        (4096, 30),
        (8192, 40),
    )


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("public source file, find_string index id 123 (a catalogue)", "public source file"),
        ("hub page a/b config.json (same total 515; search docs corpus)", "hub page a/b config.json (same total 515)"),
        ("a/b@123abc (2026-01-02) models/x.yaml", "a/b@123abc (2026-01-02)"),
        ("AA + vllm agree: Artificial Analysis models table, captured 2026-07-10: x/y z.json",
         "Artificial Analysis models table, captured 2026-07-10"),
        ("licence tag; AA licence field", "licence tag; Artificial Analysis licence field"),
    ],
)  # fmt: skip
def test_sources_are_reduced_to_name_and_version(written: str, kept: str) -> None:
    """What helps a reader stays, how it was looked up goes."""
    assert plain_source(written) == kept


@pytest.mark.parametrize("text", ["", "Collected 2026-01-01"])
def test_facts_without_a_date_are_refused(tmp_path: Path, text: str) -> None:
    """A catalogue of unknown age must not be built."""
    for name in ("models.jsonl", "gguf_files.jsonl", "memory_curves.jsonl"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "README.md").write_text(text, "utf-8")
    with pytest.raises(SystemExit, match="when they were gathered"):
        read_facts(tmp_path)


def test_the_projector_to_take_first_has_a_promised_hash_and_sixteen_bits() -> None:
    """Then come the other forms in the order of the table; a form of 32 bits only where there is no other."""

    def eye(quant: str, **changes: object) -> FileRow:
        return row(role="mmproj", file=f"mmproj-{quant}.gguf", quant=quant, **changes)

    pinned, coarse, large = eye("BF16", sha256=SHA), eye("Q8_0"), eye("F32", sha256=SHA)
    forms = [found.quant for found in choose_projectors([large, coarse, eye("F16"), pinned])]
    assert forms == ["BF16", "F16", "Q8_0"]
    assert [found.quant for found in choose_projectors([large])] == ["F32"]
    assert choose_projectors([eye("Q4_0")]) == []
