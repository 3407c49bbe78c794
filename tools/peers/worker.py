"""A worker process, from the side of the driver. `workers/serve.py` has the protocol."""

from __future__ import annotations

import json
import subprocess
import tempfile


class WorkerError(Exception):
    """A worker answered with an error, or ended. The message is one line."""


class Worker:
    """One running library. Its standard error goes to a file, whose end tells why it died."""

    def __init__(self, command: list, environment: dict) -> None:
        self.log = tempfile.TemporaryFile(mode="w+", errors="replace")
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.log}
        self.process = subprocess.Popen(command, env=environment, text=True, bufsize=1, **pipes)

    def ask(self, line: str) -> dict:
        """The answer to one command."""
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise WorkerError(self.last_words()) from None
        answer = self.process.stdout.readline()
        if not answer:
            raise WorkerError(self.last_words())
        reply = json.loads(answer)
        if "error" in reply:
            raise WorkerError(reply["error"])
        return reply

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def last_words(self) -> str:
        """How it ended, and the last line it wrote to standard error."""
        code = self.process.wait()
        self.log.seek(0)
        lines = [line.strip() for line in self.log if line.strip() and not line.startswith("note: ")]
        return f"its worker ended with code {code}: {lines[-1] if lines else 'it said nothing'}"

    def stop(self) -> None:
        """Ends the process, by force where it does not answer."""
        try:
            self.process.communicate("quit\n", timeout=10)
        except (BrokenPipeError, ValueError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        self.log.close()
