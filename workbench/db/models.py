"""Tables of what people do: annotators, rounds, drawn items, slots, leases, votes.

Times are Unix seconds (UTC) as floats. JSON columns hold frozen designs, never state.
"""

from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, Text, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """Declarative base of every table."""

    type_annotation_map = {dict[str, Any]: JSON, list[Any]: JSON, str: Text}  # noqa: RUF012


class Annotator(Base):
    """A person who labels. `link_hash` is the SHA-256 of their link's token, never the token."""

    __tablename__ = "annotator"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[float]
    link_hash: Mapped[str | None] = mapped_column(unique=True)
    role: Mapped[str] = mapped_column(default="annotator", server_default="annotator")  # or "owner"
    revoked_at: Mapped[float | None]


class ReviewToken(Base):
    """What an open review page proves itself with: a token's SHA-256, bound to person and round."""

    __tablename__ = "review_token"
    hash: Mapped[str] = mapped_column(primary_key=True)
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"))
    round_id: Mapped[int] = mapped_column(ForeignKey("round.id"))
    expires_at: Mapped[float]
    seen_at: Mapped[float] = mapped_column(default=0.0, server_default="0")  # last sync; 0: left


class Round(Base):
    """One audit: a design frozen at the draw, and the labels given under it."""

    __tablename__ = "round"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[float]
    closed_at: Mapped[float | None]
    design: Mapped[dict[str, Any]]  # workbench.audit.design.RoundDesign as JSON
    design_hash: Mapped[str]


class Item(Base):
    """One drawn pair. `position` is its place in its stratum's draw, from 0.

    The certificate reads in that order.

    `rank` orders the review queue over all strata. Edge cases queued in addition have
    `stratum` "edge" and never enter a certificate; there alone `ai_label` may be "none", where
    the judge abstained or failed. `inclusion_prob` is the chance that this round's draw, as far as
    it has gone, holds the pair. `ai_label`, `p_a`, `model_a/b` and `slices`
    must never reach a browser before this person's vote.
    """

    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    round_id: Mapped[int] = mapped_column(ForeignKey("round.id"))
    stratum: Mapped[str]
    position: Mapped[int]
    rank: Mapped[float]
    pair_id: Mapped[str]
    inclusion_prob: Mapped[float]
    ai_label: Mapped[str]
    p_a: Mapped[float | None]
    slices: Mapped[dict[str, Any]]
    prompt_json: Mapped[str]
    response_a: Mapped[str]
    response_b: Mapped[str]
    __table_args__ = (
        UniqueConstraint("round_id", "stratum", "position"),
        UniqueConstraint("round_id", "pair_id"),
        Index("item_rank", "round_id", "rank"),
    )


class Slot(Base):
    """One label that the round asks of an item: number 0 is the one that counts, 1 the overlap."""

    __tablename__ = "slot"
    id: Mapped[int] = mapped_column(primary_key=True)
    round_id: Mapped[int] = mapped_column(ForeignKey("round.id"))
    item_id: Mapped[int] = mapped_column(ForeignKey("item.id"))
    number: Mapped[int]
    __table_args__ = (UniqueConstraint("item_id", "number"), Index("slot_round", "round_id"))


class Seat(Base):
    """A person's place in a round. Away for the lease time: their open slots go to others."""

    __tablename__ = "seat"
    round_id: Mapped[int] = mapped_column(ForeignKey("round.id"), primary_key=True)
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"), primary_key=True)
    joined_at: Mapped[float]
    last_action_at: Mapped[float]


class Lease(Base):
    """A slot handed to one person's browser. `left` says which response stands on the left.

    `holder` is the hash of the review token of the page (the tab) that has the pair in its queue.
    """

    __tablename__ = "lease"
    id: Mapped[str] = mapped_column(primary_key=True)  # unguessable
    slot_id: Mapped[int] = mapped_column(ForeignKey("slot.id"), index=True)
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"))
    holder: Mapped[str | None]
    left: Mapped[str]  # "A" or "B"
    issued_at: Mapped[float]
    ended_at: Mapped[float | None]  # answered, skipped or handed back
    __table_args__ = (
        Index(
            "lease_open",
            "annotator_id",
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
        Index(
            "lease_once",
            "slot_id",
            unique=True,
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
    )


class Vote(Base):
    """One label by one person, kept for ever; an undo sets `undone_at`, a new vote is a new row.

    `id` is made by the client, so a vote that arrives twice is stored once. `counts` is false
    for a vote that came after its slot had been filled by somebody else (kept, never a first vote).
    """

    __tablename__ = "vote"
    id: Mapped[str] = mapped_column(primary_key=True)
    round_id: Mapped[int] = mapped_column(ForeignKey("round.id"), index=True)
    item_id: Mapped[int] = mapped_column(ForeignKey("item.id"))
    slot_id: Mapped[int] = mapped_column(ForeignKey("slot.id"))
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"))
    lease_id: Mapped[str | None] = mapped_column(ForeignKey("lease.id"))
    label: Mapped[str]  # "A", "B", "tie": un-swapped
    both_bad: Mapped[bool] = mapped_column(default=False)
    counts: Mapped[bool] = mapped_column(default=True)
    left: Mapped[str | None]
    seconds: Mapped[float | None]
    comment: Mapped[str | None]
    details: Mapped[dict[str, Any]]  # {"tags": {...}, "criteria": {...}}
    # "workbench", "import", "simulated", "argilla"; "argilla-assisted": the AI's label was shown
    origin: Mapped[str]
    client_at: Mapped[float | None]
    created_at: Mapped[float]
    undone_at: Mapped[float | None]
    __table_args__ = (
        Index(
            "vote_once",
            "annotator_id",
            "item_id",
            unique=True,
            sqlite_where=text("undone_at IS NULL"),
            postgresql_where=text("undone_at IS NULL"),
        ),
        Index(
            "vote_slot",
            "slot_id",
            unique=True,
            sqlite_where=text("undone_at IS NULL AND counts"),
            postgresql_where=text("undone_at IS NULL AND counts"),
        ),
        # SQLite sees "counts = 1" and does not know that the index above, "WHERE counts", holds it.
        Index("vote_of_slot", "slot_id"),
        Index("vote_item", "item_id"),
        Index("vote_person", "round_id", "annotator_id", "created_at"),
    )


class Skip(Base):
    """A person passed on a slot, with a reason; the slot goes to somebody else."""

    __tablename__ = "skip"
    id: Mapped[str] = mapped_column(primary_key=True)
    round_id: Mapped[int] = mapped_column(ForeignKey("round.id"), index=True)
    item_id: Mapped[int] = mapped_column(ForeignKey("item.id"))
    slot_id: Mapped[int] = mapped_column(ForeignKey("slot.id"))
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"))
    lease_id: Mapped[str | None] = mapped_column(ForeignKey("lease.id"))
    reason: Mapped[str | None]
    client_at: Mapped[float | None]
    created_at: Mapped[float]
    undone_at: Mapped[float | None]
    __table_args__ = (
        Index(
            "skip_once",
            "annotator_id",
            "item_id",
            unique=True,
            sqlite_where=text("undone_at IS NULL"),
            postgresql_where=text("undone_at IS NULL"),
        ),
        Index("skip_item", "item_id"),
    )


class Undo(Base):
    """An undo as the client sent it; kept so that one that overtakes its vote still applies."""

    __tablename__ = "undo"
    id: Mapped[str] = mapped_column(primary_key=True)
    target_id: Mapped[str] = mapped_column(unique=True)
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"))
    created_at: Mapped[float]


class Amendment(Base):
    """A note or tags given after the vote; the one with the greatest `seq` stands."""

    __tablename__ = "amendment"
    id: Mapped[str] = mapped_column(primary_key=True)
    vote_id: Mapped[str] = mapped_column(index=True)  # no foreign key: it may overtake its vote
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"))
    seq: Mapped[float]
    comment: Mapped[str | None]
    details: Mapped[dict[str, Any]]
    created_at: Mapped[float]


class GateCrossing(Base):
    """The first decision of a stratum's gate, with its position in the draw; it stands."""

    __tablename__ = "gate_crossing"
    round_id: Mapped[int] = mapped_column(ForeignKey("round.id"), primary_key=True)
    stratum: Mapped[str] = mapped_column(primary_key=True)
    decision: Mapped[str]
    n_labels: Mapped[int]
    evidence: Mapped[dict[str, Any]]
    created_at: Mapped[float]


class DrawStage(Base):
    """One batch of a stratum's draw: the first one, each extension, each stage of active mode.

    `fit` is what an active stage was drawn by (empty for uniform draws), for replaying it.
    """

    __tablename__ = "draw_stage"
    round_id: Mapped[int] = mapped_column(ForeignKey("round.id"), primary_key=True)
    stratum: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    start: Mapped[int]
    size: Mapped[int]
    fit: Mapped[dict[str, Any]]
    created_at: Mapped[float]


class LabelImport(Base):
    """A file of human labels read into a round: what was in it and what became of its rows."""

    __tablename__ = "label_import"
    round_id: Mapped[int] = mapped_column(ForeignKey("round.id"), primary_key=True)
    file_hash: Mapped[str] = mapped_column(primary_key=True)  # SHA-256 of the file's bytes
    file_name: Mapped[str]
    slot_rule: Mapped[str]  # how the vote that counts was chosen where one pair has several
    counts: Mapped[dict[str, Any]]
    created_at: Mapped[float]


class ArgillaDataset(Base):
    """A dataset of an Argilla server that holds pairs of a round; `id` is the server's.

    `assist`: the AI's labels were shown there, so the round cannot be certified any more.
    """

    __tablename__ = "argilla_dataset"
    id: Mapped[str] = mapped_column(primary_key=True)
    round_id: Mapped[int] = mapped_column(ForeignKey("round.id"))
    name: Mapped[str]
    workspace: Mapped[str]
    url: Mapped[str]
    wanted: Mapped[int]  # submitted answers that complete a record there
    assist: Mapped[bool]
    created_at: Mapped[float]
    __table_args__ = (Index("argilla_dataset_round", "round_id"),)


class ArgillaPerson(Base):
    """Which annotator a user of an Argilla server is; matched once, by name, then it stays."""

    __tablename__ = "argilla_person"
    user_id: Mapped[str] = mapped_column(primary_key=True)
    username: Mapped[str]
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"))
    created_at: Mapped[float]


class Adjudication(Base):
    """A third person's decision where votes disagree; versions are kept, the newest stands."""

    __tablename__ = "adjudication"
    id: Mapped[int] = mapped_column(primary_key=True)
    item_id: Mapped[int] = mapped_column(ForeignKey("item.id"), index=True)
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"))
    label: Mapped[str]
    comment: Mapped[str | None]
    created_at: Mapped[float]


class CritiqueVerdict(Base):
    """Whether a person finds an AI's critique right; versions are kept, a person's newest stands.

    `critique` is the hash of all that was shown (`workbench.audit.critiques`), so a critique that
    is made again word for word keeps what people said of it. `verdict` is "right", "wrong",
    "unsure", or "withdrawn" by an undo.
    """

    __tablename__ = "critique_verdict"
    id: Mapped[str] = mapped_column(primary_key=True)
    critique: Mapped[str]
    constitution: Mapped[str]  # hash
    principle: Mapped[str]
    critic: Mapped[str]
    said: Mapped[str]  # "satisfied" or "violated"
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"))
    verdict: Mapped[str]
    comment: Mapped[str | None]
    created_at: Mapped[float]
    __table_args__ = (
        Index("critique_verdict_of", "critique"),
        Index("critique_verdict_person", "annotator_id", "created_at"),
    )
