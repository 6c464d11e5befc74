"""Landfast by pyinfra: `pyinfra --sudo INVENTORY deploy.py`. The bundle is on the hosts, the rest beside this file."""

from io import StringIO

from pyinfra import host
from pyinfra.facts.server import Command
from pyinfra.operations import files, server

BUNDLE = "/media/stick/landfast-bundle"
FOLDER = "/etc/landfast"

brought = [
    files.put(name=f"Bring {name}", src=name, dest=f"{FOLDER}/{name}", mode="644")
    for name in ("landfast-bundle.pub", "landfast.toml", "landfast.lock")
]
files.put(name="Bring the installer", src="../../install.sh", dest=f"{FOLDER}/install.sh", mode="755")

INSTALL = f"bash {FOLDER}/install.sh --system --from {BUNDLE} --key {FOLDER}/landfast-bundle.pub"
APPLY = f"/usr/local/bin/landfast apply {FOLDER}/landfast.toml --locked"

# pyinfra calls a command changed whenever it runs, so it runs only where something is to be done. The host is asked
# before the files of this run are there, so that new files are a reason of their own.
if "nothing was changed" not in host.get_fact(Command, f"{INSTALL} --dry-run 2>&1 || true"):
    server.shell(name="Install the program", commands=[INSTALL])
drifted = host.get_fact(Command, f"{APPLY} --check >/dev/null 2>&1; echo $?") != "0"
server.shell(
    name="Apply the site file", commands=[APPLY], _if=lambda: drifted or any(file.did_change() for file in brought)
)

files.put(name="Say who manages this", src=StringIO("Managed by pyinfra.\n"), dest=f"{FOLDER}/MANAGED", mode="644")
