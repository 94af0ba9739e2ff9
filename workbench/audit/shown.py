"""What of an item leaves the server: its texts, and nothing that tells who wrote or judged them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from workbench.audit.tokens import Holder
from workbench.audit.votes import as_shown
from workbench.db.models import Item, Lease, Skip, Vote

HISTORY = 20
# One answer carries about this much text at most; the rest of the queue follows with the next.
MAX_REPLY_CHARS = 2_000_000


@dataclass(frozen=True)
class ShownItem:
    """One pair as one person sees it; whatever could give the judge or a model away is not here."""

    lease_id: str
    item_id: int  # for the server's cache; never sent
    left: str  # "A" or "B"; never sent
    prompt_json: str
    response_a: str
    response_b: str


@dataclass(frozen=True)
class PastOp:
    """A live vote or skip of this person, which can still be undone.

    What they noted comes back with the pair; `details` speak of left and right, as shown.
    """

    op_id: str
    kind: str
    label: str | None
    item: ShownItem
    comment: str | None = None
    details: dict[str, Any] = field(default_factory=dict)


# Built once: putting a statement together costs more than running it.
_LENGTHS = select(
    Item.id,
    func.length(Item.prompt_json) + func.length(Item.response_a) + func.length(Item.response_b),
).where(Item.id.in_(bindparam("items", expanding=True)))
_TEXTS = select(Item.id, Item.prompt_json, Item.response_a, Item.response_b).where(
    Item.id.in_(bindparam("items", expanding=True))
)


def shown_items(session: Session, leases: Sequence[tuple[str, int, str]]) -> list[ShownItem]:
    """The texts of these (lease id, item id, left), as many as one answer should carry."""
    if not leases:
        return []
    size: dict[int, int] = dict(
        session.execute(_LENGTHS, {"items": [item_id for _, item_id, _ in leases]}).all()
    )
    taken, n_chars = 0, 0
    while taken < len(leases) and (taken == 0 or n_chars < MAX_REPLY_CHARS):
        n_chars += size[leases[taken][1]]
        taken += 1
    rows = session.execute(_TEXTS, {"items": [item_id for _, item_id, _ in leases[:taken]]})
    texts = {row.id: row for row in rows}
    return [
        ShownItem(
            lease_id,
            item_id,
            left,
            texts[item_id].prompt_json,
            texts[item_id].response_a,
            texts[item_id].response_b,
        )
        for lease_id, item_id, left in leases[:taken]
    ]


def history(session: Session, holder: Holder) -> list[PastOp]:
    """The person's last votes and skips that stand, oldest first, whichever page they came from."""
    votes = session.execute(
        select(Vote, Lease.left)
        .join(Lease, Lease.id == Vote.lease_id)
        .where(
            Vote.round_id == holder.round_id,
            Vote.annotator_id == holder.annotator_id,
            Vote.undone_at.is_(None),
        )
        .order_by(Vote.created_at.desc(), Vote.client_at.desc())
        .limit(HISTORY)
    )
    skips = session.execute(
        select(Skip, Lease.left)
        .join(Lease, Lease.id == Skip.lease_id)
        .where(
            Skip.round_id == holder.round_id,
            Skip.annotator_id == holder.annotator_id,
            Skip.undone_at.is_(None),
        )
        .order_by(Skip.created_at.desc())
        .limit(HISTORY)
    )
    # What arrived in one message has one time; the page's own clock tells its order.
    past: list[tuple[float, float, Vote | Skip, str]] = [
        *((vote.created_at, vote.client_at or 0.0, vote, left) for vote, left in votes),
        *((skip.created_at, skip.client_at or 0.0, skip, left) for skip, left in skips),
    ]
    past = sorted(past, key=lambda entry: entry[:2])[-HISTORY:]
    wanted = [(done.lease_id or "", done.item_id, left) for _, _, done, left in reversed(past)]
    shown = {item.lease_id: item for item in shown_items(session, wanted)}
    return [
        PastOp(
            done.id,
            "vote" if isinstance(done, Vote) else "skip",
            as_shown(done) if isinstance(done, Vote) else None,
            shown[done.lease_id or ""],
            done.comment if isinstance(done, Vote) else None,
            done.details if isinstance(done, Vote) else {},
        )
        for _, _, done, _ in past
        if done.lease_id in shown
    ]
