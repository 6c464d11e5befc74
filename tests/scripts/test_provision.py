"""What scripts/provision holds, each by the real tool that it is for."""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

from tests.support.bare_host import Host, needs_overlay
from tests.support.cli import ROOT

FOLDER: Final = ROOT / "scripts" / "provision"
SITE: Final = """
[policy]
file = "rules.toml"

[store]
scope = "system"

[sources]
bundle = "{stick}"

[[models]]
best = "chat"
"""
RECAP: Final = "import sys; from ansible.cli.playbook import main; sys.exit(main())"


def play(host: Host, folder: Path, *options: str) -> dict[str, int]:
    """Run the playbook on the host, by Ansible on that very host; gives ok, changed, failures and so on."""
    done = host(
        *(sys.executable, "-c", RECAP, "-i", "localhost,", "-c", "local", *options, str(folder / "site.yml")),
        ANSIBLE_ROLES_PATH=str(FOLDER / "ansible" / "roles"),
        ANSIBLE_LOCAL_TEMP="/tmp/ansible",  # noqa: S108 - on the overlay
        ANSIBLE_REMOTE_TEMP="/tmp/ansible",  # noqa: S108 - on the overlay
        ANSIBLE_PYTHON_INTERPRETER="/usr/bin/python3",
    )
    counts = {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", done.stdout.partition("PLAY RECAP")[2])}
    assert counts.get("failed", 1) + counts["unreachable"] == 0, done.stdout + done.stderr
    return counts


@pytest.fixture
def playbook(tmp_path: Path, stick: Path) -> Path:
    """A playbook for one host with a stick."""
    (tmp_path / "site.yml").write_text(
        json.dumps(
            [
                {
                    "hosts": "all",
                    "gather_facts": False,
                    "roles": [
                        {
                            "role": "landfast",
                            "landfast_bundle": str(stick),
                            "landfast_key": str(stick / "landfast-bundle.pub"),
                            "landfast_site": str(tmp_path / "landfast.toml"),
                            "landfast_beside": [str(tmp_path / "rules.toml")],
                        }
                    ],
                }
            ]
        )
    )
    (tmp_path / "landfast.toml").write_text(SITE.format(stick=stick))
    (tmp_path / "rules.toml").write_text("[deny]\ncountry = ['XX']\n")
    return tmp_path


@needs_overlay
@pytest.mark.engine
@pytest.mark.index
@pytest.mark.timeout(600)
@pytest.mark.skipif(find_spec("ansible") is None, reason="Ansible is not installed.")
def test_the_ansible_role_changes_a_host_once(host: Host, playbook: Path) -> None:
    """Check mode changes nothing and says so, the first run changes, the second does not, a new wish shows in check."""
    assert play(host, playbook, "--check")["changed"] > 0
    assert host.changed == set()
    assert play(host, playbook)["changed"] > 0
    assert (host.root / "usr/local/bin/landfast").is_symlink()
    assert "XX" in (host.root / "etc/landfast/policy.toml").read_text()
    before = host.changed
    assert play(host, playbook)["changed"] == 0
    assert play(host, playbook, "--check")["changed"] == 0
    with (playbook / "landfast.toml").open("a") as file:
        file.write('context = "2k"\n')
    assert play(host, playbook, "--check", "--diff")["changed"] > 0
    (playbook / "rules.toml").write_text("[deny]\ncountry = ['YY']\n")
    assert play(host, playbook, "--check")["changed"] > 0
    assert host.changed == before


@pytest.mark.skipif(find_spec("kubernetes_validate") is None, reason="kubernetes-validate is not installed.")
def test_the_kubernetes_objects_are_valid() -> None:
    """Every object is held strictly against the schema of its kind."""
    import kubernetes_validate  # type: ignore[import-untyped]
    import yaml

    objects = list(yaml.safe_load_all((FOLDER / "kubernetes" / "preseed.yaml").read_text()))
    assert {found["kind"] for found in objects} >= {"DaemonSet", "Job", "NetworkPolicy"}
    for found in objects:
        kubernetes_validate.validate(found, kubernetes_validate.latest_version(), strict=True)


def test_no_container_may_do_more_than_it_must() -> None:
    """Nothing can be gained or written, and only the one that hands over a folder is root."""
    import yaml

    for found in yaml.safe_load_all((FOLDER / "kubernetes" / "preseed.yaml").read_text()):
        pod = found.get("spec", {}).get("template", {}).get("spec", {})
        for container in (*pod.get("initContainers", ()), *pod.get("containers", ())):
            rights = container["securityContext"]
            assert not rights["allowPrivilegeEscalation"]
            assert rights["readOnlyRootFilesystem"]
            assert rights["capabilities"]["drop"] == ["ALL"]
            assert rights.get("runAsUser") != 0 or container["command"][0] == "chown"
    compose = yaml.safe_load((FOLDER / "container" / "compose.yaml").read_text())
    assert compose["services"]["run"]["network_mode"] == "none"
    assert all(service["read_only"] and service["cap_drop"] == ["ALL"] for service in compose["services"].values())


@pytest.mark.skipif(find_spec("pykickstart") is None, reason="pykickstart is not installed.")
def test_kickstart_understands_the_snippet() -> None:
    """By Red Hat's own parser, in its newest syntax."""
    from pykickstart.parser import KickstartParser  # type: ignore[import-untyped]
    from pykickstart.version import makeVersion  # type: ignore[import-untyped]

    parser = KickstartParser(makeVersion())
    parser.readKickstart(str(FOLDER / "kickstart" / "landfast.ks"))
    assert parser.handler.scripts[0].errorOnFail
    assert "python3.11" in parser.handler.packages.packageList


@pytest.mark.skipif(shutil.which("cloud-init") is None, reason="cloud-init is not installed.")
def test_cloud_init_understands_the_user_data() -> None:
    """By cloud-init's own schema."""
    command = [
        shutil.which("cloud-init") or "",
        "schema",
        "--config-file",
        str(FOLDER / "cloud-init" / "user-data.yaml"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("script", [*(FOLDER / "windows").glob("*.ps1"), *(ROOT / "scripts").glob("*.ps1")], ids=str)
@pytest.mark.skipif(shutil.which("pwsh") is None, reason="PowerShell is not installed.")
def test_powershell_can_read_it(script: Path) -> None:
    """No script has a syntax error."""
    program = f"[ScriptBlock]::Create((Get-Content -Raw '{script}')) | Out-Null"
    done = subprocess.run(
        [shutil.which("pwsh") or "", "-NoProfile", "-Command", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_snippets_name_only_options_that_exist() -> None:
    """Options of install.sh and of `landfast apply` that a snippet uses are known to them."""
    installer = (ROOT / "scripts" / "install.sh").read_text()
    for path in (path for path in FOLDER.rglob("*") if path.is_file() and "windows" not in path.parts):
        for line in path.read_text().splitlines():
            if "install.sh" in line and not line.lstrip().startswith("#"):
                words = line.replace(",", " ").replace('"', " ").replace("]", " ").split()
                unknown = [word for word in words if word.startswith("--") and f" {word}" not in installer]
                assert unknown == [], (path.name, line)
    assert os.access(ROOT / "scripts" / "install.sh", os.X_OK)
