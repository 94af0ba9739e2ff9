"""The people of an Argilla workspace: made or found there, matched to a project's annotators."""

import re
import secrets
import unicodedata
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipelines.errors import BadInput
from workbench.annotate.client import Connection
from workbench.audit.people import MAX_NAME, clean_name
from workbench.db.models import Annotator, ArgillaPerson, Seat


@dataclass(frozen=True)
class Member:
    """A person of the workspace; `password` only where the account was made just now."""

    name: str
    username: str
    password: str | None = None


def username_of(name: str) -> str:
    """A name as one types it to log in: "Ana María" is "Ana-Maria"; other scripts stay.

    Raises:
        BadInput: Nothing is left of it.
    """
    decomposed = unicodedata.normalize("NFKD", clean_name(name))
    bare = "".join(one for one in decomposed if not unicodedata.combining(one))
    plain = re.sub(r"[^\w.@-]+", "-", bare).strip("-_.")
    if not plain:
        raise BadInput(f"{name!r} makes no user name in Argilla; give one with letters")
    return plain


def find_workspace(connection: Connection, name: str) -> Any:
    """The workspace of that name, made when missing.

    Raises:
        BadInput: It is not there, and the key's owner may not make it.
    """
    found = connection.ask("look for the workspace", lambda: connection.client.workspaces(name))
    if found is not None:
        return found
    if not connection.is_owner:
        raise BadInput(
            f"{connection.url} has no workspace {name!r}, and {connection.me.username!r} may not "
            "make one; name another by --workspace, or use the key of an owner"
        )
    return connection.ask(
        f"make the workspace {name!r}",
        lambda: connection.client.workspaces.add(connection.rg.Workspace(name=name)),
    )


def add_annotators(connection: Connection, workspace: Any, names: list[str]) -> list[Member]:
    """Let these people into the workspace; who has no account gets one with a new password.

    Raises:
        BadInput: An account cannot be made with this key, or two names make one user name.
    """
    wanted = {name: username_of(name) for name in dict.fromkeys(clean_name(n) for n in names)}
    if len(set(wanted.values())) < len(wanted):
        raise BadInput(f"two of these names are one user name in Argilla: {', '.join(wanted)}")
    client, rg = connection.client, connection.rg
    inside = {user.username for user in connection.ask("list people", lambda: workspace.users[:])}
    known = {}
    if set(wanted.values()) - inside:
        known = {user.username: user for user in connection.ask("list people", client.users.list)}
    members = []
    for name, username in wanted.items():
        password = None
        if username not in inside:
            user = known.get(username)
            if user is None:
                password = secrets.token_urlsafe(9)
                new = rg.User(
                    username=username, first_name=name, role="annotator", password=password
                )
                user = connection.ask(f"make an account for {name!r}", _adding(client, new))
            connection.ask(f"let {name!r} into the workspace", _letting_in(workspace, user))
        members.append(Member(name, username, password))
    return members


def _adding(client: Any, user: Any) -> Any:
    return lambda: client.users.add(user)


def _letting_in(workspace: Any, user: Any) -> Any:
    return lambda: workspace.add_user(user)


class Staff:
    """Which annotator each user of the server is; matched once by name, then it stays.

    Args:
        session: The project's database.
        usernames: User name by the server's id.
        now: Unix seconds, of what is stored.
    """

    def __init__(self, session: Session, usernames: dict[str, str], now: float) -> None:
        self._session, self._usernames, self._now = session, usernames, now
        rows = session.execute(select(ArgillaPerson.user_id, ArgillaPerson.annotator_id))
        self._known: dict[str, int] = dict(rows.all())
        self._by_name: dict[str, int] = {}
        people = session.execute(select(Annotator.name, Annotator.id).order_by(Annotator.id.desc()))
        for name, annotator_id in people:  # the oldest of equal names stands
            for spelling in _spellings(name):
                self._by_name[spelling] = annotator_id

    def annotator(self, user_id: str) -> int | None:
        """The annotator's id, made when new; None for somebody whom the server does not name."""
        if user_id not in self._known:
            username = self._usernames.get(user_id)
            if username is None:
                return None
            self._known[user_id] = self._match(username)
            self._session.add(
                ArgillaPerson(
                    user_id=user_id,
                    username=username,
                    annotator_id=self._known[user_id],
                    created_at=self._now,
                )
            )
            self._session.flush()
        return self._known[user_id]

    def seat(self, round_id: int, user_id: str) -> None:
        """Note that a person is asked in this round: who skipped is told from who did not come.

        Their seat says that they were never on the review page, so it deals them nothing.
        """
        annotator_id = self.annotator(user_id)
        if annotator_id is None or self._session.get(Seat, (round_id, annotator_id)) is not None:
            return
        self._session.add(
            Seat(
                round_id=round_id,
                annotator_id=annotator_id,
                joined_at=self._now,
                last_action_at=0.0,
            )
        )
        self._session.flush()

    def _match(self, username: str) -> int:
        found = self._by_name.get(username.casefold())
        if found is not None:
            return found
        person = Annotator(
            name=_storable_name(username), created_at=self._now, link_hash=None, revoked_at=None
        )
        self._session.add(person)
        self._session.flush()
        self._by_name[username.casefold()] = person.id
        return person.id


def _spellings(name: str) -> set[str]:
    try:
        return {name.casefold(), username_of(name).casefold()}
    except BadInput:
        return {name.casefold()}


def _storable_name(username: str) -> str:
    printable = "".join(one if one.isprintable() else "?" for one in username)
    return " ".join(printable.split())[:MAX_NAME] or "?"
