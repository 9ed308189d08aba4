"""Who wins, where the database is, and what is never printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from qsearch.contracts.errors import SpecError, Unsupported, UsageError
from qsearch.spec.settings import SETTINGS, heads_folder, load_settings, project_folder, without_passwords


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without settings, and a working folder that is in no project."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    (tmp_path / "config" / "qsearch").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def test_precedence_from_the_default_upwards(home: Path) -> None:
    work = home / "work"

    def color() -> tuple[str, str]:
        settings = load_settings(flags, environ, work)
        return settings.value("color"), settings.origin("color")

    flags: dict[str, str | None] = {"color": None}
    environ: dict[str, str] = {}
    assert color() == ("auto", "default")

    user = home / "config" / "qsearch" / "config.toml"
    user.write_text('color = "never"\n')
    assert color() == ("never", str(user))

    (work / "qsearch.toml").write_text('color = "always"\n')
    assert color() == ("always", str(work / "qsearch.toml"))

    (home / "mine.toml").write_text('color = "never"\n')
    flags["config"] = "../mine.toml"
    assert color() == ("never", str(work / "../mine.toml"))

    environ["FORCE_COLOR"] = "1"
    assert color() == ("always", "FORCE_COLOR")

    environ["QSEARCH_COLOR"] = "auto"
    assert color() == ("auto", "QSEARCH_COLOR")

    flags["color"] = "never"
    assert color() == ("never", "--color")


def test_without_a_project_the_database_is_in_the_users_data(home: Path) -> None:
    settings = load_settings({}, {}, home / "work")
    assert settings.value("database_url") == f"sqlite:///{home}/data/qsearch/qsearch.db"
    assert settings.value("artifacts") == f"{home}/data/qsearch/artifacts"
    assert settings.origin("database_url") == "default"
    assert not (home / "data").exists()


@pytest.mark.parametrize("mark", [".qsearch", "qsearch.toml", ".git", "pyproject.toml"])
def test_a_project_has_its_own_database(home: Path, mark: str) -> None:
    deep = home / "work" / "a" / "b"
    deep.mkdir(parents=True)
    (home / "work" / mark).touch()
    settings = load_settings({}, {}, deep)
    assert settings.value("database_url") == f"sqlite:///{home}/work/.qsearch/qsearch.db"
    assert settings.value("artifacts") == f"{home}/work/.qsearch/artifacts"


def test_our_own_mark_is_stronger_than_a_nearer_repository(home: Path) -> None:
    inner = home / "work" / "inner"
    (inner / ".git").mkdir(parents=True)
    assert project_folder(inner) == inner
    (home / "work" / ".qsearch").mkdir()
    assert project_folder(inner) == home / "work"


def test_paths_count_from_where_they_are_written(home: Path) -> None:
    work = home / "work"
    inner = work / "inner"
    inner.mkdir()
    (work / "qsearch.toml").write_text('database_url = "sqlite:///db/x.db"\nartifacts = "big"\n')
    from_file = load_settings({}, {}, inner)
    assert from_file.value("database_url") == f"sqlite:///{work}/db/x.db"
    assert from_file.value("artifacts") == f"{work}/big"
    from_flag = load_settings({"database_url": "sqlite:///y.db", "artifacts": "~/big"}, {"HOME": str(home)}, inner)
    assert from_flag.value("database_url") == f"sqlite:///{inner}/y.db"
    assert from_flag.value("artifacts") == f"{Path.home()}/big"


@pytest.mark.parametrize("url", ["sqlite:////abs/x.db", "sqlite:///:memory:", "postgresql+psycopg://u:p@h/db"])
def test_other_urls_are_left_alone(home: Path, url: str) -> None:
    assert load_settings({"database_url": url}, {}, home / "work").value("database_url") == url


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("foo", '--database-url: .*found "foo"\nFor a file: sqlite:///foo'),
        ("./x.db", "For a file: sqlite:///./x.db"),
        ("user:s3cr3t@host/db", "found something without a scheme$"),
        ("postgresql:host/db?password=s3cr3t", "found something without a scheme$"),
    ],
)
def test_a_database_url_without_a_scheme_is_no_file_name(home: Path, value: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as error:
        load_settings({"database_url": value}, {}, home / "work")
    assert "postgresql://user:password@host/database" in str(error.value)
    assert "s3cr3t" not in str(error.value)


def test_artifacts_lie_beside_the_database(home: Path) -> None:
    work = home / "work"
    beside = load_settings({"database_url": "sqlite:////srv/q/jobs.db"}, {}, work)
    assert beside.value("artifacts") == "/srv/q/artifacts"
    server = load_settings({"database_url": "postgresql://h/db"}, {}, work)
    assert server.value("artifacts") == f"{home}/data/qsearch/artifacts"


def test_the_database_url_can_be_in_a_file(home: Path) -> None:
    secret = home / "secret"
    secret.write_text("postgresql://u:hidden@h/db\n")
    settings = load_settings({}, {"QSEARCH_DATABASE_URL_FILE": str(secret)}, home / "work")
    assert settings.value("database_url") == "postgresql://u:hidden@h/db"
    assert settings.shown("database_url") == "postgresql://u:***@h/db"
    assert settings.origin("database_url") == "QSEARCH_DATABASE_URL_FILE"


@pytest.mark.parametrize(
    ("flags", "environ", "message"),
    [
        (
            {},
            {"QSEARCH_DATABASE_URL": "a", "QSEARCH_DATABASE_URL_FILE": "b"},
            "expected one of QSEARCH_DATABASE_URL and QSEARCH_DATABASE_URL_FILE, found both; unset one",
        ),
        (
            {},
            {"QSEARCH_DATABASE_URL_FILE": "/no/such"},
            "QSEARCH_DATABASE_URL_FILE: cannot read /no/such: No such file or directory",
        ),
        ({"config": "/no/such.toml"}, {}, "--config: no such file: /no/such.toml"),
        ({"color": "alway"}, {}, '--color: unknown color "alway"; did you mean "always"?'),
        ({"databse_url": "x"}, {}, 'unknown setting "databse_url"; did you mean "database_url"?'),
    ],
)
def test_what_means_nothing_is_refused(
    home: Path, flags: dict[str, str | None], environ: dict[str, str], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        load_settings(flags, environ, home / "work")
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('\ndatabse_url = "x"\n', ':2:1 databse_url: unknown key; did you mean "database_url"?'),
        ("color = true\n", ':1:1 color: expected text in quotes, found the truth value true; write color = "..."'),
        ("[artifacts]\nx = 1\n", ':1:2 artifacts: expected text in quotes, found a table; write artifacts = "..."'),
        ("color = \n", ":1:9: not TOML: Invalid value"),
    ],
)
def test_a_wrong_settings_file_is_told_with_its_place(home: Path, text: str, line: str) -> None:
    file = home / "work" / "qsearch.toml"
    file.write_text(text)
    with pytest.raises(SpecError) as caught:
        load_settings({}, {}, home / "work")
    assert caught.value.message == f"{file}{line}"


def test_an_idle_time_is_a_time(home: Path) -> None:
    assert load_settings({}, {}, home / "work").value("head_idle") == "5m"
    assert load_settings({}, {"QSEARCH_HEAD_IDLE": "90s"}, home / "work").value("head_idle") == "90s"
    with pytest.raises(UsageError, match=r"QSEARCH_HEAD_IDLE: head_idle: expected a time"):
        load_settings({}, {"QSEARCH_HEAD_IDLE": "soon"}, home / "work")


def test_heads_lie_in_the_user_s_own_data_folder_and_are_not_made_by_asking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert heads_folder() == tmp_path / "data" / "qsearch" / "heads"
    assert not (tmp_path / "data").exists()


def test_an_empty_variable_is_not_set(home: Path) -> None:
    assert load_settings({}, {"QSEARCH_ARTIFACTS": ""}, home / "work").origin("artifacts") == "default"


def test_all_names_every_setting_in_order(home: Path) -> None:
    settings = load_settings({}, {}, home / "work")
    assert [setting.name for setting in settings.all()] == list(SETTINGS)


def test_an_unknown_name_is_answered_with_the_nearest(home: Path) -> None:
    with pytest.raises(UsageError, match=r'unknown setting "colour"; did you mean "color"\?'):
        load_settings({}, {}, home / "work").value("colour")


@pytest.mark.parametrize("name", ["server", "token_file"])
def test_a_server_is_refused_where_one_would_be_needed(home: Path, name: str) -> None:
    load_settings({}, {}, home / "work").require_local()
    settings = load_settings({}, {f"QSEARCH_{name.upper()}": "x"}, home / "work")
    with pytest.raises(Unsupported, match=f"{name} is set \\(QSEARCH_{name.upper()}\\)"):
        settings.require_local()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:p@h/db", "postgresql://u:***@h/db"),
        ("postgresql://u:p@ss/w:rd@h/db", "postgresql://u:***@h/db"),
        ("postgresql://u@h/db", "postgresql://u@h/db"),
        ("postgresql://h:5432/db?user=u&password=p&x=1", "postgresql://h:5432/db?user=u&password=***&x=1"),
        ("sqlite:////a/b.db", "sqlite:////a/b.db"),
    ],
)
def test_passwords_are_hidden(url: str, shown: str) -> None:
    assert without_passwords(url) == shown
