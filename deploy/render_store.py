"""Results about bundles, keys and the store as text for people."""

from collections import Counter
from functools import partial
from typing import Final

from deploy.commands.adopt import AdoptData
from deploy.commands.bundle import CreateData, InspectData
from deploy.commands.keys import ExportData, KeysData, TrustData
from deploy.commands.upkeep import CollectData
from deploy.commands.versions import SwitchData
from deploy.quantities import gigabytes
from deploy.terminal import put, say

_put = partial(put, soft_wrap=True)  # hashes, paths and lines of files stay whole

KINDS: Final = {
    "interrupted": "of an interrupted install of {}",
    "set-aside": "of an altered file that was set aside ({:.12})",
    "left-behind": "of a file that no model uses ({:.12})",
    "former": "of the former version {}",
}
OTHERS: Final = 12


def bundle_created(data: CreateData) -> None:
    """What was made, and what comes next."""
    _put(f"✓ A bundle of {_models(data.models)}{_wheels(data.wheels)} is in {data.path}.")
    _put(f"  {gigabytes(data.size_bytes)} in {data.parts} files, signed by {data.key}")
    if data.wheels:
        _put("Next: `landfast keys export > maker.pub`, and on a host without Landfast, as root:")
        _put("`bash BUNDLE/install.sh --from BUNDLE --key maker.pub --model best`.")
    else:
        _put("Next, on the other host: `landfast keys trust BUNDLE/landfast-bundle.pub`,")
        _put("then `landfast install --from BUNDLE`.")


def bundle_seen(data: InspectData) -> None:
    """Signature, contents, and what is not as it should be."""
    mark, words = ("✓", "trusted here") if data.trusted else ("!", "not trusted here")
    _put(f"{mark} Signed by {data.made_by}, {words}.")
    for model in data.models:
        size = f"{gigabytes(model.size_bytes)}{' with its projector' * model.projector}"
        _put(f"  {model.id}: {model.name} {model.quant}, {size}, licence {model.licence}")
    if data.target is not None:
        _put(f"  {data.wheels} wheels for Python {data.target.python} on {data.target.platform}")
    if data.policy:
        _put("  a policy that holds for what is installed from it")
    counts = Counter(part.verdict for part in data.parts)
    for part in data.parts:
        if part.verdict in {"missing", "altered"}:
            _put(f"✗ {part.sentence}")
    there = counts["ok"] + counts["present"]
    looked = "hashed and unchanged" if data.hashed else "there in full length; --verify hashes them"
    _put(f"{'✓' if there == len(data.parts) else '!'} {there} of {len(data.parts)} parts are {looked}.")


def keys(data: KeysData) -> None:
    """One line a key."""
    if not data.trusted:
        _put("No key is trusted here. Next: `landfast keys trust FILE`.")
    for key in data.trusted:
        _put(f"{key.fingerprint}  {key.path}")


def key_exported(data: ExportData) -> None:
    """The key alone, so that it can be sent to a file; its fingerprint as talk, so that it can be read out."""
    _put(data.pem.rstrip("\n"))
    say(f"Fingerprint {data.fingerprint}")


def key_trusted(data: TrustData) -> None:
    """What was decided, and how it is undone."""
    _put(f"✓ Bundles signed by {data.key.fingerprint} are accepted here.")
    _put(f"  To end that, delete {data.key.path}")


def collected(data: CollectData) -> None:
    """What is, or was, not needed."""
    if not data.rubbish:
        _put("Nothing to delete: every file belongs to an installed model.")
        return
    for found in data.rubbish:
        _put(f"  {gigabytes(found.size_bytes)} {KINDS[found.kind].format(found.name)}")
    if data.freed_bytes:
        _put(f"✓ {gigabytes(data.freed_bytes)} freed.")


def switched(data: SwitchData) -> None:
    """What loads now, and what can be gone back to."""
    _put(f"✓ {data.installed.id} is version {data.installed.serial} again ({data.installed.hashes[0][:12]}).")
    for one in data.former:
        _put(f"  kept: version {one.serial} ({one.hashes[0][:12]}), installed {one.installed_at:%Y-%m-%d}")


def adopted(data: AdoptData) -> None:
    """What was found of the catalogue, and what else lies here."""
    if not data.found:
        _put("No model of the catalogue was found in other programs on this machine.")
    for model in data.found:
        state = "installed" if model.installed else "adopted" if model.id in data.adopted else "found"
        file = model.projector if model.lacks_projector and model.projector else model.files[0]
        what = f"its projector, {gigabytes(file.size_bytes)}" if model.lacks_projector else gigabytes(model.size_bytes)
        _put(f"{'✓' if state != 'found' else '•'} {model.id}, {what}, {state}; {file.program}: {file.path}")
    for other in data.others[:OTHERS]:
        _put(f"  {other.file.program}: {other.file.label}, {gigabytes(other.file.size_bytes)}: {other.reason}.")
    if data.others:
        _put("  A file that is not in the catalogue can be installed by its path: `landfast install FILE`.")


def _models(ids: tuple[str, ...]) -> str:
    return ", ".join(ids) or "no model"


def _wheels(count: int) -> str:
    return f" and {count} wheels" if count else ""
