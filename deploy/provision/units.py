"""The units by which systemd watches that a host stays as its site file wants it."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from deploy.errors import NotWritable, UsageError
from deploy.paths import SYSTEM_ROOT
from deploy.provision.files import ManagedFile, folders
from deploy.provision.site import Site
from deploy.provision.site_file import SiteFile
from deploy.provision.steps import Change, Finding, Step, Unseen
from deploy.store.files import disk_errors

TIMER: Final = "landfast-check.timer"
NAMES: Final = ("landfast-check.service", "landfast-verify.service", TIMER)
HOMES: Final = ("/home", "/root", "/run/user")
"""What a hardened unit cannot see."""


@dataclass(frozen=True, slots=True)
class Units:
    """What the units of one host say, and where they lie."""

    root: Path
    """/ of the host that is being prepared."""
    program: Path
    """The command `landfast` on that host."""
    file: SiteFile
    lock: Path

    @property
    def folder(self) -> Path:
        """Where an administrator's units lie."""
        return self.root / "etc" / "systemd" / "system"

    @property
    def link(self) -> Path:
        """What makes systemd start the timer when the host starts."""
        return self.folder / "timers.target.wants" / TIMER

    @property
    def running(self) -> bool:
        """Whether the host runs now, under systemd."""
        return self.root == Path("/") and Path("/run/systemd/system").is_dir()

    def text(self, name: str) -> bytes:
        """One unit. Raises UsageError where it could not reach what it needs."""
        values = {
            "@HARDENING@": _template("hardening.conf").rstrip("\n"),
            "@IDENTITY@": _identity(self.file.site),
            "@LOCK@": _word(self.lock, "The lock file"),
            "@PROGRAM@": _word(self.program, "The command"),
            "@SITE@": _word(self.file.path, "The site file"),
            "@TIMER@": self.file.site.drift.timer if self.file.site.drift else "",
        }
        text = _template(name)
        for mark, value in values.items():
            text = text.replace(mark, value)
        return text.encode()


def steps(units: Units) -> tuple[Step, ...]:
    """What the section [drift] asks for, or that nothing is left where it is not there. Raises UsageError."""
    wanted = units.file.site.drift is not None
    if sys.platform != "linux":
        if wanted:
            raise UsageError(
                "[drift] needs systemd, which is on Linux only.",
                hint="Leave out the section, and see docs/provisioning.md for other systems.",
            )
        return ()
    files = tuple(_file(units, name, wanted=wanted) for name in NAMES)
    enabled, running = EnabledStep(units, wanted=wanted), RunningStep(units, wanted=wanted)
    return (*files, enabled, running) if wanted else (running, enabled, *reversed(files))


@dataclass(frozen=True, slots=True)
class EnabledStep:
    """Whether the timer starts with the host."""

    units: Units
    wanted: bool
    name: str = "timer enabled"

    def look(self) -> Change | None:
        """Look for the link that `systemctl enable` makes."""
        there = self.units.link.is_symlink()
        if there == self.wanted:
            return None
        text = f"{self.units.link}\n"
        verb = "Start" if self.wanted else "No longer start"
        return Change(
            sentence=f"{verb} {TIMER} with the host.", before="" if self.wanted else text, after=text * self.wanted
        )

    def do(self) -> None:
        """Make the link, or take it away."""
        link = self.units.link
        with disk_errors(link.parent):
            if not self.wanted:
                link.unlink(missing_ok=True)
                return
            with folders(link.parent):
                link.symlink_to(Path("..") / TIMER)


@dataclass(frozen=True, slots=True)
class RunningStep:
    """Whether the timer runs now. A host that is only being prepared starts it when it boots."""

    units: Units
    wanted: bool
    name: str = "timer running"

    def look(self) -> Finding:
        """Ask systemd, where this user may; it also knows whether it has read the units as they are now."""
        if not self.units.running:
            return None
        try:
            shown = _systemctl("show", TIMER, "--property=ActiveState,NeedDaemonReload")
        except NotWritable as error:
            return Unseen(error.message)
        active, stale = "ActiveState=active" in shown, "NeedDaemonReload=yes" in shown
        if active == self.wanted and not (self.wanted and stale):
            return None
        sentence = f"Start {TIMER}." if self.wanted else f"Stop {TIMER}."
        return Change(sentence=sentence, before=shown, after=f"ActiveState={'' if self.wanted else 'in'}active\n")

    def do(self) -> None:
        """Have systemd read the units again, and start or stop the timer."""
        if self.wanted:
            _systemctl("daemon-reload")
            _systemctl("restart", TIMER)
        else:
            _systemctl("stop", TIMER)


def units_of(environment: Mapping[str, str], file: SiteFile, lock: Path) -> Units:
    """The units of the host that is being prepared."""
    return Units(
        root=Path(environment.get(SYSTEM_ROOT) or "/"), program=program_of(sys.executable), file=file, lock=lock
    )


def program_of(python: str) -> Path:
    """The command that belongs to an interpreter, by a path that stays when a newer version takes its place."""
    beside = Path(python).parent / "landfast"
    if not beside.exists():
        return Path(shutil.which("landfast") or beside)
    lasting = beside.parents[1].parent.parent / "current" / "bin" / "landfast"
    return lasting if lasting.exists() and lasting.samefile(beside) else beside


def _file(units: Units, name: str, *, wanted: bool) -> ManagedFile:
    meaning = "systemd checks this host by it" if wanted else "the site file asks for no checks"
    return ManagedFile(f"unit {name}", units.folder / name, lambda: units.text(name) if wanted else None, meaning)


def _identity(site: Site) -> str:
    """Whom the checks run as: the service account, or an account that exists only while they run."""
    group = site.users.group if site.users else "landfast"
    account = site.users.service_account if site.users else None
    if account is None:
        return f"DynamicUser=yes\nSupplementaryGroups={group}"
    return f"User={account}\nGroup={group}"


def _word(path: Path, what: str) -> str:
    """A path as a unit takes it. Raises UsageError for one in a home, which the unit does not see."""
    text = str(path)
    if text.startswith(tuple(f"{home}/" for home in HOMES)):
        raise UsageError(
            f"{what} {path} is in somebody's home, where the checks of the host cannot read it.",
            hint="Keep it where the whole host can read it, such as /opt/landfast and /etc/landfast.",
        )
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$") + '"'


def _template(name: str) -> str:
    return resources.files("deploy.provision").joinpath("units", name).read_text("utf-8")


def _systemctl(*words: str) -> str:
    """Raises NotWritable with systemd's last word."""
    program = shutil.which("systemctl") or "/usr/bin/systemctl"
    done = subprocess.run((program, *words), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        said = (done.stderr.strip() or "it gave no reason").splitlines()[-1].rstrip(".")
        raise NotWritable(f"`systemctl {' '.join(words)}` failed: {said}.", hint="Apply the file as root.")
    return done.stdout
