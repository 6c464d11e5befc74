"""The catalogue that is shipped keeps its own rules, and its memory figures are the known ones."""

import re
from collections.abc import Iterator
from datetime import date

import pytest

from deploy.catalog.loader import load
from deploy.catalog.model import Artifact, Catalog, Model

SHA256 = re.compile(r"[0-9a-f]{64}")
COMMIT = re.compile(r"[0-9a-f]{40}")


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """The shipped catalogue."""
    return load()


def artifacts(catalog: Catalog) -> Iterator[tuple[Model, Artifact]]:
    """Every artifact and every projector with its model."""
    return ((model, one) for model in catalog.models for one in (*model.artifacts, *model.projectors))


def test_names_are_unique(catalog: Catalog) -> None:
    """An id means one model, installable or left out; a quantisation one artifact of it."""
    ids = [model.id for model in catalog.models] + [entry.id for entry in catalog.left_out]
    assert len(set(ids)) == len(ids)
    for model in catalog.models:
        quants = [artifact.quant.lower() for artifact in model.artifacts]
        assert len(set(quants)) == len(quants) > 0, model.id
        assert model.id == model.id.lower()
        assert ":" not in model.id


def test_no_two_models_share_a_repository(catalog: Catalog) -> None:
    """A repository's name leads to one model, or looking it up would be a guess."""
    owners: dict[str, str] = {}
    for model, artifact in artifacts(catalog):
        if artifact.hub is not None:
            assert owners.setdefault(artifact.hub.repository.lower(), model.id) == model.id


def test_every_artifact_can_be_fetched_and_every_file_has_a_size(catalog: Catalog) -> None:
    """There is an origin, it has all files in order, and no size is missing."""
    for model, artifact in artifacts(catalog):
        name = f"{model.id}:{artifact.quant}"
        assert artifact.hub or artifact.package, name
        assert artifact.files, name
        assert all(file.size_bytes > 0 for file in artifact.files), name
        if artifact.hub:
            assert [path.rpartition("/")[2] for path in artifact.hub.paths] == [f.name for f in artifact.files], name
        if artifact.package:
            assert len(artifact.files) == 1, name


def test_split_files_are_whole_and_in_order(catalog: Catalog) -> None:
    """The engine opens the first part and expects all the others beside it."""
    for model, artifact in artifacts(catalog):
        count = len(artifact.files)
        if count > 1:
            ends = [f"-{part:05}-of-{count:05}.gguf" for part in range(1, count + 1)]
            assert all(f.name.endswith(end) for f, end in zip(artifact.files, ends, strict=True)), model.id
        else:
            assert "-of-0" not in artifact.files[0].name or "-of-00001" in artifact.files[0].name


def test_hashes_and_revisions_are_well_formed(catalog: Catalog) -> None:
    """A pin that can never match would be worse than none."""
    for _, artifact in artifacts(catalog):
        for file in artifact.files:
            assert file.sha256 is None or SHA256.fullmatch(file.sha256)
        if artifact.hub and artifact.hub.revision:
            assert COMMIT.fullmatch(artifact.hub.revision)


def test_the_largest_form_comes_first(catalog: Catalog) -> None:
    """Readers and rankings see the finest form of a model first."""
    for model in catalog.models:
        sizes = [artifact.size_bytes for artifact in model.artifacts]
        assert sizes == sorted(sizes, reverse=True), model.id


def test_sizes_agree_with_the_number_of_parameters(catalog: Catalog) -> None:
    """A form takes more than a bit a parameter and at most 16, and a third for a tied matrix that is stored twice."""
    for model, artifact in artifacts(catalog):
        if artifact in model.projectors:
            continue
        bits = artifact.size_bytes * 8 / model.parameters_total
        assert 1 < bits < 16 * 4 / 3, f"{model.id}:{artifact.quant} {bits:.1f}"


def test_facts_of_models_are_plausible(catalog: Catalog) -> None:
    """Dates are dates, parts are no larger than the whole, and every entry names its sources."""
    for model in catalog.models:
        assert 0 < model.parameters_active <= model.parameters_total, model.id
        assert model.context_tokens >= 1024, model.id
        assert model.release_date is None or date.fromisoformat(model.release_date) <= date.fromisoformat(catalog.dated)
        assert re.fullmatch(r"[A-Z]{2}", model.country), model.id
        assert model.sources, model.id
    assert all(entry.reason.endswith(".") for entry in catalog.left_out)


def test_sources_tell_nothing_of_how_they_were_looked_up(catalog: Catalog) -> None:
    """A reader can use a source's name, not the number that it has in somebody's index."""
    text = "\n".join(source for model in catalog.models for source in model.sources)
    assert not re.search(r"find_string|index id|search \w+ corpus", text)


def test_memory_curves_are_of_one_engine_and_reach_to_the_end(catalog: Catalog) -> None:
    """Every bound begins where contexts begin, ends where the model's longest context does, and never falls."""
    for model in catalog.models:
        curve = model.memory
        assert curve.engine == catalog.engine
        for points in (curve.compute.f16, curve.compute.f16_without_flash, curve.compute.q8_0):
            contexts = [context for context, _ in points]
            assert contexts == sorted(set(contexts)), model.id
            assert contexts[0] == 512, model.id
            assert contexts[-1] >= model.context_tokens, model.id
            bounds = [size for _, size in points]
            assert bounds == sorted(bounds), model.id
        assert len(curve.f16.caches) == len(curve.q8_0.caches), model.id
        assert curve.f16.caches or curve.f16.recurrent_bytes, model.id
        assert curve.widest > 0, model.id


@pytest.mark.parametrize(
    ("model_id", "f16_bytes"),
    [("llama-3.1-8b-instruct", 131_072), ("qwen3-8b", 147_456), ("gpt-oss-20b", 24_576), ("gemma-3-270m", 3_072)],
)
def test_kv_bytes_of_a_token_are_the_known_ones(catalog: Catalog, model_id: str, f16_bytes: int) -> None:
    """Layers x 2 x KV heads x head width x 2 bytes in the layers without a window; q8_0 takes 34/64 of it."""
    (model,) = (m for m in catalog.models if m.id == model_id)
    f16, q8_0 = (
        sum(cache.bytes_per_cell for cache in state.caches if cache.max_cells is None)
        for state in (model.memory.f16, model.memory.q8_0)
    )
    assert f16 == f16_bytes
    assert q8_0 * 64 == f16_bytes * 34


def test_the_two_models_from_packages_are_pinned_to_the_byte(catalog: Catalog) -> None:
    """These install from a package index alone, so every wheel and every file has a hash and a size."""
    packaged = {model.id: artifact for model, artifact in artifacts(catalog) if artifact.package}
    assert set(packaged) == {"smollm2-135m-instruct", "gemma-3-270m"}
    for artifact in packaged.values():
        assert artifact.package is not None
        assert artifact.pinned
        assert artifact.size_exact
        for piece in artifact.package.pieces:
            assert SHA256.fullmatch(piece.wheel_sha256)
            assert piece.wheel_bytes > 0
    assert [p.member[-6:] for p in packaged["gemma-3-270m"].package.pieces] == [  # type: ignore[union-attr]  # asserted above
        "part00",
        "part01",
        "part02",
        "part03",
    ]


def test_base_models_are_not_offered_for_chat(catalog: Catalog) -> None:
    """The base Gemma continues text; the instruction-tuned SmolLM2 models answer."""
    chat = {model.id: model.capabilities.chat for model in catalog.models}
    assert chat["gemma-3-270m"] is False
    assert chat["gemma-3-270m-it"] is True
    assert chat["smollm2-135m-instruct"] is True


def test_models_for_images_have_their_projectors_and_no_others_do(catalog: Catalog) -> None:
    """One file each, from a repository; most models for images have one, and a promised hash comes first."""
    seeing = [model for model in catalog.models if model.projectors]
    assert all(model.capabilities.vision for model in seeing)
    assert len(seeing) > 0.8 * sum(bool(model.capabilities.vision) for model in catalog.models)
    for model in seeing:
        assert all(len(one.files) == 1 and one.hub is not None for one in model.projectors), model.id
        pinned = [one.pinned for one in model.projectors]
        assert pinned == sorted(pinned, reverse=True), model.id
