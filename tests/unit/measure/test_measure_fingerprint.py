"""Machine keys name a class: clocks and names do not move them, what changes kernels does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qsearch.contracts.machine import Machine
from qsearch.contracts.target import Target
from qsearch.measure.fingerprint import circumstances, labels, runtime_key, saturates, this_machine

CPUINFO = """processor\t: 0
model name\t: {name}
cpu family\t: 6
model\t\t: 85
stepping\t: 7
microcode\t: {microcode}
cpu MHz\t\t: {mhz}
bogomips\t: {bogomips}
flags\t\t: fpu sse sse2 {flags}
"""


def _root(folder: Path, **values: str) -> Path:
    given = {"name": "Xeon", "microcode": "0x1", "mhz": "2500", "bogomips": "5000", "flags": "avx avx2 fma"} | values
    (folder / "proc").mkdir(parents=True, exist_ok=True)
    (folder / "proc/cpuinfo").write_text(CPUINFO.format(**given))
    (folder / "proc/meminfo").write_text(f"MemTotal: {given.get('ram', '1000')} kB\n")
    (folder / "etc").mkdir(exist_ok=True)
    (folder / "etc/machine-id").write_text(given.get("id", "abc"))
    return folder


def test_readings_and_names_do_not_move_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = this_machine(_root(tmp_path))
    monkeypatch.setattr("platform.node", lambda: "renamed")
    monkeypatch.setattr("platform.release", lambda: "99.0")
    second = this_machine(_root(tmp_path, mhz="2501.7", bogomips="5001.1", microcode="0x2", ram="2000", id="def"))
    assert first.key == second.key
    assert first.host != second.host
    assert first.details != second.details


@pytest.mark.parametrize("change", [{"flags": "avx avx2 fma avx_vnni"}, {"name": "Other"}])
def test_what_changes_kernels_moves_it(tmp_path: Path, change: dict[str, str]) -> None:
    assert this_machine(_root(tmp_path)).key != this_machine(_root(tmp_path, **change)).key


def test_flags_that_select_no_kernel_do_not_count(tmp_path: Path) -> None:
    assert this_machine(_root(tmp_path)).key == this_machine(_root(tmp_path, flags="avx avx2 fma smep erms")).key


def test_an_unreadable_machine_still_has_a_key(tmp_path: Path) -> None:
    found = this_machine(tmp_path)
    assert (found.isa, found.virtualisation) == ((), "unknown")
    assert len(found.key) == 16


def test_virtual_machines_and_containers_are_told_apart(tmp_path: Path) -> None:
    _root(tmp_path, flags="avx2 hypervisor")
    assert this_machine(tmp_path).virtualisation == "vm"
    (tmp_path / "sys/class/dmi/id").mkdir(parents=True)
    (tmp_path / "sys/class/dmi/id/sys_vendor").write_text("QEMU\n")
    assert this_machine(tmp_path).virtualisation == "kvm"
    (tmp_path / ".dockerenv").touch()
    assert this_machine(tmp_path).virtualisation == "kvm+docker"


def test_gpus_are_counted_by_model(tmp_path: Path) -> None:
    for number in range(2):
        card = _root(tmp_path) / f"proc/driver/nvidia/gpus/{number}"
        card.mkdir(parents=True)
        (card / "information").write_text("Model: \t\t NVIDIA H100\nIRQ: 4\n")
    assert this_machine(tmp_path).gpus == {"NVIDIA H100": 2}


def test_labels_serve_targets(tmp_path: Path) -> None:
    found = labels(this_machine(_root(tmp_path, flags="avx2 avx512_vnni")))
    assert found["isa"] == "avx2,avx512_vnni"


@pytest.mark.parametrize(
    ("arch", "isa", "expected"),
    [
        ("x86_64", ("avx2",), True),
        ("x86_64", ("avx", "avx2", "avx512f", "avx512bw"), True),
        ("x86_64", ("avx2", "avx_vnni"), False),
        ("x86_64", ("avx2", "avx512_vnni"), False),
        ("aarch64", ("asimddp", "i8mm"), False),
        ("aarch64", (), False),
    ],
)
def test_saturation_is_x86_without_vnni(arch: str, isa: tuple[str, ...], expected: bool) -> None:
    machine = Machine(host="h", cpu="c", isa=isa, cores=1, virtualisation="none", details={"arch": arch})
    assert saturates(machine) is expected


def test_the_runtime_key_holds_what_must_agree_and_no_names() -> None:
    target = Target(name="a", threads=2)
    key = runtime_key(target, "onnxruntime 1.32.0")
    assert key == runtime_key(replace(target, name="b", labels={"isa": "avx2"}), "onnxruntime 1.32.0")
    for other in (replace(target, threads=1), replace(target, batch=2), replace(target, options={"a.b": "1"})):
        assert runtime_key(other, "onnxruntime 1.32.0") != key
    assert runtime_key(target, "onnxruntime 1.33.0") != key


def test_circumstances_keep_the_values_behind_the_keys() -> None:
    machine = this_machine()
    found = circumstances(Target(name="t"), "onnxruntime 1.32.0", machine, {"nice": "0"})
    assert (found.machine_key, found.host) == (machine.key, machine.host)
    assert found.details["threads"] == "1"
    assert found.details["nice"] == "0"
    assert "force_spinning_stop" in found.details["options"]
