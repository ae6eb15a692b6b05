"""homerun for Python: its command, whose JSON is the interface (docs/library.md)."""

import json
import subprocess
import tempfile


class Error(Exception):
    """What homerun says when it cannot; status is its exit status."""

    def __init__(self, text, status):
        super().__init__(text)
        self.status = status


class Runtime:
    """Containers in a state root; without one, the caller's usual."""

    def __init__(self, program="homerun", root=None):
        self.command = [program] + (["--root", root] if root else [])

    def popen(self, verb, *args, **options):
        """Start a verb, as subprocess.Popen: run and exec, whose status is the program's."""
        return subprocess.Popen([*self.command, verb, *args], **options)

    def call(self, verb, *args):
        """Run a verb to its end, and give what it prints. That it fails is an Error."""
        # Files, since a pipe would last as long as the program that create starts has it.
        with self.file() as out, self.file() as err:
            status = self.popen(verb, *args, stdin=subprocess.DEVNULL, stdout=out, stderr=err).wait()
            err.seek(0)
            if status:
                raise Error(err.read().strip().removeprefix("homerun: ") or f"{verb}: status {status}", status)
            out.seek(0)
            return out.read()

    @staticmethod
    def file():
        """A file for what programs print, whatever bytes these are."""
        return tempfile.TemporaryFile("w+", encoding="utf-8", errors="surrogateescape", newline="")

    def json(self, verb, *args):
        """The document that a verb prints: state ID, inspect ID, features, list -f json."""
        return json.loads(self.call(verb, *args))

    def events(self, name, interval="5s"):
        """Stats and oom events as they come, until the container ends."""
        with self.file() as err, self.popen("events", "--interval", interval, name, stdout=subprocess.PIPE, stderr=err, text=True) as process:
            try:
                yield from map(json.loads, process.stdout)
                if process.wait():
                    err.seek(0)
                    raise Error(err.read().strip().removeprefix("homerun: "), process.returncode)
            finally:
                process.terminate()  # for who looks no further
