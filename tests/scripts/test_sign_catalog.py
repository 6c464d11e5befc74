"""A catalogue's whole way: built, signed with a key of openssl, taken over by a host that knows the maker."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from deploy.catalog.loader import load
from deploy.errors import ExitCode
from scripts import build_catalog, sign_catalog
from tests.support.cli import Landfast

OPENSSL: Final = shutil.which("openssl") or ""
pytestmark = pytest.mark.skipif(not OPENSSL, reason="makes its keys with openssl")


def key_pair(folder: Path, *algorithm: str) -> tuple[Path, Path]:
    """A private key and its public half, each in a file."""
    private, public = folder / "maker.pem", folder / "maker.pub"
    key, half = str(private), str(public)
    kind = algorithm or ("-algorithm", "ed25519")
    for words in (("genpkey", *kind, "-out", key), ("pkey", "-in", key, "-pubout", "-out", half)):
        subprocess.run([OPENSSL, *words], check=True, capture_output=True)
    return private, public


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A catalogue of a later day, as the builder writes and signs it, and the maker's public key."""
    newer = msgspec.structs.replace(load(), dated="2099-01-01", models=load().models[1:])
    monkeypatch.setattr(build_catalog, "read_facts", lambda _: None)
    monkeypatch.setattr(build_catalog, "build", lambda _: newer)
    private, public = key_pair(tmp_path)
    file = tmp_path / "catalog.json"
    build_catalog.main(["facts", str(file), "--sign", str(private)])
    return file, public


def envelope_of(done: "subprocess.CompletedProcess[str]") -> Any:
    """What a command printed."""
    return json.loads(done.stdout)


def test_a_signed_catalogue_is_taken_over_on_another_host(built: tuple[Path, Path], tmp_path: Path) -> None:
    """The key is named once; whoever trusts it need not name it again."""
    file, public = built
    landfast = Landfast(tmp_path / "home")
    done = landfast("catalog", "update", str(file), "--key", str(public), "--json")
    found = envelope_of(done)
    assert (done.returncode, found["changed"], found["data"]["dated"]) == (ExitCode.DONE, True, "2099-01-01")
    assert found["data"]["gone"] == [load().models[0].id]
    assert found["data"]["signed_by"]
    assert found["messages"] == []
    assert landfast("keys", "trust", str(public), "--yes").returncode == ExitCode.DONE
    again = envelope_of(landfast("catalog", "update", str(file), "--json"))
    assert (again["changed"], again["data"]["signed_by"]) == (False, found["data"]["signed_by"])


def test_an_altered_catalogue_is_refused(built: tuple[Path, Path], tmp_path: Path) -> None:
    """Even where whoever altered it also put a right checksum into it."""
    file, public = built
    altered = msgspec.structs.replace(load(), dated="2099-01-02")
    file.write_bytes(build_catalog.serialise(altered))
    done = Landfast(tmp_path / "home")("catalog", "update", str(file), "--key", str(public))
    assert done.returncode == ExitCode.INTEGRITY
    assert "catalog.json.sig belongs to" in done.stderr
    assert not (tmp_path / "home" / "data" / "catalog.json").exists()


def test_what_cannot_be_signed_is_one_sentence(tmp_path: Path, built: tuple[Path, Path]) -> None:
    """And no signature is written."""
    file, public = built
    private = public.with_suffix(".pem")
    (tmp_path / "rsa").mkdir()
    rsa, _ = key_pair(tmp_path / "rsa", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
    damaged = tmp_path / "damaged.json"
    damaged.write_bytes(file.read_bytes().replace(b"2099", b"2098"))
    for catalogue, key, said in (
        (file, public, "no Ed25519 private key"),
        (file, rsa, "no Ed25519 private key"),
        (file, tmp_path / "none.pem", "cannot be read"),
        (damaged, private, "is damaged"),
        (tmp_path / "none.json", private, "cannot be read"),
    ):
        with pytest.raises(SystemExit, match=said):
            sign_catalog.main([str(catalogue), str(key)])
    assert not damaged.with_name("damaged.json.sig").exists()
