"""Writes deploy/schemas/: one JSON Schema for the envelope of each command, and one for every failure.

python -m scripts.build_schemas
"""

from pathlib import Path
from typing import Any, Final

import msgspec

from deploy.commands import (
    adapters,
    adopt,
    audit,
    bundle,
    calibrate,
    catalog,
    compare,
    conversations,
    doctor,
    embed,
    install,
    journal,
    keys,
    machines,
    models,
    plan,
    policy,
    profile,
    run,
    select,
    sessions,
    upkeep,
    version,
    versions,
)
from deploy.conversations import Talk
from deploy.edge_chat import ChatData
from deploy.journal import Verdict
from deploy.provision.apply import ApplyData
from deploy.provision.evidence import EvidenceData
from deploy.results import Result

OUT: Final = Path(__file__).resolve().parents[1] / "deploy" / "schemas"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
RESULTS: Final[dict[str, Any]] = {
    "adapters": Result[adapters.AdapterList],
    "adapters-add": Result[adapters.AddedAdapter],
    "adapters-remove": Result[adapters.AdapterRemoval],
    "adapters-verify": Result[adapters.AdapterVerdicts],
    "apply": Result[ApplyData],
    "audit": Result[audit.AuditData],
    "audit-verify": Result[audit.VerifiedData],
    "bundle-create": Result[bundle.CreateData],
    "bundle-inspect": Result[bundle.InspectData],
    "catalog-search": Result[catalog.CatalogData],
    "catalog-update": Result[catalog.UpdateData],
    "chat": Result[ChatData],
    "calibrate": Result[calibrate.CalibrateData],
    "compare": Result[compare.CompareData],
    "conversations-delete": Result[conversations.DeleteData],
    "conversations-export": Result[conversations.ExportData],
    "conversations-list": Result[conversations.ListData],
    "conversations-search": Result[conversations.SearchData],
    "conversations-show": Result[Talk],
    "doctor": Result[doctor.DoctorData],
    "doctor-record": Result[machines.RecordData],
    "embed": Result[embed.EmbedData],
    "error": Result[None],
    "evidence": Result[EvidenceData],
    "install": Result[install.InstallData],
    "journal-export": Result[journal.ExportData],
    "journal-verify": Result[Verdict],
    "keys-export": Result[keys.ExportData],
    "keys-list": Result[keys.KeysData],
    "keys-trust": Result[keys.TrustData],
    "models": Result[models.ListData],
    "models-adopt": Result[adopt.AdoptData],
    "models-gc": Result[upkeep.CollectData],
    "models-remove": Result[models.RemoveData],
    "models-rollback": Result[versions.SwitchData],
    "models-show": Result[models.ShowData],
    "models-switch": Result[versions.SwitchData],
    "models-verify": Result[models.VerifyData],
    "plan": Result[plan.PlanData],
    "policy-check": Result[policy.CheckData],
    "policy-show": Result[policy.ShowData],
    "profile": Result[profile.ProfileData],
    "profile-list": Result[machines.LibraryData],
    "run": Result[run.RunData],
    "sessions": Result[sessions.SessionList],
    "sessions-remove": Result[sessions.SessionRemoval],
    "select": Result[select.SelectData],
    "version": Result[version.VersionData],
}
"""By the command's words, joined by dashes; "error" is what a failure without data looks like, whatever the command."""
OF_OPTIONS: Final = {"doctor-record", "profile-list"}
"""Results that an option of a command gives."""


def schema(name: str) -> bytes:
    """The schema of one command's envelope, as it is shipped."""
    found = {"$schema": DIALECT, "title": f"landfast {name.replace('-', ' ')} --json"}
    return msgspec.json.format(msgspec.json.encode(found | msgspec.json.schema(RESULTS[name])), indent=2) + b"\n"


def main() -> None:
    """Write all of them, and take away those of commands that are gone."""
    OUT.mkdir(exist_ok=True)
    for stale in OUT.glob("*.json"):
        if stale.stem not in RESULTS:
            stale.unlink()
    for name in RESULTS:
        (OUT / f"{name}.json").write_bytes(schema(name))
    print(f"{len(RESULTS)} schemas in {OUT}")


if __name__ == "__main__":
    main()
