#!/usr/bin/env python3
"""Runs ranks in network namespaces of this machine, with a bandwidth and a delay between them.

    sudo python3 tools/cluster/network.py --ranks 2 --rates none,1gbit,10gbit,25gbit --delay 50us --write FILE.json

Each rank has a namespace with an address of its own on one bridge; `tc` limits what leaves it, so that the cost of a
network is measured on one machine. The ranks talk TCP, as they would from machine to machine. A rate of `none` has no
limit. The delay is what netem, where the kernel has it, adds to each message.

Every line of the table is a run of some steps of the Keras example: the seconds of a step, and of these what rank 0
waited for others. Needs root, Linux, iproute2, Open MPI and a build with MPI (`cargo build --release --features mpi`).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent.parent
BRIDGE = "ffwdbr"
LAYERS = 2


def call(*words: str, check: bool = True) -> bool:
    done = subprocess.run(words, capture_output=True, text=True)
    if check and done.returncode != 0:
        sys.exit(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.returncode == 0


def name(rank: int) -> str:
    return f"ffwd{rank}"


def address(rank: int) -> str:
    return f"10.77.0.{rank + 1}"


class Network:
    """A namespace for each rank, on one bridge."""

    def __init__(self, ranks: int):
        self.ranks = ranks
        self.has_netem = True

    def __enter__(self) -> "Network":
        self.remove()
        call("ip", "link", "add", BRIDGE, "type", "bridge")
        call("ip", "link", "set", BRIDGE, "up")
        for rank in range(self.ranks):
            namespace, outside = name(rank), f"{name(rank)}v"
            call("ip", "netns", "add", namespace)
            call("ip", "link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", namespace)
            call("ip", "link", "set", outside, "master", BRIDGE)
            call("ip", "link", "set", outside, "up")
            inside = ("ip", "-n", namespace)
            call(*inside, "addr", "add", f"{address(rank)}/24", "dev", "eth0")
            call(*inside, "link", "set", "eth0", "up")
            call(*inside, "link", "set", "lo", "up")
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remove(self) -> None:
        for rank in range(64):
            if not call("ip", "netns", "del", name(rank), check=False):
                break
        call("ip", "link", "del", BRIDGE, check=False)

    def limit(self, rate: str, delay: str) -> None:
        """Limits what leaves each namespace."""
        for rank in range(self.ranks):
            tc = ("ip", "netns", "exec", name(rank), "tc", "qdisc")
            call(*tc, "del", "dev", "eth0", "root", check=False)
            parent = ("root",)
            if rate != "none":
                # A burst of 256 KiB is what 25 Gbit/s send between two ticks of a clock of 10 kHz.
                limit = ("tbf", "rate", rate, "burst", "256kb", "latency", "20ms")
                call(*tc, "add", "dev", "eth0", "root", "handle", "1:", *limit)
                parent = ("parent", "1:1")
            if delay != "none":
                netem = (*tc, "add", "dev", "eth0", *parent, "netem", "delay", delay, "limit", "100000")
                self.has_netem = call(*netem, check=False)


def agent(directory: Path) -> Path:
    """What mpirun starts a process elsewhere with: the namespace of the address that it names."""
    path = directory / "agent"
    path.write_text('#!/bin/sh\nhost=$1\nshift\nexec ip netns exec "ffwd$((${host##*.} - 1))" sh -c "$*"\n')
    path.chmod(0o755)
    return path


def run(program: Path, ranks: int, options: list, directory: Path) -> dict:
    """The summary of a run."""
    hosts = ",".join(f"{address(rank)}:1" for rank in range(ranks))
    only = "10.77.0.0/24"
    mca = {
        "plm": "rsh",
        "plm_rsh_agent": agent(directory),
        "btl": "tcp,self",
        "btl_tcp_if_include": only,
        "oob_tcp_if_include": only,
        "mpi_yield_when_idle": 1,
    }
    words = ["ip", "netns", "exec", name(0), "mpirun", "--allow-run-as-root", "--bind-to", "none", "--host", hosts]
    for key, value in mca.items():
        words += ["--mca", key, str(value)]
    words += ["-n", str(ranks), "-x", "FFWD_DATA", str(program), *options, "--json", "--quiet", "--out", "none"]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(words)}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--program", type=Path, default=ROOT / "target/release/fast-train")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help="threads of a rank, default 1")
    parser.add_argument("--rates", default="none,25gbit,10gbit,1gbit", help="as tc takes them, or none")
    parser.add_argument("--delay", default="none", help="of each way out, as tc takes it, or none")
    parser.add_argument("--samples", type=int, default=60000, help="training images, default 60,000")
    parser.add_argument("--steps", type=int, default=20, help="inner steps of each layer, default 20")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each rate, in turns, default 3")
    parser.add_argument("--options", default="--preset keras --precision f32 --epochs 1", help="what is trained")
    parser.add_argument("--write", type=Path, metavar="FILE.json")
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    if os.geteuid() != 0:
        sys.exit("network namespaces need root")
    options = asked.options.split() + ["--threads", str(asked.threads), "--train-limit", str(asked.samples)]
    options += ["--test-limit", "100", "--data", "mnist"]
    if "keras" in asked.options:
        options += ["--inner-steps", str(asked.steps)]
    rates = asked.rates.split(",")
    found: dict = {rate: [] for rate in rates}
    with tempfile.TemporaryDirectory() as directory, Network(asked.ranks) as network:
        for _ in range(asked.repeat):
            for rate in rates:
                network.limit(rate, asked.delay)
                summary = run(asked.program.resolve(), asked.ranks, options, Path(directory))
                steps = asked.steps * LAYERS * len(summary["epochs"])
                epochs = sum(epoch["seconds"] for epoch in summary["epochs"])
                found[rate].append({
                    "step": epochs / steps,
                    "waiting": summary["comm_seconds"] / steps,
                    "weights_sha256": summary["weights_sha256"],
                })
    delay = asked.delay if network.has_netem else "that of the kernel: it has no netem"
    print(f"{asked.ranks} ranks of {asked.threads} threads, {asked.samples} samples, delay {delay}")
    print("| rate | ms a step | of these waiting |\n| --- | --- | --- |")
    for rate in rates:
        step, waiting = (median(run[key] for run in found[rate]) for key in ("step", "waiting"))
        print(f"| {rate} | {1000 * step:.1f} | {1000 * waiting:.1f} |")
    sums = {run["weights_sha256"] for runs in found.values() for run in runs}
    print("weights: " + ("the same in all runs" if len(sums) == 1 else "DIFFERENT"))
    if asked.write:
        about = {key: getattr(asked, key) for key in ("ranks", "threads", "samples", "steps", "options")}
        asked.write.write_text(json.dumps({**about, "delay": delay, "runs": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
