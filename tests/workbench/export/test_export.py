"""Exports of a small audited project, read back: what is in the rows, what was counted."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.config import CurateSection
from pipelines.errors import BadInput
from pipelines.formats.reading import read_pairs
from pipelines.importing import import_file
from pipelines.records import PreferencePair
from workbench.export.options import ExportOptions, policy_of
from workbench.export.run import Export, run_export
from workbench.project import Project

N_PAIRS, N_UNLABELLED = 60, 3  # failed, abstained, never asked


def options(name: str, out: Path | None = None, **given: Any) -> ExportOptions:
    names = ("disagreement", "ties", "identical", "min_confidence", "human_only")
    asked = {key: given.pop(key) for key in names if key in given}
    fmt, policy = policy_of(name, CurateSection(), **asked)
    return ExportOptions(fmt=fmt, policy=policy, out=out, **given)


def export(project: Project, name: str, **given: Any) -> tuple[Export, list[dict[str, Any]]]:
    done = run_export(project, options(name, **given))
    return done, rows_of(done)


def rows_of(done: Export) -> list[dict[str, Any]]:
    first = Path(done.files[0])
    if first.suffix == ".parquet":
        return pq.read_table(first).to_pylist()
    return [json.loads(line) for line in first.read_text(encoding="utf-8").split("\n") if line]


def by_id(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["pair_id"]: row for row in rows}


def test_trl_rows_choose_the_response_of_the_label(audited: Any) -> None:
    project, audit = audited
    done, rows = export(project, "trl")
    # 60 pairs; 3 without any label, 1 identical, 1 tie
    assert done.counts.n_kept == len(rows) == 55
    assert [step.dropped for step in done.counts.steps] == [
        {"no AI verdict": 1, "judge failed": 1, "judge abstained": 1},
        {},
        {},
        {"identical responses": 1},
        {"tie": 1},
    ]
    assert list(rows[0]) == [
        *("prompt", "chosen", "rejected", "pair_id", "p_chosen", "weight", "label_source"),
        *("judge", "orders", "annotators", "round", "stratum", "inclusion_prob"),
    ]
    found = by_id(rows)
    for row in rows:
        k = int(row["pair_id"][2:])
        ai_says_a = k % 2 == 0
        if row["label_source"] == "ai":
            assert row["chosen"].startswith(f"{'a' if ai_says_a else 'b'}{k} ")
            assert row["p_chosen"] == pytest.approx(0.9)
            assert row["annotators"] == ""
    overruled = [pair_id for pair_id in audit.pair_ids() if int(pair_id[2:]) < 50][:12][3]
    k = int(overruled[2:])
    row = found[overruled]
    assert row["chosen"].startswith(f"{'b' if k % 2 == 0 else 'a'}{k} ")
    assert (row["label_source"], row["p_chosen"], row["annotators"]) == ("human", 1.0, "ana")
    assert (row["round"], row["stratum"], row["orders"]) == ("first", "main", "ab+ba")
    assert row["inclusion_prob"] == pytest.approx(20 / 57)
    imported = found["p-55"]
    assert imported["annotators"] == "ben; kim; zoe"
    assert imported["p_chosen"] == pytest.approx(2 / 3)
    assert imported["chosen"].startswith("a55 ")


def test_adjudication_is_what_leaves(audited: Any) -> None:
    project, audit = audited
    pair_id = [one for one in audit.pair_ids() if int(one[2:]) < 50][3]
    audit.adjudicate(pair_id, "eve", "A")
    _, rows = export(project, "jsonl", disagreement="drop")
    row = by_id(rows)[pair_id]
    assert (row["label"], row["label_source"], row["annotators"]) == ("A", "adjudicated", "eve")
    assert row["p_a"] == 1.0


def test_every_column_of_a_pair_in_jsonl_and_parquet(audited: Any) -> None:
    project, _ = audited
    done, lines = export(project, "jsonl", ties="keep")
    _, table = export(project, "parquet", ties="keep")
    assert done.counts.n_kept == len(lines) == len(table) == N_PAIRS - N_UNLABELLED
    assert by_id(lines)["p-53"]["label"] == "tie"
    assert by_id(lines)["p-54"]["identical"] is True
    unaudited = by_id(lines)["p-53"]
    assert (unaudited["human_label"], unaudited["meta"]) == ("", '{"row": 53}')
    stand_ins = {"ai_p_a": -1.0, "inclusion_prob": 0.0}
    for line, row in zip(lines, table, strict=True):
        held = {
            key: stand_ins.get(key, "") if value is None else value for key, value in row.items()
        }
        assert line == held
    assert not any(value is None for line in lines for value in line.values())


def test_kto_rows_are_two_a_pair_one_of_them_desirable(audited: Any) -> None:
    project, _ = audited
    done, rows = export(project, "kto")
    assert done.rows == {"train": 110}
    for better, worse in zip(rows[::2], rows[1::2], strict=True):
        assert better["pair_id"] == worse["pair_id"]
        assert better["prompt"] == worse["prompt"]
        assert (better["label"], worse["label"]) == (True, False)
        assert better["completion"] != worse["completion"]


def test_half_ties_leave_with_soft_label_one_half_and_the_same_text_whichever_way_round(
    tmp_path: Path, new_project: Any, pair_rows: Any
) -> None:
    rows = pair_rows(n=30)
    for row in rows:
        row["ai"] = [{"judge": "sol", "label": "tie"}]
    turned = [
        {**row, "response_a": row["response_b"], "response_b": row["response_a"]} for row in rows
    ]
    _, one = export(new_project(tmp_path / "one", rows), "trl", ties="half")
    _, other = export(new_project(tmp_path / "other", turned), "trl", ties="half")
    assert [row["chosen"] for row in one] == [row["chosen"] for row in other]
    assert {row["p_chosen"] for row in one} == {0.5}
    n_a = sum(row["chosen"].startswith("a") for row in one)
    assert 5 < n_a < 25  # neither side is always the chosen one


@pytest.mark.parametrize(
    ("name", "ties"), [("trl", "keep"), ("hf-folder", "keep"), ("kto", "half")]
)
def test_a_tie_policy_that_the_rows_cannot_hold_is_refused(name: str, ties: str) -> None:
    with pytest.raises(BadInput, match=f"{name} row cannot hold ties as --ties {ties} asks"):
        options(name, ties=ties)


def test_a_policy_for_the_pairs_format_is_refused() -> None:
    with pytest.raises(BadInput, match="no policy applies"):
        options("pairs", human_only=True)


def test_messages_make_the_whole_file_conversational(conversations: Project) -> None:
    done, rows = export(conversations, "trl")
    assert done.conversational
    for row in rows:
        assert [turn["role"] for turn in row["chosen"]] == ["assistant"]
        assert row["prompt"][-1]["role"] == "user"
    assert {len(row["prompt"]) for row in rows} == {1, 3}
    with pytest.raises(BadInput, match="of the prompts are conversations"):
        export(conversations, "trl", form="standard", force=True)


def test_texts_can_be_asked_for_as_messages(project: Project) -> None:
    _, rows = export(project, "trl", form="conversational")
    assert rows[0]["prompt"] == [{"role": "user", "content": rows[0]["prompt"][0]["content"]}]


def test_a_prompt_is_never_on_both_sides_of_a_split(project: Project) -> None:
    done, train = export(project, "trl", test_share=0.3)
    test = [json.loads(line) for line in Path(done.files[1]).read_text().split("\n") if line]
    assert [Path(path).name for path in done.files[:2]] == ["trl-train.jsonl", "trl-test.jsonl"]
    assert done.rows == {"train": len(train), "test": len(test)}
    assert len(train) + len(test) == done.counts.n_kept
    assert test
    assert not {row["prompt"] for row in train} & {row["prompt"] for row in test}
    # the split is a hash of the prompt: as text or as a message, it falls on the same side
    again, messages = export(project, "trl", test_share=0.3, form="conversational", force=True)
    assert [row["pair_id"] for row in messages] == [row["pair_id"] for row in train]
    assert again.rows == done.rows


def test_the_margin_is_only_where_it_is_asked_for_because_reward_trainers_use_it(
    project: Project,
) -> None:
    _, rows = export(project, "trl", margin=True)
    assert rows[0]["margin"] == pytest.approx(0.8)
    _, rows = export(project, "hf-folder")
    assert "margin" not in rows[0]
    _, rows = export(project, "jsonl")
    assert rows[0]["margin"] == pytest.approx(0.8)


def test_pseudonyms_keep_people_apart_without_their_names(audited: Any) -> None:
    project, _ = audited
    done, rows = export(project, "trl", pseudonyms=True)
    # ana, ben, kim, zoe are annotator-1 to -4
    assert {row["annotators"] for row in rows} == {
        "",
        "annotator-1",
        "annotator-2; annotator-3; annotator-4",
    }
    for path in done.files:
        assert "zoe" not in Path(path).read_text()


def test_the_pairs_file_holds_every_pair_with_all_labels_and_is_read_again(audited: Any) -> None:
    project, audit = audited
    pair_id = audit.pair_ids()[0]
    noted = {"left": "B", "details": {"tags": {"left": ["made up"], "right": []}}}
    audit.vote(
        pair_id, "ben", "tie", slot=1, both_bad=True, comment="both wrong", seconds=3.5, **noted
    )
    done, _ = export(project, "pairs")
    assert done.counts.n_kept == N_PAIRS
    assert done.counts.kept_by_source["none"] == N_UNLABELLED
    pairs = {}
    for pair in read_pairs(Path(done.files[0])):
        assert isinstance(pair, PreferencePair)
        pairs[pair.id] = pair
    originals = {pair.id: pair for pair in project.store.iter_pairs()}
    assert list(pairs) == list(originals)
    audited_ids = set(audit.pair_ids())
    for one, pair in pairs.items():
        original = originals[one]
        assert pair.ai == original.ai
        if one not in audited_ids:
            assert pair == original
    labels = {label.annotator: label for label in pairs[pair_id].human}
    assert (labels["ben"].label, labels["ben"].comment, labels["ben"].seconds) == (
        "tie",
        "both wrong",
        3.5,
    )
    audit_facts = pairs[pair_id].meta["audit"]
    assert isinstance(audit_facts, dict)
    assert audit_facts["both_bad"] == ["ben"]
    # Ben saw response B on the left.
    assert audit_facts["remarks"] == {"ben": {"tags": {"B": ["made up"]}}}
    assert audit_facts["round"] == "first"
    assert pairs[pair_id].meta["row"] == originals[pair_id].meta["row"]


def test_one_round_alone_gives_its_own_votes(project: Project, draw: Any) -> None:
    one, two = draw(project, "one", n_pairs=30), draw(project, "two", n_pairs=30)
    pair_id = next(iter(sorted(set(one.pair_ids()) & set(two.pair_ids()))))
    one.vote(pair_id, "ana", "A")
    two.vote(pair_id, "ben", "B")
    _, rows = export(project, "jsonl", ties="keep")
    assert by_id(rows)[pair_id]["label"] == "tie"  # one vote for each side
    _, rows = export(project, "jsonl", ties="keep", round="one", force=True)
    assert (by_id(rows)[pair_id]["label"], by_id(rows)[pair_id]["round"]) == ("A", "one")


def test_human_only_keeps_the_audited_pairs_with_weights_of_mean_one(audited: Any) -> None:
    project, _ = audited
    done, rows = export(project, "trl", human_only=True)
    assert done.counts.kept_by_source == {"human": 13}  # twelve votes, one imported majority
    assert (
        done.counts.steps[0].dropped["no human label"] == 44
    )  # of 60; three more have no label at all
    weights = [row["weight"] for row in rows if row["round"]]
    assert sum(weights) / len(weights) == pytest.approx(1.0)


def test_a_dry_run_counts_and_writes_nothing(audited: Any) -> None:
    project, _ = audited
    done = run_export(project, options("trl", dry_run=True))
    assert done.counts.n_kept == 55
    assert done.files == ()
    assert not (project.dir / "exports").exists()


def test_nothing_is_overwritten_without_force_and_the_old_file_survives_a_failure(
    project: Project, tmp_path: Path
) -> None:
    out = tmp_path / "mine.jsonl"
    out.write_text("precious")
    with pytest.raises(BadInput, match=r"mine\.jsonl: is already there; --force replaces it"):
        export(project, "trl", out=out)
    with pytest.raises(BadInput, match="no judge or rule"):
        export(project, "trl", out=out, force=True, label="nobody")
    assert out.read_text() == "precious"
    export(project, "trl", out=out, force=True)
    assert out.read_text().startswith('{"prompt":')
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("mine.jsonl", "mine.jsonl.audit.json", "mine.jsonl.card.md", "project"),
    ]


def test_a_folder_that_no_export_wrote_is_never_replaced(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "thesis.txt").write_text("precious")
    with pytest.raises(BadInput, match="no export wrote"):
        export(project, "hf-folder", out=folder, force=True)
    assert (folder / "data" / "thesis.txt").read_text() == "precious"


def test_a_folder_of_ours_is_replaced_with_force_and_other_files_in_it_stay(
    audited: Any, tmp_path: Path
) -> None:
    project, _ = audited
    folder = tmp_path / "set"
    done, _ = export(project, "hf-folder", out=folder, test_share=0.3)
    assert [str(Path(path).relative_to(folder)) for path in done.files] == [
        *("data/test-00000.parquet", "data/train-00000.parquet", "audit.json", "README.md"),
    ]
    (folder / "LICENSE").write_text("mine")
    with pytest.raises(BadInput, match="is already there"):
        export(project, "hf-folder", out=folder)
    export(project, "hf-folder", out=folder, force=True)
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == [
        *("LICENSE", "README.md", "audit.json", "train-00000.parquet"),
    ]


@pytest.mark.parametrize(
    ("name", "file"),
    [("jsonl", "big.jsonl"), ("trl", "big.jsonl.gz"), ("parquet", "big"), ("hf-folder", "big")],
)
def test_an_export_that_breaks_off_leaves_nothing_behind(
    project: Project, tmp_path: Path, name: str, file: str
) -> None:
    def interrupt(_done: int, _all: int) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "out" / file
    with pytest.raises(KeyboardInterrupt):
        run_export(project, options(name, out=out), interrupt)
    assert list(out.parent.iterdir()) == []


def test_json_lines_may_be_gzipped_and_the_same_data_give_the_same_bytes(
    project: Project, tmp_path: Path
) -> None:
    one, two = tmp_path / "one.jsonl.gz", tmp_path / "two.jsonl.gz"
    done = run_export(project, options("trl", out=one))
    run_export(project, options("trl", out=two))
    assert one.read_bytes() == two.read_bytes()
    assert len(gzip.decompress(one.read_bytes()).splitlines()) == done.counts.n_kept


def test_nothing_left_is_an_error_that_says_why(
    tmp_path: Path, new_project: Any, pair_rows: Any
) -> None:
    project = new_project(tmp_path / "few", pair_rows(n=10))
    with pytest.raises(BadInput, match="is left to export: 10 AI not confident enough"):
        export(project, "trl", min_confidence=0.99)


def test_a_project_without_pairs_is_told_to_import(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no pairs yet"):
        export(Project.create(tmp_path / "empty"), "trl")


def test_several_judges_need_a_choice(tmp_path: Path, new_project: Any, pair_rows: Any) -> None:
    rows = pair_rows(n=10)
    for row in rows:
        row["ai"].append({"judge": "luna", "label": "A", "order": "ba"})
    project = new_project(tmp_path / "two", rows)
    with pytest.raises(BadInput, match="several judges"):
        export(project, "trl")
    _, found = export(project, "trl", label="luna")
    assert {(row["judge"], row["orders"]) for row in found} == {("luna", "ba")}
    _, found = export(project, "trl", label="majority", ties="half", force=True)
    assert len(found) == 10


def test_pairs_with_human_labels_alone_need_no_judge(
    tmp_path: Path, new_project: Any, pair_rows: Any
) -> None:
    rows = pair_rows(n=10)
    for row in rows:
        row["ai"], row["human"] = [], [{"annotator": "zoe", "label": "B"}]
    done, found = export(new_project(tmp_path / "people", rows), "trl")
    assert done.label is None
    assert {(row["judge"], row["label_source"]) for row in found} == {("", "human")}


def test_real_pairs_leave_with_the_published_majority(shared_data: Path, tmp_path: Path) -> None:
    expected = json.loads((shared_data / "expected.json").read_text())["pandalm"]
    project = Project.create(tmp_path / "real")
    import_file(project.store, shared_data / "pandalm.jsonl", project.config)
    done, rows = export(project, "jsonl", label="gpt-3.5-turbo", ties="keep")
    assert done.counts.kept_by_label == expected["majority_published"]
    assert done.counts.steps[1].notes["with a human and an AI label"] == 999 - 25
    # Without people, the judge's own labels leave, and its failures are counted.
    by_ai = [
        json.loads(line)
        for line in (shared_data / "pandalm.jsonl").read_text(encoding="utf-8").split("\n")
        if line
    ]
    for row in by_ai:
        row["human"] = []
    alone = Project.create(tmp_path / "alone")
    source = tmp_path / "alone.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in by_ai), encoding="utf-8")
    import_file(alone.store, source, alone.config)
    done, rows = export(alone, "trl", label="gpt-3.5-turbo")
    assert done.counts.steps[0].dropped == {"judge failed": 25}
    assert {row["label_source"] for row in rows} == {"ai"}
    assert len(rows) == done.counts.n_kept
