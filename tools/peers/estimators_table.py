"""The table of estimators in Python."""

from __future__ import annotations

from statistics import median

from cells import filled, table, typical, with_legend
from peers import ESTIMATORS, OUR_ESTIMATOR


def estimators_table(estimators: dict) -> str:
    """A line for each estimator: seconds to fit, also as a multiple of ours, epochs, and the error on test images."""
    times = {row["peer"]: typical(row) for row in estimators["rows"]}
    ours = times.get(OUR_ESTIMATOR.name)
    labels = {peer.name: peer.label for peer in ESTIMATORS}
    body = []
    for row in estimators["rows"]:
        time = times[row["peer"]]
        body.append([
            labels[row["peer"]],
            f"{time.ns / 1e9:.3g}{time.mark}",
            f"{time.ns / ours.ns:.2f}" if ours else "–",
            f"{median(row['epochs']):g}",
            f"{1 - median(row['accuracy']):.2%}",
        ])
    lead = filled(
        f"Estimators in Python on {estimators['samples']} images of {estimators['data']}, two hidden layers of 500 units, "
        "all else as it comes: seconds of `fit`, and the error on the test images afterwards, outside the clock:"
    )
    head = ["estimator", "s to fit", "times ffwd's", "epochs", "test error"]
    return "\n\n".join([lead, *with_legend(table(head, body))])
