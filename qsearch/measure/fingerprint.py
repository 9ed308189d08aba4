"""Which class of machine this is, and what a number was taken under."""

from __future__ import annotations

import hashlib
import os
import platform
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from qsearch.contracts.codec import digest_of
from qsearch.contracts.machine import Circumstances, Machine
from qsearch.contracts.scenario import scenario_of
from qsearch.contracts.target import Target
from qsearch.measure.runtimes import settings_of

#: CPU flags that select kernels in a runtime. Others (and clock readings) say nothing about results.
_KERNEL_FLAGS = (
    "avx", "avx2", "f16c", "fma", "avx_vnni", "avx_vnni_int8", "avx_ifma",
    "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16", "avx512_fp16", "avx512_vbmi",
    "amx_tile", "amx_int8", "amx_bf16", "amx_fp16",
    "asimd", "asimddp", "asimdhp", "i8mm", "bf16", "sve", "sve2", "svei8mm", "sme", "sme2",
)  # fmt: skip
_VNNI = frozenset({"avx512_vnni", "avx_vnni", "avx_vnni_int8", "amx_int8"})
_VENDORS = (("KVM", "kvm"), ("QEMU", "kvm"), ("VMware", "vmware"), ("Xen", "xen"), ("Microsoft", "hyperv"),
            ("Google", "gce"), ("Amazon EC2", "ec2"), ("VirtualBox", "virtualbox"))  # fmt: skip


def this_machine(root: Path = Path("/")) -> Machine:
    """This host and its class, from /proc and /sys.

    Args:
        root: where /proc, /sys and /etc are; another one in tests.
    """
    info = _cpuinfo(root)
    flags = set(info.get("flags", info.get("Features", "")).split())
    details = {
        "hostname": platform.node(),
        "arch": platform.machine(),
        "kernel": platform.release(),
        "mhz": info.get("cpu MHz", ""),
        "bogomips": info.get("bogomips", info.get("BogoMIPS", "")),
        "microcode": info.get("microcode", ""),
        "ram_bytes": _ram(root),
    }
    return Machine(
        host=_host(root),
        cpu=_cpu(info),
        isa=tuple(sorted(flags.intersection(_KERNEL_FLAGS))),
        cores=len(os.sched_getaffinity(0)),
        virtualisation=_virtualisation(root, flags | set(info.get("flags", "").split())),
        gpus=_gpus(root),
        details={name: value for name, value in details.items() if value},
    )


def labels(machine: Machine) -> dict[str, str]:
    """What targets can ask for: {"isa": "avx2,avx512_vnni", "cpu": ..., "arch": ..., "host": ...}."""
    found = {
        "isa": ",".join(machine.isa),
        "cpu": machine.cpu.replace(",", " "),
        "arch": machine.details.get("arch", ""),
        "host": machine.host,
        "gpu": ",".join(sorted(machine.gpus)),
    }
    return {name: value for name, value in found.items() if value}


def saturates(machine: Machine) -> bool:
    """Whether int8 products of u8 × s8 are added in 16 bits there, so that weights need 7 bits.

    True on x86 without any VNNI: VPMADDUBSW adds two products of up to 255 × 127 in a signed 16-bit lane.
    """
    x86 = machine.details.get("arch", "") in ("x86_64", "AMD64", "i686") or "avx2" in machine.isa
    return x86 and not _VNNI.intersection(machine.isa)


def runtime_key(target: Target, runtime: str) -> str:
    """Short hash (16 hex digits) of what must agree, beside the machine, for two numbers to be comparable.

    Args:
        target: provider, options, threads, batch and scenario of it count; its name and labels do not,
            nor does where its interpreter lies. What its runtime is told for every model counts too.
        runtime: name and version.
    """
    return digest_of(_runtime_parts(target, runtime))[:16]


def circumstances(
    target: Target,
    runtime: str,
    machine: Machine | None = None,
    facts: Mapping[str, str] | None = None,
    numerics: str = "",
) -> Circumstances:
    """What a number was taken under.

    Args:
        target: what was asked.
        runtime: name and version of what ran, as the measuring process reports it.
        machine: where; None = here.
        facts: whatever else was seen there: niceness, affinity, threads, `shapes`.
        numerics: class of its arithmetic; empty = not known.
    """
    here = machine or this_machine()
    parts, seen = _runtime_parts(target, runtime), dict(facts or {})
    if target.python:
        seen["interpreter"] = target.python
    return Circumstances(
        machine_key=here.key,
        host=here.host,
        runtime=runtime,
        runtime_key=runtime_key(target, runtime),
        details={**parts, **seen},
        shapes=digest_of(seen["shapes"])[:16] if "shapes" in seen else "",
        numerics=numerics,
    )


def _runtime_parts(target: Target, runtime: str) -> dict[str, str]:
    options = {**settings_of(target), **target.options}
    # NOTE: what came later is left out where it says nothing new, so that keys of earlier numbers stay.
    later = {"provider_options": _text(target.provider_options)} if target.provider_options else {}
    if target.measured_as is not scenario_of("", 1):
        later["scenario"] = target.measured_as.value
    return {
        **later,
        "runtime": runtime,
        "provider": target.provider,
        "threads": str(target.threads),
        "batch": str(target.batch),
        "optimisation": "all",
        "execution": "sequential",
        "options": _text(options),
    }


def _text(options: Mapping[str, str]) -> str:
    return " ".join(f"{key}={options[key]}" for key in sorted(options))


def _cpuinfo(root: Path) -> dict[str, str]:
    """The first processor's entries, and those that stand once for all."""
    found: dict[str, str] = {}
    for line in _read(root, "proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        found.setdefault(name.strip(), value.strip())
    return found


def _cpu(info: Mapping[str, str]) -> str:
    if "model name" in info:
        # AMD's cloud names ("AMD EPYC") hide the generation; family and model tell it.
        numbers = "-".join(info.get(name, "") for name in ("cpu family", "model", "stepping"))
        return f"{info['model name']} ({numbers})"
    parts = [info.get(name, "") for name in ("CPU implementer", "CPU part", "CPU variant")]
    return f"{platform.machine()} {' '.join(parts)}".strip()


def _host(root: Path) -> str:
    """Name, and a hash of the machine id: cloned images share the id, containers may share the name."""
    machine_id = _read(root, "etc/machine-id").strip()
    name = platform.node() or "localhost"
    if not machine_id:
        return name
    return f"{name}-{hashlib.sha256(b'qsearch' + machine_id.encode()).hexdigest()[:6]}"


def _virtualisation(root: Path, flags: set[str]) -> str:
    dmi = f"{_read(root, 'sys/class/dmi/id/sys_vendor')} {_read(root, 'sys/class/dmi/id/product_name')}"
    below = next((kind for words, kind in _VENDORS if words in dmi), "vm" if "hypervisor" in flags else "none")
    if (root / ".dockerenv").exists():
        return f"{below}+docker" if below != "none" else "docker"
    if (root / "run/.containerenv").exists():
        return f"{below}+podman" if below != "none" else "podman"
    return below if flags else "unknown"


def _gpus(root: Path) -> dict[str, int]:
    found: Counter[str] = Counter()
    for card in sorted((root / "proc/driver/nvidia/gpus").glob("*/information")):
        text = _read(root, str(card.relative_to(root)))
        model = next((line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("Model:")), "")
        found[model or "NVIDIA"] += 1
    return dict(found)


def _ram(root: Path) -> str:
    words = _read(root, "proc/meminfo").split()
    return str(int(words[1]) * 1024) if len(words) > 1 and words[1].isdigit() else ""


def _read(root: Path, path: str) -> str:
    try:
        return (root / path).read_text(errors="replace")
    except OSError:
        return ""
