"""What a run may spend: no request goes out that could take it over its bounds."""

from dataclasses import dataclass
from typing import Literal

from pipelines.models.completions import Price, request_tokens
from pipelines.models.engine import Reply, Request

Bound = Literal["budget_usd", "max_requests"]

# Tokens are guessed before the server counts them: first with a margin, then by what it counted.
_MARGIN = 1.25


@dataclass(frozen=True)
class Limits:
    """The bounds of one run; None is no bound."""

    budget_usd: float | None = None
    max_requests: int | None = None


class Budget:
    """Keeps account of one run, over all its judges.

    What a request may cost at most is put aside before it goes out, and settled by what it did
    cost; for one that was dropped on its way it stays aside, as it may have been billed. Requests
    are counted as they are asked: that a busy server has to be asked twice for one is not counted.
    """

    def __init__(self, limits: Limits):
        self.limits = limits
        self.usd = 0.0
        self.n_requests = 0
        self._aside = 0.0
        self._guessed = 0
        self._counted = 0

    def most_usd(self, request: Request, price: Price | None) -> float:
        """What a request may cost at most."""
        if price is None or not (price.usd_per_1m_input or price.usd_per_1m_output):
            return 0.0
        tokens = request_tokens(request) * _MARGIN * max(1.0, self._ratio())
        n_out = 1 if request.answers is not None else request.max_tokens
        return price.usd(int(tokens), n_out)

    def blocked(self, most_usd: float) -> Bound | None:
        """The bound that a request would break now, or None."""
        limits = self.limits
        if limits.max_requests is not None and self.n_requests >= limits.max_requests:
            return "max_requests"
        if limits.budget_usd is None or most_usd == 0.0:
            return None
        return "budget_usd" if self.usd + self._aside + most_usd > limits.budget_usd else None

    def ask(self, most_usd: float) -> None:
        """A request goes out."""
        self.n_requests += 1
        self._aside += most_usd

    def settle(self, most_usd: float, request: Request, reply: Reply) -> None:
        """Its reply is here."""
        self._aside = max(0.0, self._aside - most_usd)
        self.usd += reply.cost_usd or 0.0
        if most_usd and reply.prompt_tokens:
            self._guessed += request_tokens(request)
            self._counted += reply.prompt_tokens

    def _ratio(self) -> float:
        return self._counted / self._guessed if self._guessed else 1.0
