"""What the desk of this machine refuses before anything is started, and what it leaves behind then: nothing."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qsearch.contracts.errors import InputError, ModelError, NotFound, Unreachable, Unsupported, UsageError
from qsearch.contracts.views import Overrides
from qsearch.service.desk import LocalDesk, open_desk
from tests.acceptance.conftest import write_classifier

SPEC = "name: mine\nmodel: {path: model.onnx}\ndata: {path: samples.npz}\nmetric: top1\ntargets: [this-machine]\n"
Opener = Callable[..., LocalDesk]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opener]:
    """Opens desks in a project folder of their own, without any setting of whoever runs the tests."""
    for name in [n for n in os.environ if n.startswith(("QSEARCH_", "RAY_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "qsearch.toml").write_text("")
    (tmp_path / "mine.yaml").write_text(SPEC)
    for name in ("model.onnx", "samples.npz"):
        (tmp_path / name).write_bytes(b"not looked at")
    desks: list[LocalDesk] = []

    def opener(**flags: str) -> LocalDesk:
        desks.append(open_desk(flags))
        return desks[-1]

    yield opener
    for desk in desks:
        desk.close()


@pytest.mark.parametrize("name", ["server", "token_file"])
def test_a_server_is_refused_by_name(opened: Opener, tmp_path: Path, name: str) -> None:
    (tmp_path / "qsearch.toml").write_text(f'{name} = "somewhere"\n')
    with pytest.raises(Unsupported, match=rf"{name} is set \(.*qsearch\.toml\)"):
        opened()


def test_a_ray_address_of_the_environment_is_for_ray_only(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSEARCH_RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(NotFound, match=r"no recording .*gone"):
        opened().plan(Path("mine.yaml"), Overrides(pool="replay:gone"))
    with pytest.raises(Unreachable, match=r"no Ray cluster at 127\.0\.0\.1:1"):
        opened().plan(Path("mine.yaml"), Overrides(pool="ray"))


def test_a_ray_address_of_a_file_is_for_ray_only(opened: Opener, tmp_path: Path) -> None:
    (tmp_path / "qsearch.toml").write_text('ray_address = "auto"\n')
    with pytest.raises(NotFound, match=r"no recording .*gone"):
        opened().plan(Path("mine.yaml"), Overrides(pool="replay:gone"))


@pytest.mark.parametrize("pool", ["local", "replay:gone"])
def test_a_ray_address_by_flag_with_another_pool_contradicts_itself(opened: Opener, pool: str) -> None:
    with pytest.raises(UsageError, match=f"means nothing to the pool '{pool}'"):
        opened(ray_address="auto").plan(Path("mine.yaml"), Overrides(pool=pool))


@pytest.mark.parametrize(
    ("overrides", "error"),
    [
        (Overrides(pool="locl"), UsageError),
        (Overrides(pool="replay:missing"), NotFound),
        (Overrides(record="model.onnx/run.jsonl"), UsageError),
    ],
)
def test_nothing_to_run_on_or_to_write_to_leaves_no_job(
    opened: Opener, overrides: Overrides, error: type[Exception]
) -> None:
    desk = opened()
    with pytest.raises(error):
        desk.run(Path("mine.yaml"), overrides, lambda progress: None)
    assert list(desk.jobs(limit=10, states=())) == []


def test_artifacts_that_cannot_be_written_leave_no_job(opened: Opener) -> None:
    desk = opened(artifacts="model.onnx/below")
    with pytest.raises(Unreachable, match=r"model\.onnx/below"):
        desk.run(Path("mine.yaml"), Overrides(), lambda progress: None)
    assert list(desk.jobs(limit=10, states=())) == []


def test_a_provider_that_a_further_target_lacks_is_found_before_there_is_a_job(opened: Opener, tmp_path: Path) -> None:
    write_classifier(tmp_path / "model.onnx", tmp_path / "samples.npz")
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets" / "gpu.yaml").write_text("provider: CUDA\n")
    (tmp_path / "mine.yaml").write_text(SPEC.replace("[this-machine]", "[this-machine, gpu]"))
    desk = opened()
    for ask in (
        lambda: desk.validate(Path("mine.yaml")),
        lambda: desk.run(Path("mine.yaml"), Overrides(trials=1), lambda progress: None),
        lambda: desk.submit(Path("mine.yaml"), Overrides(trials=1), lambda progress: None, patience_s=60),
    ):
        with pytest.raises(InputError, match="target gpu: provider CUDA is not in onnxruntime"):
            ask()
    assert list(desk.jobs(limit=10, states=())) == []


def test_a_self_test_of_a_model_that_is_not_there_is_no_problem_of_the_worker(opened: Opener) -> None:
    with pytest.raises(ModelError, match=r"no file .*nosuch\.onnx"):
        opened().doctor(self_test=True, model="nosuch.onnx")


@pytest.mark.parametrize("asked", [{"sittings": 20}, {"sittings": 6}, {"model": "m.onnx"}, {"targets": ("a",)}])
def test_what_only_a_self_test_can_use_is_refused_without_one(opened: Opener, asked: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="--sittings say what the self-test sits"):
        opened().doctor(self_test=False, **asked)  # type: ignore[arg-type]


def test_a_user_without_a_name_is_a_number(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    # a user that no container image knows
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_001)
    with pytest.raises((KeyError, OSError)):
        getpass.getuser()
    with pytest.raises(NotFound):
        opened().status("absent")
