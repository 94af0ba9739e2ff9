"""The parser: what it reads, what it refuses to read, and that it never guesses."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.judge.parse import (
    ConfidenceWords,
    Verdict,
    before_fields,
    is_refusal,
    parse_rating,
    parse_verdict,
    parse_violation,
    split_thinking,
    write_verdict,
)

WORDS = ConfidenceWords()
AB = ("A", "B")


def verdict(text: str) -> Verdict | None:
    return parse_verdict(text, AB, "tie", WORDS)


@pytest.mark.parametrize(
    ("text", "winner", "confidence"),
    [
        ("Winner: A\nConfidence: 0.9", "first", 0.9),
        ("winner: b\nconfidence: HIGH", "second", 0.9),
        ("Winner: tie\nConfidence: medium", "tie", 0.65),
        ("Winner: B\nConfidence: low", "second", 0.25),
        ("**Winner:** Response A\n**Confidence:** 85%", "first", 0.85),
        ("- Winner: **B**.\n- Confidence: .7.", "second", 0.7),
        ("Winner: A, Confidence: 1", "first", 1.0),
        ("Winner: A. Confidence: high.", "first", 0.9),
        ("Winner : A | Confidence : 0", "first", 0.0),
        ('"Winner": "B"\r\n"Confidence": 0.5', "second", 0.5),
        ("A is long. B is right.\n\nWinner: B\nConfidence: 0.8", "second", 0.8),
        ("Winner: A\nConfidence: 0.9\nSo, again:\nWinner: A\nConfidence: 0.90", "first", 0.9),
        ("Confidence: 0.75\nWinner: the response B", "second", 0.75),
        ("胜者：A\n信心：高", "first", 0.9),
        ("胜者: 回答B\n置信度：０．８", "second", 0.8),
        ("**获胜者：** 平局。\n**信心：** 中等", "tie", 0.65),
        ("胜者：Ｂ，信心：低", "second", 0.25),
        ("胜者：A。信心：90％。", "first", 0.9),
        ("Winner: A\nConfidence: 100%", "first", 1.0),
    ],
)
def test_a_verdict_in_the_asked_form_is_read(text, winner, confidence):
    assert verdict(text) == Verdict(winner, pytest.approx(confidence))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A",
        "Winner: A",
        "Confidence: 0.9",
        "Winner: A\nWinner: B\nConfidence: 0.9",
        "Winner: A\nConfidence: 0.9\nConfidence: 0.2",
        "Winner: A or B\nConfidence: 0.9",
        "Winner: A, B or tie\nConfidence: low, medium or high",
        "Winner: neither\nConfidence: high",
        "Winner: C\nConfidence: high",
        "Winner:\nA\nConfidence: high",
        "Winner: A\nConfidence: 9/10",
        "Winner: A\nConfidence: 85",
        "Winner: A\nConfidence: 1.2",
        "Winner: A\nConfidence: 120%",
        "Winner: A\nConfidence: -0.9",
        "Winner: A\nConfidence: nan",
        "Winner: A\nConfidence: ٠.٩",
        "Winner: A\nConfidence: very",
        "The winner is A, with high confidence.",
        "A winner: A\nsome confidence: high",
        "胜者：A",
        "胜者：A或B\n信心：高",
        "I think A wins. Winner: see above\nConfidence: high",
    ],
)
def test_anything_else_is_not_read(text):
    assert verdict(text) is None


def test_the_middle_of_a_band_moves_with_its_edges():
    words = ConfidenceWords(medium_from=0.6, high_from=0.9)
    assert [words.value(word) for word in ("low", "medium", "high")] == [0.3, 0.75, 0.95]


PIECES = st.sampled_from(
    [
        *("Winner", "Confidence", "胜者", "信心", ":", "：", " ", "\n", "A", "B", "tie", "平局"),
        *("0.9", "high", "高", "**", ",", "，", "|", "或", "or", "Response", "\u2028", "\x00"),
        *("\ud800", "１"),
    ]
)


@given(text=st.one_of(st.text(), st.lists(PIECES, max_size=24).map("".join)))
def test_no_text_makes_the_parser_raise_or_guess(text):
    found = verdict(text)
    parse_rating(text, 1, 10)
    parse_violation(text)
    is_refusal(text)
    split_thinking(text)
    before_fields(text)
    if found is not None:
        plain = unicodedata.normalize("NFKC", text).casefold()
        said = {"first": ("a",), "second": ("b",), "tie": ("tie", "平局")}[found.winner]
        assert any(name in plain for name in said)
        assert any(key in plain for key in ("winner", "胜者", "获胜者"))
        assert any(key in plain for key in ("confidence", "信心", "置信度"))
        assert 0.0 <= found.confidence <= 1.0


@given(
    language=st.sampled_from(["en", "zh"]),
    names=st.sampled_from([("A", "B", "tie"), ("1", "2", "0"), ("甲", "乙", "平局")]),
    winner=st.sampled_from(["first", "second", "tie"]),
    hundredths=st.integers(0, 100),
    reasons=st.sampled_from(["", "Because.\n", "A: long, B: short.\n\n", "理由：清楚。\n"]),
)
def test_what_is_written_is_read_back(language, names, winner, hundredths, reasons):
    said = Verdict(winner, hundredths / 100)
    text = reasons + write_verdict(language, names[:2], names[2], said)
    assert parse_verdict(text, names[:2], names[2], WORDS) == said
    assert before_fields(text) == reasons.strip()


@given(winner=st.sampled_from("AB"), confidence=st.sampled_from(["0.8", "high", "低"]))
def test_exchanging_the_names_exchanges_the_winner(winner, confidence):
    text = f"Winner: {winner}\nConfidence: {confidence}"
    one, other = verdict(text), parse_verdict(text, ("B", "A"), "tie", WORDS)
    assert {one.winner, other.winner} == {"first", "second"}
    assert one.confidence == other.confidence


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("Rating: 4", 4),
        ("rating: **5**", 5),
        ("Score: 3/5.", 3),
        ("评分：４", 4),
        ("It is fine.\nRating: 2", 2),
        ("Rating: 6", None),
        ("Rating: 0", None),
        ("Rating: 4.5", None),
        ("Rating: 4/10", None),
        ("Rating: four", None),
        ("Rating: 4\nRating: 5", None),
        ("4", None),
        ("Rating: 99999999999999999999", None),
    ],
)
def test_ratings(text, score):
    assert parse_rating(text, 1, 5) == score


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        ("Violation: none", "none"),
        ("**Violation:** Severe.", "severe"),
        ("违反：轻微", "minor"),
        ("违反：无。", "none"),
    ],
)
def test_violations(text, severity):
    assert parse_violation(text) == severity


@pytest.mark.parametrize("text", ["Violation: yes", "none", "Violation: none\nViolation: severe"])
def test_violations_that_say_nothing(text):
    assert parse_violation(text) is None


@pytest.mark.parametrize(
    ("text", "thinking", "said"),
    [
        ("<think>\nhm\n</think>\n\nWinner: A", "hm", "Winner: A"),
        ("hm, B?\n</think>\nWinner: A", "hm, B?", "Winner: A"),
        ("<thinking>hm", "hm", ""),
        ("Winner: A", "", "Winner: A"),
        ("", "", ""),
    ],
)
def test_thinking_aloud_is_no_verdict(text, thinking, said):
    assert split_thinking(text) == (thinking, said)


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't assist with that request.",
        "I’m sorry, I cannot help with this.",
        "I cannot assist with that.",
        "I can't help you with comparing these.",
        "Sorry, I won't be able to help with that.",
        "I'm unable to judge these responses.",
        "I am not able to provide a comparison of harmful content.",
        "As an AI language model, I cannot evaluate such content.",
        "Unfortunately, I must decline to participate.",
        "I apologize, but I will not engage with this.",
        "抱歉，我无法协助处理这个请求。",
        "对不起，我不能帮助您完成这个任务。",
        "很抱歉，这个内容我不便评价。",
        "我无法对此进行评判。",
        "作为一个人工智能助手，我不能评价此类内容。",
    ],
)
def test_refusals(text):
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "A",
        "",
        "Both responses refuse: 'I'm sorry, but I can't assist with that.' B is shorter.",
        "I cannot find a fault in response A, while B is wrong.",
        "Response A says sorry, and I can't help noticing that B does not.",
        "Sorry about the mess. Response A is clearer.",
        "Unfortunately, response A invents a source.",
        "I can't decide between them without looking at the facts. Point 1: ...",
        "As an AI judge, I find A better.",
        "抱歉的语气出现在回答 A 中，但它没有给出答案。",
        "回答 A 说“我无法协助”，这是不必要的拒绝。",
        "I'm sorry, but I can't assist with that. " + "But here is my full analysis. " * 40,
    ],
)
def test_what_only_sounds_like_a_refusal_is_none(text):
    assert not is_refusal(text)
