"""`signalbox`: the command line. Everything it does is a call of the API."""

import io
import sys
from typing import Annotated, Final

import typer

from signalbox_client import contexts, exit_codes, inputs
from signalbox_client.api import Api
from signalbox_client.command import command
from signalbox_client.commands import (
    engines,
    freezes,
    job_create,
    job_runs,
    jobs,
    oozie_jobs,
    pipelines,
    reruns,
    schedules,
    triggers,
)
from signalbox_client.commands.accounts import binding, key, user
from signalbox_client.commands.audit import audit
from signalbox_client.commands.auth import Insecure, auth, checked_address, with_browser, with_password
from signalbox_client.commands.bulk import bulk
from signalbox_client.commands.contexts import context
from signalbox_client.commands.dead_letters import dead_letter, operation
from signalbox_client.commands.definitions import GROUPS
from signalbox_client.commands.event_sources import event_source
from signalbox_client.commands.events import event
from signalbox_client.commands.live import live_ticket, watch
from signalbox_client.commands.notifications import delivery, incident, notification_config
from signalbox_client.commands.oozie import oozie
from signalbox_client.commands.plans import plan
from signalbox_client.commands.reprocess import reprocess
from signalbox_client.commands.secrets import secret
from signalbox_client.commands.status import status, trace, whoami
from signalbox_client.commands.tasks import task
from signalbox_client.commands.workflows import workflow
from signalbox_client.output import echo

ALONE: Final = {
    "status_show": "status", "trace_show": "trace", "me_show": "whoami", "auth_login": "login",
    "auth_oidc_login": "login", "auth_oidc_callback": "login", "auth_oidc_tokens": "login",
    "trigger_dry_run": "trigger dry-run", "oozie_control": "oozie kill",
}  # fmt: skip
"""Operations of the API whose command is not `noun verb`."""
OURS: Final = frozenset(
    {"logout", "context list", "context use", "context remove", "plan watch", "task watch", "plan timeline"}
    | {"freeze start", "unfreeze", "pipeline validate", "pipeline graph", "oozie rerun", "watch"}
    | {"oozie suspend", "oozie resume", "oozie ignore", "oozie change"}
)  # fmt: skip
"""Commands that are no operation of the API."""
_CODES: Final = "Exit codes: " + "; ".join(f"{code} {words}" for code, words in exit_codes.MEANING.items()) + "."

app = typer.Typer(
    help=f"Run, re-run and watch data jobs.\n\n{_CODES}", no_args_is_help=True, rich_markup_mode=None,
    pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
_ = (
    engines,
    freezes,
    job_create,
    jobs,
    job_runs,
    oozie_jobs,
    pipelines,
    reruns,
    schedules,
    triggers,
)  # they add their verbs to the groups of their kinds
for _name, _group in {
    **GROUPS, "plan": plan, "task": task, "secret": secret, "dead-letter": dead_letter, "operation": operation,
    "context": context, "event": event, "event-source": event_source, "workflow": workflow, "oozie": oozie,
    "live-ticket": live_ticket, "incident": incident, "delivery": delivery, "notification-config": notification_config,
    "bulk": bulk, "audit": audit, "auth": auth, "user": user, "key": key, "binding": binding, "reprocess": reprocess,
}.items():  # fmt: skip
    app.add_typer(_group, name=_name)
command(app, "status")(status)
command(app, "trace")(trace)
command(app, "whoami")(whoami)
command(app, "unfreeze")(freezes.unfreeze)
command(app, "watch")(watch)


def _version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version

        print(f"signalbox {version('signalbox-client')}")
        raise typer.Exit


@app.callback()
def root(
    context: Annotated[str | None, typer.Option("--context", envvar=contexts.CONTEXT, help="which context")] = None,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    """Options of every command."""
    inputs.chosen[:] = [context] if context else []


@command(app, "login")
def login(
    url: Annotated[str, typer.Option("--url", envvar=contexts.URL, help="where the API is")] = contexts.DEFAULT_URL,
    username: Annotated[str, typer.Option("--username", "-u", help="log in with a password")] = "",
    name: Annotated[str, typer.Option("--name", help="name of the context")] = "",
    token_file: Annotated[str, typer.Option("--token-file", help="file that holds the token")] = "",
    insecure: Insecure = False,
    oidc: Annotated[bool, typer.Option("--oidc", help="log in with the OpenID provider, in a browser")] = False,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="with --oidc: print the address only")] = False,
) -> None:
    """Log in with a password or in a browser, or store a key.

    A password or a key is read from a prompt or the standard input.
    """
    where = checked_address(url, insecure=insecure)
    if oidc:
        context = with_browser(where, name, open_browser=not no_browser)
        echo(f"logged in to {where} as {context.username}; context {name or context.username}")
        return
    if username:
        context = with_password(where, username, inputs.secret_value("password"), name or username)
        echo(f"logged in to {where} as {context.username}; context {name or username}")
        return
    name = name or "default"
    token = (inputs.text_of(token_file) if token_file else inputs.secret_value("key")).strip()
    if not contexts.is_token(token):
        raise typer.BadParameter("this is no key: printable characters without spaces are allowed")
    me = Api(where, token).get("/me")
    with contexts.changed() as kept:
        kept.known[name] = contexts.Context(where, token, me["name"])
        kept.current = name
    echo(f"logged in to {where} as {me['name']}; context {name}")


@command(app, "logout")
def logout() -> None:
    """Forget the context in use. Its key or session stays valid: see `auth logout` and `key delete`."""
    name = _stored_name()
    contexts.forget(name)
    echo(f"logged out of context {name}")


def _stored_name() -> str:
    try:
        return contexts.stored(inputs.chosen[0] if inputs.chosen else None)[0]
    except contexts.BadContext as error:
        raise contexts.NotLoggedIn(str(error)) from None


def main() -> None:
    """Run the command line."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a letter that the terminal's encoding lacks ends no command
        sys.stdout.reconfigure(errors="replace")
    try:
        app(standalone_mode=True)
    except KeyboardInterrupt:
        sys.exit(exit_codes.INTERRUPTED)
