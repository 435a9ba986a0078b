"""The `holdfast` command: one file per subcommand, put together here.

Everything heavy is imported inside the command that needs it, so that `--help` answers at once.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from holdfast.core.errors import HoldfastError
from holdfast.faces.cli import (
    assess,
    backup,
    bench,
    canary,
    demo,
    deploy,
    doctor,
    drill,
    freeze,
    incident,
    incident_trace,
    init,
    keys,
    labels,
    localnet,
    merchant,
    migrate,
    pay,
    policy,
    report,
    restore,
    resume,
    screening,
    serve,
    share,
    signer,
    trace,
    trace_link,
    trace_view,
    vault,
    vault_check,
    vault_order,
    vault_spend,
)
from holdfast.faces.cli.terminal import Exit, JsonOption, emit, report as told, say

app = typer.Typer(
    name="holdfast",
    no_args_is_help=False,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

START, RUN, KEEP, PEOPLE, TRY = "Start", "Run", "Keep", "People and keys", "Try and measure"
MONEY = "Follow the money"

app.command("init", rich_help_panel=START)(init.init)
app.command("serve", rich_help_panel=RUN)(serve.serve)
app.command("freeze", rich_help_panel=RUN)(freeze.freeze)
app.command("present", rich_help_panel=RUN)(freeze.present)
app.command("canary", rich_help_panel=RUN)(canary.canary)
app.command("restore", rich_help_panel=RUN)(restore.restore)
incident.app.command("trace")(incident_trace.trace)
app.add_typer(incident.app, name="incident", rich_help_panel=RUN)
app.command("doctor", rich_help_panel=RUN)(doctor.doctor)
app.command("assess", rich_help_panel=KEEP)(assess.assess)
app.command("migrate", rich_help_panel=KEEP)(migrate.migrate)
app.command("resume", rich_help_panel=KEEP)(resume.resume)
app.command("backup", rich_help_panel=KEEP)(backup.backup)
app.command("restore-backup", rich_help_panel=KEEP)(backup.restore)
app.add_typer(merchant.app, name="merchant", rich_help_panel=PEOPLE)
vault_spend.register(vault.app)
vault_order.register(vault.app)
vault_check.register(vault.app)
app.add_typer(policy.app, name="policy", rich_help_panel=PEOPLE)
app.add_typer(signer.app, name="signer", rich_help_panel=PEOPLE)
app.add_typer(signer.rotate, name="rotate", rich_help_panel=KEEP)
app.add_typer(vault.app, name="vault", rich_help_panel=PEOPLE)
app.command("deploy", rich_help_panel=START)(deploy.deploy)
app.add_typer(keys.app, name="keys", rich_help_panel=PEOPLE)
app.add_typer(trace.app, name="trace", rich_help_panel=MONEY)
trace_link.register(trace.app)
trace_view.register(trace.app)
app.add_typer(report.app, name="report", rich_help_panel=MONEY)
app.add_typer(share.app, name="share", rich_help_panel=MONEY)
app.add_typer(labels.app, name="labels", rich_help_panel=MONEY)
app.add_typer(screening.app, name="screening", rich_help_panel=RUN)
app.command("localnet", rich_help_panel=TRY)(localnet.localnet)
app.command("pay", rich_help_panel=TRY)(pay.pay)
app.command("demo", rich_help_panel=TRY)(demo.demo)
app.command("drill", rich_help_panel=TRY)(drill.drill)
app.command("bench", rich_help_panel=TRY)(bench.bench)


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    *,
    version_wanted: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Crypto payments whose online servers cannot spend the merchants' money.

    Exit codes: 0 done · 1 a check failed · 2 wrong command line · 3 bad input · 4 not found · 5 not permitted ·
    6 the state forbids it · 7 a part does not answer · 130 interrupted.

    Example: `holdfast init --local shop && cd shop && holdfast serve`
    """
    if version_wanted:
        emit(_version(), _version()["holdfast"], as_json=False)
        raise typer.Exit
    if context.invoked_subcommand is None:
        say(_next_step())


@app.command("version", rich_help_panel=KEEP)
def version(*, as_json: JsonOption = False) -> None:
    """Print the versions of Holdfast and of what its keys and addresses rest on.

    Example: `holdfast version --json`
    """
    versions = _version()
    emit(versions, "\n".join(f"{name} {number}" for name, number in versions.items()), as_json=as_json)


def _version() -> dict[str, str]:
    import platform
    from importlib.metadata import version as installed

    packages = ("holdfast", "coincurve", "cryptography", "embit", "msgspec", "pycryptodome")
    return {**{name: installed(name) for name in packages}, "python": platform.python_version()}


def _next_step() -> str:
    from holdfast.runtime.config import config_path

    path = config_path()
    if path.is_file():
        return (
            f"There is a configuration: {path}\n\n"
            "  holdfast doctor     check it, the nodes, the database, the clock and the disk\n"
            "  holdfast serve      run all zones on this machine\n\n"
            "holdfast --help lists every command."
        )
    return (
        "There is no configuration here yet.\n\n"
        "  holdfast demo              see real payments taken on real nodes, start to end\n"
        "  holdfast init --local DIR  a set-up on test networks of your own, to try things out\n"
        "  holdfast init DIR --network bitcoin --network ethereum   the real thing\n\n"
        "holdfast --help lists every command."
    )


def main() -> int:
    """Run the command; every error that Holdfast expects becomes one clean message."""
    as_json = "--json" in sys.argv[1:]
    try:
        typer.main.get_command(app)(prog_name="holdfast")
    except HoldfastError as error:
        return told(error, as_json=as_json)
    except KeyboardInterrupt:
        say("stopped")
        return Exit.INTERRUPTED
    return Exit.DONE
