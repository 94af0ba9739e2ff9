"""The flat table against a dict, and rows of earlier files against those of this one."""

from hypothesis import given
from hypothesis import strategies as st

from pipelines.formats.fingerprints import fingerprints
from pipelines.formats.ids import KeyTable, Register, Standing
from pipelines.records import PreferencePair

# Few low bits, so that keys collide; 0 is the mark of a free slot.
keys = st.sampled_from([0, 1, 2, 8, 16, 1 << 32, (1 << 64) - 1]) | st.integers(0, (1 << 64) - 1)


@given(st.lists(st.tuples(keys, st.integers(0, (1 << 64) - 1))))
def test_the_table_does_what_a_dict_does(entries):
    table, expected = KeyTable(n_slots=4), {}
    for key, value in entries:
        table.set(key, value)
        expected[key or 1] = value  # 0 and 1 are one key: for hashes no loss
    assert len(table) == len(expected)
    assert {key: table.get(key) for key in expected} == expected
    assert table.get(12345) == expected.get(12345)


def pair(pair_id: str | None, prompt: str = "p") -> PreferencePair:
    return PreferencePair(id=pair_id, prompt=prompt, response_a="a", response_b="b")


def test_a_row_of_an_earlier_file_is_known_once_and_repeated_after_that():
    register, hashes = Register(), fingerprints(pair("x"))
    register.remember("x", hashes.row, hashes.text)
    standings = [register.admit(pair("x")).standing for _ in range(3)]
    assert standings == [Standing.KNOWN, Standing.REPEATED, Standing.REPEATED]
    assert register.admit(pair("x", "q")).standing is Standing.REFUSED
    other = register.admit(pair("y"))
    assert (other.standing, other.duplicate) == (Standing.NEW, True)


def test_a_bare_comparison_gets_an_id_of_its_whole_row():
    bare = PreferencePair(prompt="", response_a="", response_b="", model_a="x", model_b="y")
    register = Register()
    ids = [register.admit(row).pair.id for row in (bare, bare.swap(), bare)]
    assert ids[2] == f"{ids[0]}-2"
    assert ids[1] != ids[0]
