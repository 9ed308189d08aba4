"""Settings: what is true for every job, and where each value came from.

Precedence, highest first: a flag; `QSEARCH_*`; the file of `--config`; `qsearch.toml` of the
project; the user's `config.toml`; the default.

The project folder is the nearest folder, from the working folder upwards, that holds `.qsearch/` or
`qsearch.toml`; failing that, the nearest that holds `.git` or `pyproject.toml`. Inside a project the
database is `.qsearch/qsearch.db` there; elsewhere it is in the user's data folder, so that a job is
found again from any folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qsearch.contracts.errors import Unsupported, UsageError
from qsearch.spec.settings_file import read_settings_file
from qsearch.spec.units import parse_time
from qsearch.spec.words import COLORS, meant_or_known

#: every setting: its meaning, as `config show` explains it
SETTINGS: dict[str, str] = {
    "database_url": "where jobs are kept: sqlite:///path/to/qsearch.db or postgresql://user:password@host/database",
    "ray_address": "the Ray cluster of submit and --pool ray; empty starts a local one",
    "head_idle": "how long the local Ray head of submit waits for another job before it ends: 90s, 5m",
    "artifacts": "folder of prepared models and splits",
    "server": "URL of a QSearch server",
    "token_file": "file that holds the server's token",
    "color": "auto, always or never",
}
#: settings whose value is a path
_PATHS = ("artifacts", "token_file")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One value and who said it."""

    name: str
    #: empty = not set
    value: str
    #: "--artifacts", "QSEARCH_ARTIFACTS", the path of a file, or "default"
    origin: str


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, resolved: paths are absolute, and every value knows its origin."""

    settings: Mapping[str, Setting]

    def value(self, name: str) -> str:
        """The value; empty when it is not set.

        Raises:
            UsageError: there is no such setting.
        """
        return self._get(name).value

    def origin(self, name: str) -> str:
        """Who said it: a flag, a variable, the path of a file, or `default`.

        Raises:
            UsageError: there is no such setting.
        """
        return self._get(name).origin

    def shown(self, name: str) -> str:
        """The value as it may be printed: passwords of URLs are `***`.

        Raises:
            UsageError: there is no such setting.
        """
        return without_passwords(self._get(name).value)

    def all(self) -> tuple[Setting, ...]:
        """Every setting with its real value, in a fixed order; print `shown(name)`, not the value."""
        return tuple(self.settings[name] for name in SETTINGS)

    def require_local(self) -> None:
        """For commands that would talk to a server: refuse what this version cannot honour.

        Raises:
            Unsupported: `server` or `token_file` is set; names it and its origin.
        """
        for name in ("server", "token_file"):
            if self.value(name):
                raise Unsupported(
                    f"{name} is set ({self.origin(name)}), and servers are not available in this version",
                    "Unset it; jobs run on this machine or on a Ray cluster (--pool ray).",
                )

    def _get(self, name: str) -> Setting:
        if name not in self.settings:
            raise UsageError(f'unknown setting "{name}"; {meant_or_known(name, SETTINGS)}')
        return self.settings[name]


def load_settings(flags: Mapping[str, str | None], environ: Mapping[str, str], cwd: Path) -> Settings:
    """Every setting from the highest source that says it. Creates no file and no folder.

    Args:
        flags: values of the command line by setting, None where a flag was not given; `config` is
            the file of `--config`.
        environ: the environment; empty variables count as unset.
        cwd: the working folder.

    Raises:
        UsageError: a flag or variable that means nothing, or a file named by one that is not there.
        SpecError: a settings file that is wrong; names the file, the line and the key.
    """
    project = project_folder(cwd)
    found: dict[str, Setting] = {}
    for source in (_from_flags(flags, cwd), _from_environment(environ, cwd), *_from_files(flags, project, cwd)):
        for setting in source:
            found.setdefault(setting.name, setting)
    for setting in _defaults(found.get("database_url"), project):
        found.setdefault(setting.name, setting)
    _must_be_a_time(found["head_idle"])
    objection = COLORS.objection(found["color"].value)
    if objection:
        raise UsageError(f"{found['color'].origin}: {objection}")
    return Settings(found)


def project_folder(cwd: Path) -> Path | None:
    """The folder of the project that `cwd` is in (see the top of this file); None outside of any."""
    places = (cwd.absolute(), *cwd.absolute().parents)
    for marks in ((".qsearch", "qsearch.toml"), (".git", "pyproject.toml")):
        for folder in places:
            if any((folder / mark).exists() for mark in marks):
                return folder
    return None


def heads_folder() -> Path:
    """Below it lie the papers of local Ray heads: in the user's own data folder, made when needed."""
    import platformdirs

    return platformdirs.user_data_path("qsearch", appauthor=False) / "heads"


def without_passwords(text: str) -> str:
    """A URL with `***` in place of its password, in the user part or the query."""
    text = re.sub(r"(://[^:/@?]*):.*@", r"\1:***@", text)
    return re.sub(r"(?i)([?&](?:password|passwd|pwd|token|sslpassword)=)[^&]*", r"\1***", text)


def _must_be_a_time(setting: Setting) -> None:
    try:
        parse_time(setting.value)
    except UsageError as error:
        raise UsageError(f"{setting.origin}: head_idle: {error.message}", error.hint) from error


def _from_flags(flags: Mapping[str, str | None], cwd: Path) -> list[Setting]:
    for name in flags:
        if name not in SETTINGS and name != "config":
            raise UsageError(f'unknown setting "{name}"; {meant_or_known(name, SETTINGS)}')
    given = {name: value for name, value in flags.items() if value is not None and name != "config"}
    return [_setting(name, value, "--" + name.replace("_", "-"), cwd) for name, value in given.items()]


def _from_environment(environ: Mapping[str, str], cwd: Path) -> list[Setting]:
    secret = environ.get("QSEARCH_DATABASE_URL_FILE")
    if secret and environ.get("QSEARCH_DATABASE_URL"):
        raise UsageError("expected one of QSEARCH_DATABASE_URL and QSEARCH_DATABASE_URL_FILE, found both; unset one")
    variables = {name: "QSEARCH_" + name.upper() for name in SETTINGS}
    found = [_setting(name, environ[key], key, cwd) for name, key in variables.items() if environ.get(key)]
    if secret:
        url = _read_secret(cwd / os.path.expanduser(secret))
        found.append(_setting("database_url", url, "QSEARCH_DATABASE_URL_FILE", cwd))
    if not environ.get("QSEARCH_COLOR"):
        found += [
            Setting(name="color", value=value, origin=key)
            for key, value in (("NO_COLOR", "never"), ("FORCE_COLOR", "always"))
            if environ.get(key)
        ]
    return found


def _read_secret(file: Path) -> str:
    try:
        url = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise UsageError(f"QSEARCH_DATABASE_URL_FILE: cannot read {file}: {reason}") from error
    if not url:
        raise UsageError(f"QSEARCH_DATABASE_URL_FILE: expected a database URL in {file}, found an empty file")
    return url


def _from_files(flags: Mapping[str, str | None], project: Path | None, cwd: Path) -> list[list[Setting]]:
    import platformdirs

    files = []
    named = flags.get("config")
    if named:
        files.append(cwd / os.path.expanduser(named))
        if not files[0].is_file():
            raise UsageError(f"--config: no such file: {files[0]}")
    files += [project / "qsearch.toml"] if project else []
    files.append(platformdirs.user_config_path("qsearch", appauthor=False) / "config.toml")
    return [
        [_setting(name, value, str(file), file.parent) for name, value in read_settings_file(file, SETTINGS).items()]
        for file in files
        if file.is_file()
    ]


def _setting(name: str, value: str, origin: str, folder: Path) -> Setting:
    """A value as it was given, its paths made absolute from the place it was given at."""
    value = value.strip()
    if name in _PATHS and value:
        value = str(_within(folder, value))
    elif name == "database_url" and value:
        value = _database_url(value, origin, folder)
    return Setting(name=name, value=value, origin=origin)


def _database_url(value: str, origin: str, folder: Path) -> str:
    """SQLite files become absolute, so that a URL means the same from every folder."""
    if "://" not in value:
        # Not repeated when it may hold a password; a mistyped server must not become a file's name.
        secret = ":" in value or "@" in value
        found = "something without a scheme" if secret else f'"{value}"'
        raise UsageError(
            f"{origin}: a database URL looks like sqlite:///path/to/qsearch.db or"
            f" postgresql://user:password@host/database, found {found}",
            "" if secret else f"For a file: sqlite:///{value}",
        )
    file = re.fullmatch(r"(sqlite(?:\+\w+)?:///)(?!/|:memory:|file:)([^?]+)(.*)", value)
    return f"{file[1]}{_within(folder, file[2])}{file[3]}" if file else value


def _within(folder: Path, path: str) -> Path:
    return folder.absolute() / os.path.expanduser(path)


def _defaults(database: Setting | None, project: Path | None) -> list[Setting]:
    import platformdirs

    home = project / ".qsearch" if project else platformdirs.user_data_path("qsearch", appauthor=False)
    url = database.value if database else f"sqlite:///{home / 'qsearch.db'}"
    file = re.fullmatch(r"sqlite(?:\+\w+)?:///(/[^?]+)(?:\?.*)?", url)
    artifacts = Path(file[1]).parent / "artifacts" if file else home / "artifacts"
    values = dict.fromkeys(SETTINGS, "")
    values |= {"database_url": url, "artifacts": str(artifacts), "color": "auto", "head_idle": "5m"}
    return [Setting(name=name, value=value, origin="default") for name, value in values.items()]
