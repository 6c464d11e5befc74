"""A bare host to install on: this machine's own files under an overlay, without compilers and without network.

What the overlay holds afterwards is exactly what was left on the host.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.support.cli import ROOT

SCRIPT: Final = ROOT / "scripts" / "install.sh"
BARE_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
COMPILERS: Final = "usr/bin/*g++* usr/bin/*gcc* usr/bin/c++ usr/bin/cc usr/bin/clang* usr/lib/*/libgomp.so*"
"""A host without a compiler has no OpenMP runtime either."""
ACCOUNT_FILES: Final = {f"etc/{name}" for name in (".pwd.lock", "group", "group-", "gshadow", "gshadow-")}
"""What making a group and taking it away leaves, on any host."""
BASH: Final = shutil.which("bash") or ""
SYSTEM_PYTHON: Final = Path("/usr/bin/python3")
"""Every user may run it; the one of these tests may lie in somebody's home."""

needs_overlay = pytest.mark.skipif(
    not sys.platform.startswith("linux")
    or os.geteuid() != 0
    or f"python{sys.version_info.major}.{sys.version_info.minor}" != SYSTEM_PYTHON.resolve().name,
    reason="Makes namespaces and an overlay, for the same Python as that of these tests.",
)


@dataclass(frozen=True)
class Host:
    """A bare host: its root, and what has changed on it since it was laid."""

    overlay: Path
    laid: frozenset[str]

    @property
    def root(self) -> Path:
        """Its files, seen from here."""
        return self.overlay / "root"

    def __call__(self, *words: str, user: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command on it, as root or with `user` numbers for setpriv, without network."""
        drop = ["/usr/bin/setpriv", *user.split()] if user else []
        home = "/tmp/a-user" if user else "/root"  # noqa: S108 - on the overlay
        return subprocess.run(
            ["/usr/bin/unshare", "--net", "chroot", str(self.root), *drop, *words],
            env={"PATH": BARE_PATH, "HOME": home, "LANG": "C.UTF-8", **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def install(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Run the script there, as a root whose own files nobody else may read."""
        return self("sh", "-c", 'umask 077; exec bash "$@"', "sh", str(SCRIPT), *options)

    @property
    def changed(self) -> set[str]:
        """Every file that is there, gone or different since the host was laid, and every folder that is new.

        Left out are /tmp, and what accounts leave on any host.
        """
        paths = _paths(self.overlay / "upper") - self.laid - ACCOUNT_FILES
        return {path for path in paths if not path.startswith("tmp/") and not self._is_old_folder(path)}

    def _is_old_folder(self, path: str) -> bool:
        return Path("/", path).is_dir() and (self.overlay / "upper" / path).is_dir()


@contextmanager
def bare_host(overlay: Path) -> Iterator[Host]:
    """Lay an overlay over this machine and take away what a bare host lacks."""
    overlay.mkdir()
    sh(f"mount -t tmpfs tmpfs {overlay} && cd {overlay} && mkdir upper work root && chmod 755 {overlay.parent} .")
    options = f"lowerdir=/,upperdir={overlay}/upper,workdir={overlay}/work"
    try:
        sh(f"mount -t overlay overlay -o {options} {overlay}/root && mount -t proc proc {overlay}/root/proc")
        sh(f"mount --rbind /dev {overlay}/root/dev && mount --make-rslave {overlay}/root/dev")
        sh(f"cd {overlay}/root && rm -f {COMPILERS} && rm -rf opt/landfast var/lib/landfast etc/landfast")
        yield Host(overlay, frozenset(_paths(overlay / "upper")))
    finally:
        sh(f"umount -R -l {overlay}/root; umount -l {overlay}")


def sh(command: str) -> None:
    """Run a line of shell. Raises CalledProcessError."""
    subprocess.run([BASH, "-c", command], check=True)


def _paths(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}
