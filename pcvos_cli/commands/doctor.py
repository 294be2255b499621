"""``pcvos doctor``: what to paste into a bug report."""

from typing import TYPE_CHECKING

import typer

from pcvos_cli import console, options

if TYPE_CHECKING:
    from pcvos_cli.doctor.diagnosis import Diagnosis


def doctor(json: options.Json = False, debug: options.Debug = False) -> None:
    """Check this installation: versions, devices, codecs, weights. Exits with 0 if usable."""
    console.configure(debug=debug)
    from pcvos_cli.doctor.diagnosis import diagnose

    found = diagnose()
    if json:
        console.result_json(found.to_dict())
    else:
        console.result("\n".join(describe(found)))
    if found.exit_code:
        raise typer.Exit(found.exit_code)


def describe(found: "Diagnosis") -> list[str]:
    """Return the report for people, line by line."""
    unknown = "unknown"
    system, torch, ffmpeg, folder = found.system, found.torch, found.ffmpeg, found.folder
    memory = system.get("memory_mb")
    lines = {
        "pcvos": f"{found.pcvos or unknown}, Python {system.get('python', unknown)} "
        f"({system.get('executable', unknown)})",
        "system": f"{system.get('os', unknown)}",
        "cpu": f"{system.get('cpu', unknown)}, {system.get('usable_cores', unknown)} of "
        f"{system.get('cores', unknown)} cores, "
        f"{unknown if memory is None else memory} MB of memory",
        "packages": ", ".join(f"{n} {v or 'NOT IMPORTABLE'}" for n, v in found.packages.items()),
    }
    if torch:
        lines["torch"] = (
            f"{torch['threads']} threads, {torch['cpu_capability']}, CUDA {torch['cuda'] or 'none'}"
        )
        lines["devices"] = "; ".join(f"{name} ({what})" for name, what in found.devices.items())
    if found.engines:
        lines["engines"] = ", ".join(f"{n} {v or 'NOT USABLE'}" for n, v in found.engines.items())
    if ffmpeg:
        libraries = ", ".join(f"{name} {number}" for name, number in ffmpeg["libraries"].items())
        lines["ffmpeg"] = f"{ffmpeg['ffmpeg'] or 'version not given'}: {libraries}"
        for kind in ("encoders", "decoders"):
            lines[kind] = ", ".join(
                f"{name} {'MISSING' if codec is None else 'ok'}"
                for name, codec in ffmpeg[kind].items()
            )
    lines["weights"] = (
        "; ".join(f"{w['name']} {w['sha256'][:12]} {w['status']}" for w in found.weights) or "none"
    )
    writable = "writable" if folder.get("writable") else "NOT WRITABLE"
    lines["folder"] = f"{folder.get('path', unknown)}: {writable}" + (
        f", {folder['free_mb']} MB free" if "free_mb" in folder else ""
    )
    if found.environment:
        lines["variables"] = " ".join(f"{k}={v}" for k, v in found.environment.items())
    return [
        *(f"{name:>10}  {text}" for name, text in lines.items()),
        *(f"{'warning':>10}  {text}" for text in found.warnings),
        *(f"{'problem':>10}  {text}" for text in found.problems),
        f"{'verdict':>10}  " + ("usable" if found.exit_code == 0 else "NOT usable as it is"),
    ]
