"""The `holdfast` command as a process, and set-ups for it: real files that a test breaks in one place."""

import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

from holdfast.chains.localnet import RegtestNode
from holdfast.faces.cli.config_text import config_text
from holdfast.faces.cli.main import main
from holdfast.runtime.settings import NodeSettings

DESCRIPTOR = (
    "wsh(sortedmulti(2,"
    "[d34db33f/48h/1h/0h/2h]tpubDC5FSnBiZDMmhiuCmWAYsLwgLYrrT9rAqvTySfuCCrgsWz8wxMXUS9Tb9iVMvcRbvFcAHGkMD5Kx8koh4GquNGNTfohfk7pgjhaPCdXpoba/0/*,"
    "[d34db340/48h/1h/0h/2h]tpubDE7NQymr4AFtewpAsWtnreyq9ghkzQBXpCZjWLFVRAvnbf7vya2eMTvT2fPapNqL8SuVvLQdbUbMfWLVDCZKnsEBqp6UK93QEzL8Ck23AwF/0/*))"
)


@dataclass
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


def holdfast(*words: str | Path, cwd: Path | None = None) -> Done:
    """Run the command to its end."""
    done = subprocess.run(  # noqa: S603  our own command
        [sys.executable, "-m", "holdfast", *map(str, words)],
        capture_output=True, text=True, check=False, cwd=cwd, timeout=120, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr)


def holdfast_here(*words: str | Path) -> Done:
    """The same in this process, for commands that neither fork nor listen: a second sooner."""
    out, err, argv, stdin = StringIO(), StringIO(), sys.argv, sys.stdin
    sys.argv, sys.stdin = ["holdfast", *map(str, words)], StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(err):
            try:
                code = int(main())
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else 0
    finally:
        sys.argv, sys.stdin = argv, stdin
    return Done(code, out.getvalue(), err.getvalue())


@dataclass
class SetUp:
    """One directory with a configuration."""

    directory: Path
    top: dict[str, object] = field(default_factory=dict)
    sections: dict[str, dict[str, object]] = field(default_factory=dict)
    networks: dict[str, Mapping[str, object]] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        return self.directory / "holdfast.toml"

    def write(self) -> Path:
        self.config.write_text(config_text(self.top, self.sections, self.networks))
        return self.config


def network(*nodes: NodeSettings) -> dict[str, object]:
    """A network of the Bitcoin family with these nodes."""
    return {"nodes": list(nodes), "descriptor": DESCRIPTOR}


def access(node: RegtestNode) -> NodeSettings:
    """A local node as the configuration names it."""
    return NodeSettings(url=node.rpc_url, cookie_file=node.cookie_file)
