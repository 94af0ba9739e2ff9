"""What is planted in a simulated world: the judge's biases and skill, and the people's accuracy."""

from dataclasses import dataclass

# Score gaps of decisive pairs, in the judge's eyes, and how common each is.
GAPS = (0.5, 1.0, 1.5, 2.5, 4.0)
GAP_SHARES = (0.15, 0.20, 0.25, 0.25, 0.15)
TRUE_TIES = 0.06
LENGTHS = (80, 120, 170, 260)  # characters of a response, equally common unless they tell
OWN_SHARE, OWN_BETTER = 0.7, 0.55  # pairs with a response of the judge's own model; it is better
BLIND_SHARE = 0.2  # pairs that one principle alone decides
WRONG_TIES = 0.2  # of a person's wrong labels on decisive pairs: "tie"


@dataclass(frozen=True)
class Plants:
    """What is planted.

    Attributes:
        accuracy: Share of decisive pairs on which the judge's reading alone says the better one.
        position_points: 100 (P(a wins | a first) - P(a wins | a second)), planted exactly.
        length: Added to the judge's logit per unit of log length ratio.
        own: Added to the judge's logit for a response of its own model.
        blind: Whether the judge sees no difference on the pairs of one principle.
        confidence_slope: Factor on the logit of the stated probability: 1 states the truth.
        consistency: Share of pairs on which both orders give the judge one reading.
        people: Accuracy of each of three annotators; slots fall to them at random.
        length_tells: How much longer the better response tends to be; 0: length says nothing.
        clustered: Whether pairs share prompts, with answers that go together.
        n_pairs: Pairs that are audited.
        overlap: Share of them that two people label.
    """

    accuracy: float = 0.85
    position_points: float = 0.0
    length: float = 0.0
    own: float = 0.0
    blind: bool = False
    confidence_slope: float = 1.0
    consistency: float = 0.95
    people: tuple[float, float, float] = (0.95, 0.85, 0.75)
    length_tells: float = 0.0
    clustered: bool = False
    n_pairs: int = 400
    overlap: float = 0.2
