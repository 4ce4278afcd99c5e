"""Make projects, roles and callers as a file declares them, after a plan: `tokenauthority apply`."""

from __future__ import annotations

import time

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import click

from tokenauthority.callers.file_checks import Problem
from tokenauthority.callers.file_edit import CallersEditError
from tokenauthority.cli.callers_file import CallersTarget, callers_option, check_text, edited_file, read_target
from tokenauthority.cli.calls import authority
from tokenauthority.cli.confirmation import confirm, yes_option
from tokenauthority.cli.declared_state import make_change, read_projects
from tokenauthority.cli.failures import DIFFERS, ConfigurationFailure, Failure, reported_failures
from tokenauthority.cli.options import Command, current
from tokenauthority.cli.output import print_text, printable
from tokenauthority.cli.own_caller import lost_callers
from tokenauthority.cli.plan_output import name_of, show_plan, show_plan_json
from tokenauthority.cli.projects import contents_of
from tokenauthority.cli.server import config_option
from tokenauthority.client import Authority, AuthorityError, translated_errors
from tokenauthority.client.connection import Connection
from tokenauthority.declaration.caller_plan import changed_file, plan_callers
from tokenauthority.declaration.plan import Plan, PlannedChange, Verb, in_order_of_work, plan_projects
from tokenauthority.declaration.reading import (
    CallersNow,
    Declaration,
    DeclarationError,
    Draft,
    check_declaration,
    parse_declaration,
)
from tokenauthority.declaration.yaml_text import MAX_YAML
from tokenauthority.domain.counts import counted


if TYPE_CHECKING:
    from tokenauthority.callers.registry import CallerRegistry


_UNSEEN: Final = (
    "a new project has a secret that was not shown; for programs that need it: tokenauthority projects rotate-secret ID"
)

_REREAD: Final = 5.0
"""Seconds in which a server has read a new callers file: it looks every second."""

_PAUSE: Final = 0.2

_MOST_PROBLEMS: Final = 100
"""Problems of a declaration that are printed: a file of another kind has one on every line."""


@click.command("apply", cls=Command)
@click.option(
    "--file",
    "-f",
    "path",
    required=True,
    type=click.Path(dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="The declaration in YAML; - is standard input.",
)
@callers_option
@config_option
@click.option("--prune", is_flag=True, help="Delete the projects, roles and callers that are not declared.")
@click.option("--dry-run", is_flag=True, help="Only show the plan. Exit code 6 if there is any difference.")
@yes_option
def apply(
    *, path: str, callers_file: Path | None, config_file: Path | None, prune: bool, dry_run: bool, yes: bool
) -> None:
    """Apply FILE: show what differs, ask, and make projects, roles and callers as FILE declares them.

    Safe to repeat: without a difference it changes nothing and asks nothing. What FILE does not declare is shown, and
    stays unless you give --prune. A secret or an API key is never in FILE: the plan names the command for what needs
    one, and then the exit code is 6. The changes are made one by one; after a failure, run it again.
    """
    try:
        draft, declaration, target = _read(path, callers_file, config_file)
    except DeclarationError as error:
        raise _invalid(path, error.problems) from None
    with ExitStack() as stack:
        connection = current().connection() if declaration.projects is not None else None
        client = stack.enter_context(authority(connection)) if connection is not None else None
        work = _Work(connection, client, target, _plan(draft, declaration, client, target, prune=prune))
        if work.plan.problems:
            raise _invalid(path, work.plan.problems)
        work.prepare()
        if not current().as_json:
            work.show()
        if not dry_run and work.changes:
            if not yes:
                _ask(work)
            work.run()
        if current().as_json:
            work.show()
    if work.plan.changes if dry_run else work.is_left:
        click.get_current_context().exit(DIFFERS)


@attrs.define
class _Work:
    """A plan and the places where it is carried out."""

    connection: Connection | None
    client: Authority | None
    target: CallersTarget | None
    plan: Plan
    states: dict[PlannedChange, str] = attrs.Factory(dict)
    _text: str = ""
    """The callers file as it will be."""

    @property
    def changes(self) -> tuple[PlannedChange, ...]:
        """What apply does itself."""
        return self.plan.of(Verb.CREATE, Verb.CHANGE, Verb.DELETE)

    @property
    def is_left(self) -> bool:
        """Whether something is declared that only a person can make."""
        return bool(self.plan.of(Verb.BY_HAND))

    def prepare(self) -> None:
        """Find what would fail, and what goes along with a project, before anything is changed."""
        of_callers = [change for change in self.changes if change.kind == "caller"]
        if self.target is not None and of_callers:
            try:
                self._text = changed_file(self.target.data, of_callers)
            except CallersEditError as error:
                raise ConfigurationFailure(f"{self.target.path}: {printable(str(error))}") from None
            after = check_text(self.target.file, self._text)
            self._require_access(self.target, after)
        changes = [
            attrs.evolve(change, note=contents_of(self.client, change.name))
            if self.client is not None and change.kind == "project" and change.verb is Verb.DELETE
            else change
            for change in self.plan.changes
        ]
        self.plan = attrs.evolve(self.plan, changes=tuple(changes))

    def _require_access(self, target: CallersTarget, after: CallerRegistry) -> None:
        """Require that the command keeps its access: it may need it for the rest of its work, and who runs it later."""
        if self.connection is None or not target.data:
            return
        for name in lost_callers(self.connection, target.file.parse(target.data), after):
            raise ConfigurationFailure(
                f"{target.path}: caller {name} is the one whose credential this command uses, and would lose its "
                "access: declare it as it is"
            )

    def show(self, *, err: bool = False) -> None:
        """Print the plan, with --json what has become of it; with *err* for whoever is asked."""
        if current().as_json and not err:
            show_plan_json(self.plan, self.states)
        else:
            show_plan(self.plan, err=err)

    def run(self) -> None:
        """Make the changes one by one; after the first that fails, report what is done and what is not."""
        self.states = dict.fromkeys(self.changes, "not_done")
        for change in self.changes:
            if self.states[change] == "done":
                continue
            try:
                with reported_failures(current()), translated_errors():
                    made = self._make(change)
            except Failure as failure:
                self._report_failure(change)
                raise Failure(f"{name_of(change)}: {failure.message}") from None
            self.states |= dict.fromkeys(made, "done")
            if not current().as_json:
                # The work goes on for a reader that has closed the output, such as `head`.
                with suppress(BrokenPipeError):
                    print_text("\n".join(f"done: {name_of(each)}" for each in made))
        if any(change.kind == "project" and change.verb is Verb.CREATE for change in self.changes):
            print_text(_UNSEEN, err=True)

    def _make(self, change: PlannedChange) -> Sequence[PlannedChange]:
        """Make *change*, and return all that are done with it: the callers file is changed at once."""
        if change.kind != "caller" and self.client is not None:
            self._call(self.client, change)
            return [change]
        if self.target is not None:
            with edited_file(self.target.path, self.target.config_file, create=True) as edit:
                if edit.data != self.target.data:
                    raise Failure(f"{edit.path} has changed since the plan was made: apply again")
                edit.text = self._text
        return [each for each in self.changes if each.kind == "caller"]

    def _call(self, client: Authority, change: PlannedChange) -> None:
        """Make *change* at the authority, which may not have read the callers file since a role went out of it."""
        deadline = time.monotonic() + (_REREAD if self._text else 0)
        while True:
            try:
                with translated_errors():
                    return make_change(client, change)
            except AuthorityError as error:
                if error.reason != "ROLE_IN_USE" or time.monotonic() > deadline:
                    raise
            time.sleep(_PAUSE)

    def _report_failure(self, failed: PlannedChange) -> None:
        self.states[failed] = "failed"
        if current().as_json:
            self.show()
            return
        left = [name_of(change) for change, state in self.states.items() if state == "not_done"]
        print_text("\n".join([f"failed: {name_of(failed)}", *(f"not done: {name}" for name in left)]), err=True)


def _read(
    path: str, callers_file: Path | None, config_file: Path | None
) -> tuple[Draft, Declaration, CallersTarget | None]:
    """Return what the file at *path* declares, and the callers file if it declares callers."""
    with click.open_file(path, "rb") as file:
        draft = parse_declaration(file.read(MAX_YAML + 1))
    if not draft.has_callers:
        return draft, check_declaration(draft, None), None
    target = read_target(callers_file, config_file, create=True)
    if target is None:
        raise click.UsageError(
            f"{path} declares callers: give --callers-file or --config, or set TOKENAUTHORITY_CALLERS__FILE"
        )
    declaration = check_declaration(draft, CallersNow.parse(target.data), target.own_issuer)
    if not target.path.exists():
        print_text(f"{printable(str(target.path))} does not exist yet: all its callers are new", err=True)
    return draft, declaration, target


def _plan(
    draft: Draft, declaration: Declaration, client: Authority | None, target: CallersTarget | None, *, prune: bool
) -> Plan:
    with_roles = [each.project_id for each in declaration.projects or () if each.roles is not None]
    actual = {} if client is None else read_projects(client, with_roles)
    plan = plan_projects(declaration, draft, actual, prune=prune)
    callers = []
    if target is not None:
        callers = plan_callers(declaration, CallersNow.parse(target.data), str(target.path), prune=prune)
    return Plan(in_order_of_work([*plan.changes, *callers]), plan.problems)


def _ask(work: _Work) -> None:
    if current().as_json:
        work.show(err=True)
    confirm("Make these changes?")


def _invalid(path: str, problems: Sequence[Problem]) -> ConfigurationFailure:
    """Return the failure that has the first problems with their lines, and the number of the others."""
    shown = problems[:_MOST_PROBLEMS]
    lines = [
        f"{path}:{each.line}: {printable(each.text)}" if each.line else f"{path}: {printable(each.text)}"
        for each in shown
    ]
    if len(problems) > len(shown):
        lines.append(f"{path}: and {counted(len(problems) - len(shown), 'other problem')}")
    return ConfigurationFailure("\n".join(lines))
