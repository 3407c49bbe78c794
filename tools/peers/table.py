"""A comparison as Markdown: its tables, and what they were measured with."""

from __future__ import annotations

from pathlib import Path

from accuracy_table import accuracy_table
from cells import filled
from epochs_table import epochs_table, loss_notes
from estimators_table import estimators_table
from peers import EPOCHS, ESTIMATORS, PRODUCTS
from products_table import LEADS, products_table
from report import rows

BEGIN, END = "<!-- peers -->", "<!-- /peers -->"


def markdown(report: dict) -> str:
    """The whole comparison."""
    parts = [heading(report)]
    parts += [products_table(role, report[role]) for role in LEADS if report[role]]
    if report["epochs"] and report["epochs"]["rows"]:
        parts.append(epochs_table(report["epochs"]))
    if report["accuracy"]:
        parts.append(accuracy_table(report["accuracy"]))
    if report["estimators"] and report["estimators"]["rows"]:
        parts.append(estimators_table(report["estimators"]))
    parts.append(versions(report))
    notes = report["notes"] + loss_notes(report)
    if notes:
        parts.append("\n".join(f"- {note}" for note in notes))
    return "\n\n".join(parts) + "\n"


def heading(report: dict) -> str:
    system = report["system"]
    numbers = f" (family {system['family']}, model {system['model']})" if system["family"] else ""
    virtual = ", virtual" if system["hypervisor"] else ""
    bf16 = ", ".join(system["bf16_instructions"] or ()) or "none"
    quick = " **Quick: small sizes, the figures mean nothing.**" if report["quick"] else ""
    return filled(
        f"{system['cpu'] or 'unknown CPU'}{numbers}, {system['cpus']} CPUs{virtual}, bf16 instructions: {bf16}; "
        f"{report['date'][:10]}, all in turns in one run, medians{disturbed(report)}.{quick}"
    )


def disturbed(report: dict) -> str:
    """How many samples were disturbed, where there were witnesses."""
    if not report["witness"]:
        return ""
    marks = [mark for row in rows(report) for mark in row["disturbed"]]
    return f" without the {sum(marks)} of {len(marks)} samples that were disturbed"


def versions(report: dict) -> str:
    """Who was compared, in which version."""
    peers = PRODUCTS + EPOCHS + ESTIMATORS
    labels = {peer.name: peer.label + (f" {peer.dtype}" if peer.dtype == "bf16" else "") for peer in peers}
    parts = []
    for name, version in report["peers"].items():
        detail = f" ({version['detail']})" if version["detail"] else ""
        parts.append(f"{labels[name]} {version['version']}{detail}")
    build = report["build"]
    changes = ", with changes" if build["dirty"] else ""
    commit = f" ffwd at commit {build['commit'][:10]}{changes}." if build["commit"] else ""
    compiler = f"; {build['rustc']}" if build["rustc"] else ""
    return filled(f"Versions: {', '.join(parts)}{compiler}.{commit}")


def around(document: Path) -> tuple[str, str]:
    """What stands before and after the markers of a document, these included."""
    before, begin, rest = document.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{document}: found no {BEGIN} ... {END}, expected both")
    return before + begin, end + after


def fill(document: Path, text: str) -> None:
    """Replaces what stands between the markers of a document."""
    before, after = around(document)
    document.write_text(f"{before}\n\n{text}\n{after}")
