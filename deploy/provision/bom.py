"""Bills of materials as CycloneDX writes them: one of the models, one of the software that runs them."""

import hashlib
import json
import platform
import re
import uuid
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from deploy import __version__
from deploy.catalog.model import Artifact, Model
from deploy.engine.seal.places import engine_libraries
from deploy.store.records import Installed, StoredProjector

VERSIONS: Final = ("1.6", "1.7")
LONGEST_LICENCE: Final = 80
"""Some packages put the whole text of their licence where its name belongs."""
_REQUIRED: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NAMESPACE: Final = uuid.UUID("6f2d3f4e-3a3a-5b0e-9c55-1f0a6f1b7a10")
"""Of the serial numbers: the same contents have the same one."""

Entry = tuple[Installed, tuple[Model, Artifact] | None]
"""An installed model, and the catalogue's facts where it knows it."""


def of_models(version: str, made_at: str, entries: Sequence[Entry]) -> dict[str, Any]:
    """The ML-BOM: every installed model with hashes, licence, publisher and model card."""
    components = [_model(record, known) for record, known in entries]
    return _bom(version, made_at, components, [{"ref": component["bom-ref"]} for component in components])


def of_software(version: str, made_at: str) -> dict[str, Any]:
    """The SBOM: the interpreter, every Python distribution that Landfast can import here, the engine's libraries."""
    found = {_key(dist.metadata["Name"]): dist for dist in metadata.distributions() if dist.metadata["Name"]}
    distributions = [found[name] for name in sorted(found)]
    components = [_interpreter(), *map(_distribution, distributions), *map(_library, engine_libraries())]
    needs = [{"ref": _ref(dist), "dependsOn": sorted(set(_needs(dist, found)))} for dist in distributions]
    return _bom(version, made_at, components, needs)


def _bom(version: str, made_at: str, components: list[dict[str, Any]], needs: list[dict[str, Any]]) -> dict[str, Any]:
    tool = {"type": "application", "name": "landfast", "version": __version__}
    body = {
        "metadata": {"timestamp": made_at, "tools": {"components": [tool]}},
        "components": components,
        "dependencies": needs,
    }
    digest = json.dumps([version, body], sort_keys=True)
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{version}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": version,
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, digest)}",
        "version": 1,
        **body,
    }


def _model(record: Installed, known: tuple[Model, Artifact] | None) -> dict[str, Any]:
    model = known[0] if known else None
    component: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": f"model:{record.id}",
        "name": record.id,
        "version": f"sha256-{record.files[0].sha256[:12]}",
        "publisher": record.publisher,
        "licenses": [_licence(record.licence)],
        "components": [_file(record.id, file.name, file.sha256) for file in record.all_files],
        "modelCard": _card(record, model),
        "properties": _properties(_facts(record, model)),
    }
    if model is not None:
        component["supplier"] = {"name": model.publisher}
    if purl := _purl(known):
        component["purl"] = purl
    if model is not None and model.hub_repository:
        ancestor = {"type": "machine-learning-model", "name": model.hub_repository}
        component["pedigree"] = {"ancestors": [ancestor], "notes": "The unquantised weights of the publisher."}
    if len(record.files) == 1:
        component["hashes"] = [{"alg": "SHA-256", "content": record.files[0].sha256}]
    return component


def _card(record: Installed, model: Model | None) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "task": "text-generation",
        "modelArchitecture": record.architecture,
        "inputs": [{"format": form} for form in ("text", *(("image",) if record.projector else ()))],
        "outputs": [{"format": "text"}],
    }
    if model is not None:
        parameters["architectureFamily"] = model.family
    card: dict[str, Any] = {"modelParameters": parameters}
    if model is not None and model.licence.restrictions:
        card["considerations"] = {"useCases": [f"Limits of the licence: {model.licence.restrictions}"]}
    return card


def _projector(kept: StoredProjector) -> str:
    return f"{kept.name} by {kept.publisher}, from the {kept.source}, hash promised by {kept.pinned}"


def _facts(record: Installed, model: Model | None) -> dict[str, str | None]:
    """Everything else that is known; None is left out."""
    facts: dict[str, str | None] = {
        "quantisation": record.quant,
        "source": record.source,
        "hash-promised-by": ", ".join(dict.fromkeys(file.pinned for file in record.files)),
        "installed-at": record.installed_at.isoformat(),
        "chat-template-sha256": record.chat_template_sha256,
        "size-bytes": str(record.size_bytes),
        "projector": None if record.projector is None else _projector(record.projector),
    }
    if model is None:
        return facts
    return facts | {
        "country-of-publisher": model.country,
        "openness": model.openness,
        "released": model.release_date,
        "parameters": str(model.parameters_total),
        "context-tokens": str(model.context_tokens),
        "languages": None if model.languages is None else ", ".join(model.languages),
        "restrictions": model.licence.restrictions,
        "facts-from": "; ".join(model.sources),
    }


def _purl(known: tuple[Model, Artifact] | None) -> str | None:
    if known is None:
        return None
    hub, package = known[1].hub, known[1].package
    if hub is not None:
        return f"pkg:huggingface/{hub.repository}" + (f"@{hub.revision}" if hub.revision else "")
    if package is not None:
        return f"pkg:pypi/{_key(package.pieces[0].distribution)}@{package.pieces[0].version}"
    return None


def _licence(name: str) -> dict[str, Any]:
    """By its SPDX identifier, or by name where it has none.

    As an expression of one identifier: a schema's own list of them is older than the newest licences.
    """
    if name == "unknown" or name.startswith("LicenseRef-"):
        return {"license": {"name": name}}
    return {"expression": name}


def _file(owner: str, name: str, sha256: str) -> dict[str, Any]:
    return {
        "type": "file",
        "bom-ref": f"file:{owner}:{name}",
        "name": name,
        "hashes": [{"alg": "SHA-256", "content": sha256}],
    }


def _interpreter() -> dict[str, Any]:
    version = platform.python_version()
    name = platform.python_implementation()
    return {"type": "platform", "bom-ref": f"python:{version}", "name": name, "version": version}


def _distribution(dist: metadata.Distribution) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": _ref(dist),
        "name": dist.metadata["Name"],
        "version": dist.version,
        "purl": _ref(dist),
    }
    if licences := _licences(dist):
        component["licenses"] = licences
    record = dist.read_text("RECORD")
    if record is not None:
        digest = hashlib.sha256(record.encode()).hexdigest()
        component["properties"] = _properties({"record-sha256": digest})
    return component


def _licences(dist: metadata.Distribution) -> list[dict[str, Any]]:
    expression, text = dist.metadata["License-Expression"], (dist.metadata["License"] or "").strip()
    if expression:
        return [{"expression": expression}]
    classified = [
        line.rpartition(" :: ")[2]
        for line in dist.metadata.get_all("Classifier") or []
        if line.startswith("License :: ") and line.count(" :: ") > 1
    ]
    names = [text] if text and "\n" not in text and len(text) <= LONGEST_LICENCE else classified
    return [{"license": {"name": name}} for name in dict.fromkeys(names)]


def _library(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return _file("engine", path.name, hashlib.file_digest(file, "sha256").hexdigest())


def _needs(dist: metadata.Distribution, found: dict[str, metadata.Distribution]) -> Iterator[str]:
    """What a distribution always needs and has here."""
    for line in dict.fromkeys(dist.requires or ()):
        name = _REQUIRED.match(line)
        if name and "extra ==" not in line and _key(name[0]) in found:
            yield _ref(found[_key(name[0])])


def _ref(dist: metadata.Distribution) -> str:
    return f"pkg:pypi/{_key(dist.metadata['Name'])}@{dist.version}"


def _key(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _properties(facts: dict[str, str | None]) -> list[dict[str, str]]:
    return [{"name": f"landfast:{name}", "value": value} for name, value in facts.items() if value is not None]
