"""Where the user told pip to look, read without starting pip (which takes 0.3 s).

Only `reach` rests on this: a download runs pip itself, which reads its own settings.
"""

import configparser
import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec


class PipSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The part of pip's settings that says where packages come from."""

    index_url: str
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    no_index: bool = False
    """True when only `find_links` is to be used."""
    proxy: str | None = None
    certificates: str | None = None
    """Path of a file with trusted certificates."""


def read_settings(environment: Mapping[str, str]) -> PipSettings:
    """Read pip's configuration files and environment variables, in pip's order of precedence."""
    values: dict[str, str] = {}
    for file in _configuration_files(environment):
        values |= _read_file(file)
    values |= {
        key.removeprefix("PIP_").lower().replace("_", "-"): value
        for key, value in environment.items()
        if key.startswith("PIP_") and value
    }
    return PipSettings(
        index_url=values.get("index-url") or _default_index(),
        extra_index_urls=tuple(values.get("extra-index-url", "").split()),
        find_links=tuple(values.get("find-links", "").split()),
        no_index=values.get("no-index", "").lower() in {"1", "true", "yes", "on", "y", "t"},
        proxy=values.get("proxy"),
        certificates=values.get("cert"),
    )


def _read_file(file: Path) -> dict[str, str]:
    """The settings of one file; a file that cannot be read says nothing here, and pip will complain about it."""
    parser = configparser.RawConfigParser()
    try:
        parser.read(file)
    except (OSError, configparser.Error, UnicodeDecodeError):
        return {}
    sections = [parser[name] for name in ("global", "download") if parser.has_section(name)]
    return {
        key.lower().replace("_", "-"): value for section in sections for key, value in section.items() if value.strip()
    }


def _configuration_files(environment: Mapping[str, str]) -> Iterator[Path]:
    """The files that pip would read, weakest first. One named by PIP_CONFIG_FILE stands in for the user's own."""
    from platformdirs import site_config_dir, user_config_path

    named = environment.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return
    name = "pip.ini" if sys.platform == "win32" else "pip.conf"
    for folder in site_config_dir("pip", appauthor=False, multipath=True).split(os.pathsep):
        yield Path(folder) / name
    yield Path("/etc") / name
    if not (named and Path(named).exists()):
        with contextlib.suppress(RuntimeError):  # a user without a home has no settings there
            yield Path.home() / ("pip" if sys.platform == "win32" else ".pip") / name
            yield Path.home() / ".config" / "pip" / name
            yield user_config_path("pip", appauthor=False, roaming=True) / name
    yield Path(sys.prefix) / name
    if named:
        yield Path(named)


def _default_index() -> str:
    from pip._internal.models.index import PyPI

    return PyPI.simple_url
