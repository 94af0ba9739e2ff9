"""The run file: defaults, errors that help, no secrets."""

from pathlib import Path

import pytest

from pipelines.config import RunConfig, load_config
from pipelines.errors import BadInput


def load(folder: Path, text: str) -> RunConfig:
    (folder / "project.toml").write_text(text)
    return load_config(folder)


def test_an_empty_file_is_a_whole_configuration(tmp_path):
    config = load(tmp_path, "")
    assert config == RunConfig()
    assert (config.audit.share, config.audit.trust_above, config.audit.warn_below) == (
        0.1,
        0.8,
        0.75,
    )
    assert (config.audit.ties, config.audit.mode) == ("decisive", "uniform")


def test_what_is_set_is_set_and_the_rest_stays(tmp_path):
    config = load(tmp_path, '\ufeff[audit]\nn_pairs = 300\n[audit.safety]\ntags = ["medical"]\n')
    assert (config.audit.n_pairs, config.audit.share) == (300, 0.1)
    assert config.audit.safety.tags == ("medical",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "[audit]\nshar = 1",
            r'project\.toml: unknown key "audit\.shar"; did you mean "audit\.share"',
        ),
        ("[audti]\nx = 1", r'unknown key "audti"; did you mean "audit"'),
        ("[audit.safety]\nsubset = []", r'did you mean "audit\.safety\.subsets"'),
        ("[audit]\nshare = 2", r'"audit\.share" is 2'),
        ("[audit]\nshare = nan", r'"audit\.share" is nan'),
        ('[audit]\nmode = "fast"', "'uniform' or 'active'"),
        ("[audit]\nwarn_below = 0.9", "warn_below is greater than trust_above"),
        ("[audit.safety]\ntrust_above = 0.6", "warn_below is greater than trust_above"),
        ('[audit.safety]\npattern = "("', "not a regular expression"),
        (
            '[database]\nurl = "postgresql://me:hunter2@host/db"',
            r"holds a password; write \$\{NAME\}",
        ),
        ("[audit\n", "not valid TOML"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_file_and_key(tmp_path, text, words):
    with pytest.raises(BadInput, match=words) as mistake:
        load(tmp_path, text)
    assert "\n" not in str(mistake.value)


def test_a_password_never_stands_in_the_message(tmp_path):
    with pytest.raises(BadInput) as mistake:
        load(tmp_path, '[database]\nurl = "postgresql://me:hunter2@host/db"')
    assert "hunter2" not in str(mistake.value)


def test_a_folder_without_a_run_file_says_how_to_make_one(tmp_path):
    with pytest.raises(BadInput, match="workbench init"):
        load_config(tmp_path)


def test_a_run_file_that_is_not_text_is_said_to_be(tmp_path):
    (tmp_path / "project.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match="UTF-8"):
        load_config(tmp_path)
