"""The checks of `holdfast doctor`, in the order in which a fault in one explains the next.

Each only reads (the disk's check writes and removes one small file); none changes settings, data or nodes.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from statistics import median

from holdfast.core.errors import HoldfastError
from holdfast.core.quorum import read_quorum
from holdfast.faces.assess import last_time
from holdfast.faces.cli.doctor_database import check_database
from holdfast.faces.cli.doctor_nodes import check_network
from holdfast.faces.cli.doctor_rates import check_rates
from holdfast.faces.cli.findings import Finding, Level, failed
from holdfast.runtime.clock import SYSTEM_CLOCK
from holdfast.runtime.config import read_secret
from holdfast.runtime.settings import Settings

DISK_FREE_BYTES_FAIL = 1_000_000_000
DISK_FREE_BYTES_WARN = 10_000_000_000
FSYNC_SECONDS_WARN = 0.02
"""A durable write slower than this bounds what one ledger batch may take."""
_FSYNCS = 15
_WEBHOOK_KEY_BYTES = 32
_STA_UNSYNC = 0x0040
"""adjtimex(2): the kernel's clock is not synchronised."""

Check = Callable[[], Awaitable[list[Finding]]]


def all_checks(settings: Settings) -> list[tuple[str, Check]]:
    """Every check for this configuration, with its name."""
    networks = [
        (f"network {name}", partial(check_network, settings, network)) for name, network in settings.networks.items()
    ]
    return [
        ("files", partial(_files, settings)),
        ("clock", _clock),
        ("disk", partial(_disk, settings)),
        ("database", partial(check_database, settings)),
        *networks,
        ("rates", partial(check_rates, settings)),
        ("assessment", partial(_assessment, settings)),
    ]


async def _files(settings: Settings) -> list[Finding]:
    findings = [_quorum(settings), _webhook_key(settings)]
    findings += [_officers(path) for path in sorted(settings.directory.glob("officers*")) if path.is_dir()]
    if settings.directory.stat().st_mode & 0o022:
        remedy = (
            f"Run `chmod go-w {settings.directory}`: who may replace the configuration may replace the vault in it."
        )
        findings.append(Finding("files", "fail", f"{settings.directory} may be written to by others", remedy))
    return findings


def _quorum(settings: Settings) -> Finding:
    try:
        quorum = read_quorum(settings.quorum_file.read_bytes())
    except HoldfastError as error:
        return failed("quorum", error)
    detail = f"{quorum.threshold} of {len(quorum.officers)} officers, root fingerprint {quorum.fingerprint()}"
    return Finding("quorum", "ok", detail)


def _webhook_key(settings: Settings) -> Finding:
    remedy = (
        "Write 64 hexadecimal digits into it (`openssl rand -hex 32`); endpoints then need their secrets set again."
    )
    try:
        key = bytes.fromhex(read_secret(settings.webhooks.key_file))
    except HoldfastError as error:
        return failed("webhook key", error)
    except ValueError:
        return Finding("webhook key", "fail", f"{settings.webhooks.key_file} is not hexadecimal", remedy)
    if len(key) != _WEBHOOK_KEY_BYTES:
        return Finding("webhook key", "fail", f"{settings.webhooks.key_file} has {len(key)} bytes, not 32", remedy)
    return Finding("webhook key", "ok", str(settings.webhooks.key_file))


def _officers(directory: Path) -> Finding:
    keystores = sorted(directory.rglob("*.keystore"))
    if not keystores:
        return Finding("officers' keys", "ok", f"no keystore in {directory}")
    remedy = (
        "Move each officer's file to his own offline machine and delete it here: m of them together move the vault."
    )
    return Finding("officers' keys", "warn", f"{len(keystores)} keystores lie on this server, in {directory}", remedy)


async def _assessment(settings: Settings) -> list[Finding]:
    """How old the last `holdfast assess` is."""
    last, days_max = last_time.read(settings.directory), settings.assessment.every_days
    remedy = f"Run `holdfast assess --config {settings.path}`, and a timer that does it every {days_max} days."
    if last is None:
        return [Finding("assessment", "warn", "there was none yet", remedy)]
    days = (SYSTEM_CLOCK.now() - last.made_at).days
    if days > days_max:
        return [Finding("assessment", "warn", f"the last one was {days} days ago", remedy)]
    return [Finding("assessment", "ok", f"the last one was {days} days ago")]


async def _clock() -> list[Finding]:
    state = ctypes.create_string_buffer(512)  # struct timex: modes = 0 asks and sets nothing
    try:
        answered = ctypes.CDLL(None).adjtimex(state) >= 0
    except (OSError, AttributeError):
        answered = False
    if not answered:
        return [Finding("clock", "warn", "the kernel does not tell whether it is synchronised", "Run an NTP client.")]
    # struct timex: modes, offset, freq, maxerror, esterror, status, each aligned to a C long but the first and last.
    words = ctypes.sizeof(ctypes.c_long)
    status = ctypes.c_int.from_buffer(state, 5 * words).value
    if status & _STA_UNSYNC:
        remedy = "Run an NTP client (Debian: apt-get install systemd-timesyncd); invoices expire by this clock."
        return [Finding("clock", "warn", "no NTP client keeps this machine's clock", remedy)]
    return [Finding("clock", "ok", "kept by NTP")]


async def _disk(settings: Settings) -> list[Finding]:
    directory = settings.database.data_dir if settings.database.url is None else settings.directory
    while not directory.exists():
        directory = directory.parent
    free = shutil.disk_usage(directory).free
    remedy = (
        f"Free space on the disk of {directory}: PostgreSQL stops when it is full. Nothing is lost then, nor taken."
    )
    detail = f"{free / 1e9:.1f} GB free in {directory}"
    level: Level = "fail" if free < DISK_FREE_BYTES_FAIL else "warn" if free < DISK_FREE_BYTES_WARN else "ok"
    findings = [Finding("disk space", level, detail, "" if level == "ok" else remedy)]
    try:
        seconds = _fsync_seconds(directory)
    except OSError as error:
        remedy = f"Make {directory} writable for this user."
        return [*findings, Finding("disk writes", "fail", f"{directory}: {error.strerror}", remedy)]
    detail = f"a durable write takes {seconds * 1000:.2f} ms (median of {_FSYNCS})"
    if seconds > FSYNC_SECONDS_WARN:
        remedy = "Use a disk with a faster write cache: every batch of the ledger waits for one such write."
        return [*findings, Finding("disk writes", "warn", detail, remedy)]
    return [*findings, Finding("disk writes", "ok", detail)]


def _fsync_seconds(directory: Path) -> float:
    path = directory / f".holdfast-doctor-{os.getpid()}"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    taken = []
    try:
        for _ in range(_FSYNCS):
            os.pwrite(handle, b"\0" * 4096, 0)
            before = time.perf_counter()
            os.fsync(handle)
            taken.append(time.perf_counter() - before)
    finally:
        os.close(handle)
        path.unlink()
    return median(taken)
