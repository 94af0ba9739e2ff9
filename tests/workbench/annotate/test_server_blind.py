"""What an annotator's own token gets out of the real server: each leak that stock Argilla has."""

import json
import re
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.request import urlopen

import pytest
from argilla_world import Caller, Row, World, fill

PENDING = {
    "filters": {
        "and": [
            {
                "type": "terms",
                "scope": {"entity": "response", "property": "status"},
                "values": ["pending"],
            },
            {
                "type": "terms",
                "scope": {"entity": "record", "property": "status"},
                "values": ["pending"],
            },
        ]
    }
}
INCLUDE = "include=responses&include=suggestions"


@dataclass
class Scene:
    """One record with two people's answers, a judge's suggestion, hidden metadata."""

    dataset: str
    record: str
    ana_id: str
    ana: Caller
    ben: Caller
    owner: Caller
    bens_answer: str


@pytest.fixture(scope="module")
def scene(argilla: World) -> Scene:
    dataset = argilla.dataset(
        wanted=3, metadata=[("topic", "terms", True), ("judge", "terms", False)]
    )
    owner = argilla.owner()
    (ana_id, ana), (_, ben) = argilla.annotators(2)
    questions = owner.get(f"/datasets/{dataset}/questions")["items"]
    choice = next(row["id"] for row in questions if row["name"] == "choice")
    made = owner.post(
        f"/datasets/{dataset}/records/bulk",
        {
            "items": [
                {
                    "fields": {"a": "words"},
                    "metadata": {"topic": "code", "judge": "gpt", "extra": "secret"},
                    "suggestions": [
                        {"question_id": choice, "value": "A", "score": 0.9, "agent": "gpt-judge"}
                    ],
                }
            ]
        },
    )
    record = made["items"][0]["id"]
    answers = [
        who.post(
            f"/records/{record}/responses",
            {"status": "submitted", "values": {"choice": {"value": "B"}}},
        )
        for who in (ana, ben)
    ]
    return Scene(dataset, record, ana_id, ana, ben, owner, answers[1]["id"])


def closed(answer: tuple[int, Any]) -> bool:
    return answer[0] == 403 and "items" not in answer[1]


def test_the_scene_has_something_to_leak(scene: Scene) -> None:
    record = scene.owner.get(f"/records/{scene.record}")
    assert len(record["responses"]) == 2
    assert len(record["suggestions"]) == 1
    assert record["metadata"]["judge"] == "gpt"


def test_a_record_shows_own_answers_and_visible_metadata_only(scene: Scene) -> None:
    record = scene.ana.get(f"/records/{scene.record}")
    assert [row["user_id"] for row in record["responses"]] == [scene.ana_id]
    assert record["suggestions"] == []
    assert record["metadata"] == {"topic": "code"}


def test_an_id_written_otherwise_leaks_no_more(scene: Scene) -> None:
    for spelling in (scene.record.upper(), scene.record.replace("-", ""), f"{{{scene.record}}}"):
        status, record = scene.ana.ask("GET", f"/records/{spelling}")
        assert status == 200
        assert len(record["responses"]) == 1
        assert record["suggestions"] == []


def test_a_search_shows_own_answers_and_no_suggestions(scene: Scene) -> None:
    page = scene.ana.post(f"/me/datasets/{scene.dataset}/records/search?{INCLUDE}", {})
    record = page["items"][0]["record"]
    assert [row["user_id"] for row in record["responses"]] == [scene.ana_id]
    assert record["suggestions"] == []
    assert record["metadata"] == {"topic": "code"}


def test_vectors_are_not_told(scene: Scene, argilla: World) -> None:
    dataset = argilla.dataset()
    settings = {"name": "scores", "title": "scores", "dimensions": 2}
    scene.owner.post(f"/datasets/{dataset}/vectors-settings", settings)
    items = [{"fields": {"a": "words"}, "vectors": {"scores": [0.25, 0.75]}}] * 2
    made = scene.owner.post(f"/datasets/{dataset}/records/bulk", {"items": items})["items"]
    path = f"/me/datasets/{dataset}/records/search?include=vectors"
    assert scene.owner.post(path, {})["items"][0]["record"]["vectors"] == {"scores": [0.25, 0.75]}
    assert "vectors" not in scene.ana.post(path, {})["items"][0]["record"]
    # Nor can they be measured, by asking how near they are to numbers of one's own.
    near = {"query": {"vector": {"name": "scores", "value": [1.0, 0.0]}}}
    assert closed(scene.ana.ask("POST", path, near))
    assert scene.owner.post(path, near)["items"][0]["query_score"] > 0
    like = {"query": {"vector": {"name": "scores", "record_id": made[0]["id"]}}}
    assert scene.ana.post(path, like)["total"] == 1


def test_suggestions_of_a_record_are_not_told(scene: Scene) -> None:
    assert scene.ana.get(f"/records/{scene.record}/suggestions") == {"items": []}


def test_judges_names_are_not_told(scene: Scene) -> None:
    path = f"/datasets/{scene.dataset}/records/search/suggestions/options"
    assert [row["agents"] for row in scene.ana.get(path)["items"]] == [[], []]
    assert "gpt-judge" in str(scene.owner.get(path))


@pytest.mark.parametrize(
    "scope",
    [
        {"entity": "suggestion", "question": "choice", "property": "value"},
        {"entity": "suggestion", "question": "choice", "property": "agent"},
        {"entity": "metadata", "metadata_property": "judge"},
    ],
)
def test_hidden_facts_cannot_be_searched_or_sorted_by(scene: Scene, scope: dict[str, str]) -> None:
    path = f"/me/datasets/{scene.dataset}/records/search"
    wanted = {"type": "terms", "scope": scope, "values": ["A"]}
    assert closed(scene.ana.ask("POST", path, {"filters": {"and": [wanted]}}))
    assert closed(scene.ana.ask("POST", path, {"sort": [{"scope": scope, "order": "asc"}]}))
    assert scene.owner.ask("POST", path, {"filters": {"and": [wanted]}})[0] == 200


@pytest.mark.parametrize(
    "spelled",
    [
        *(lambda text, code=code: text.encode(code) for code in ("utf-16", "utf-16-le", "utf-32")),
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.replace("{", '{"x": "\\ud800", ', 1).encode(),
        lambda text: text.replace("{", '{"filters": null, ', 1).encode(),
        lambda text: text.replace("judge", "\\u006audge").encode(),
        lambda text: b" " * 1000 + text.encode(),
        lambda text: text.encode() + b"{",
        lambda text: b"[" * 100_000,
    ],
)
def test_no_spelling_of_a_search_gets_past_the_guard(
    scene: Scene, spelled: Callable[[str], bytes]
) -> None:
    scope = {"entity": "metadata", "metadata_property": "judge"}
    asked = {"filters": {"and": [{"type": "terms", "scope": scope, "values": ["gpt"]}]}}
    path = f"/me/datasets/{scene.dataset}/records/search"
    status, said = scene.ana.ask("POST", path, spelled(json.dumps(asked)))
    assert status in (403, 422)
    assert "total" not in said
    assert scene.ana.ask("POST", path, spelled("{}"))[0] in (200, 422)  # the server lives


def test_visible_metadata_can_be_searched_by(scene: Scene) -> None:
    scope = {"entity": "metadata", "metadata_property": "topic"}
    wanted = {"filters": {"and": [{"type": "terms", "scope": scope, "values": ["code"]}]}}
    found = scene.ana.post(f"/me/datasets/{scene.dataset}/records/search", wanted)
    assert found["total"] == 1


def test_an_answer_filter_means_own_answers(scene: Scene, argilla: World) -> None:
    _, _, (_, cara) = argilla.annotators(3)  # who answered nothing
    scope = {"entity": "response", "question": "choice"}
    wanted = {"filters": {"and": [{"type": "terms", "scope": scope, "values": ["B"]}]}}
    path = f"/me/datasets/{scene.dataset}/records/search"
    assert scene.ana.post(path, wanted)["total"] == 1
    assert cara.post(path, wanted)["total"] == 0


def test_the_teams_progress_is_ones_own(scene: Scene) -> None:
    users = scene.ana.get(f"/datasets/{scene.dataset}/users/progress")["users"]
    assert [user["username"] for user in users] == [scene.ana.get("/me")["username"]]
    assert len(scene.owner.get(f"/datasets/{scene.dataset}/users/progress")["users"]) == 2


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/datasets/{dataset}/records/search"),
        ("GET", "/datasets/{dataset}/records"),
        ("PATCH", "/records/{record}"),
        ("PUT", "/records/{record}/suggestions"),
        ("GET", "/users"),
        ("GET", "/webhooks"),
        ("GET", "/a-route-that-a-later-version-may-have"),
        ("GET", "/records/{record}/"),
    ],
)
def test_other_routes_are_closed(scene: Scene, method: str, path: str) -> None:
    where = path.format(dataset=scene.dataset, record=scene.record)
    assert closed(scene.ana.ask(method, where, {}))


def test_hidden_metadata_is_not_listed_or_counted(scene: Scene) -> None:
    listed = scene.ana.get(f"/me/datasets/{scene.dataset}/metadata-properties")["items"]
    assert [row["name"] for row in listed] == ["topic"]
    every = scene.owner.get(f"/me/datasets/{scene.dataset}/metadata-properties")["items"]
    hidden = next(row["id"] for row in every if row["name"] == "judge")
    assert scene.ana.ask("GET", f"/metadata-properties/{hidden}/metrics")[0] == 403


def test_nobody_changes_or_deletes_anothers_answer(scene: Scene) -> None:
    other = {"status": "submitted", "values": {"choice": {"value": "A"}}}
    assert scene.ana.ask("PUT", f"/responses/{scene.bens_answer}", other)[0] == 403
    assert scene.ana.ask("DELETE", f"/responses/{scene.bens_answer}")[0] == 403
    # In bulk an answer is always one's own, whatever else the request says.
    item = {**other, "record_id": scene.record, "user_id": scene.owner.get("/me")["id"]}
    mine = {**item, "values": {"choice": {"value": "B"}}}
    [done] = scene.ana.post("/me/responses/bulk", {"items": [mine]})["items"]
    assert done["item"]["user_id"] == scene.ana_id
    kept = scene.owner.get(f"/records/{scene.record}")["responses"]
    assert [row["values"]["choice"]["value"] for row in kept] == ["B", "B"]


def test_another_workspace_is_closed(argilla: World, scene: Scene) -> None:
    space = scene.owner.post("/workspaces", {"name": f"other-{uuid.uuid4().hex[:8]}"})["id"]
    dataset = argilla.dataset(metadata=[("topic", "terms", True)], workspace=space)
    items = [{"fields": {"a": "words"}}]
    made = scene.owner.post(f"/datasets/{dataset}/records/bulk", {"items": items})
    record = made["items"][0]["id"]
    shown = scene.owner.get(f"/me/datasets/{dataset}/metadata-properties")["items"][0]["id"]
    places = [f"/workspaces/{space}", f"/datasets/{dataset}", f"/records/{record}"]
    places += [f"/records/{record}/suggestions", f"/metadata-properties/{shown}/metrics"]
    parts = ("fields", "questions", "vectors-settings", "progress", "users/progress")
    places += [f"/datasets/{dataset}/{part}" for part in parts]
    places += [f"/datasets/{dataset}/records/search/suggestions/options"]
    places += [f"/me/datasets/{dataset}/{part}" for part in ("metadata-properties", "metrics")]
    for place in places:
        assert scene.owner.ask("GET", place)[0] == 200, place
        assert scene.ana.ask("GET", place)[0] in (403, 404), place
    answer = {"status": "submitted", "values": {"choice": {"value": "A"}}}
    search = f"/me/datasets/{dataset}/records/search"
    assert scene.ana.ask("POST", search, {})[0] in (403, 404)
    assert scene.ana.ask("POST", f"/records/{record}/responses", answer)[0] in (403, 404)
    bulk = {"items": [{**answer, "record_id": record}]}
    _, said = scene.ana.ask("POST", "/me/responses/bulk", bulk)
    assert [item["item"] for item in said["items"]] == [None]
    assert scene.owner.get(f"/records/{record}")["responses"] == []


OPEN = {
    *(f"get /{path}" for path in ("status", "version", "settings", "oauth2/providers")),
    *(f"get /{path}" for path in ("me", "me/workspaces", "me/datasets", "workspaces/ID")),
    *(f"get /datasets/ID{part}" for part in ("", "/fields", "/questions", "/vectors-settings")),
    *(f"get /datasets/ID/{part}" for part in ("progress", "users/progress")),
    "get /datasets/ID/records/search/suggestions/options",
    *(f"get /me/datasets/ID/{part}" for part in ("metadata-properties", "metrics")),
    *("get /metadata-properties/ID/metrics", "get /records/ID", "get /records/ID/suggestions"),
    *("post /token", "post /records/ID/responses", "post /me/responses/bulk"),
    *("put /responses/ID", "delete /responses/ID", "post /me/datasets/ID/records/search"),
}


def test_of_all_that_the_server_offers_only_the_labelling_page_is_open(scene: Scene) -> None:
    """Its own list of routes, asked one by one with ids that nothing has."""
    offered = scene.owner.get("/openapi.json")["paths"]
    found = set()
    for path, methods in offered.items():
        plain = re.sub(r"{[^}]*}", "ID", path.removeprefix("/api/v1"))
        for method in methods:
            where = plain.replace("ID", str(uuid.UUID(int=0)))
            _, said = scene.ana.ask(method.upper(), where, {})
            if (said or {}).get("detail") != {
                "code": "workbench::blind",
                "params": {"detail": "This is closed to annotators."},
            }:
                found.add(f"{method} {plain}")
    assert found == OPEN
    assert sum(len(methods) for methods in offered.values()) > 60


def test_the_open_pages_about_the_server_tell_nothing_of_people_or_judges(scene: Scene) -> None:
    status = scene.ana.get("/status")
    assert set(status) == {"version", "search_engine", "memory"}
    assert status["search_engine"] == {"name": "workbench", "database": "sqlite"}
    said = json.dumps([status, scene.ana.get("/settings"), scene.ana.get("/oauth2/providers")])
    assert not any(word in said for word in ("gpt", "owner", "ann-", "api_key"))


def test_pages_load_nothing_from_elsewhere(argilla: World) -> None:
    with urlopen(argilla.url) as answer:
        policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'self' ")
    assert "http" not in policy
    assert "*" not in policy


def test_a_stranger_sees_nothing(argilla: World, scene: Scene) -> None:
    nobody = argilla.caller({"Authorization": "Bearer no-token"})
    assert nobody.ask("GET", f"/records/{scene.record}")[0] == 401
    assert nobody.ask("GET", f"/datasets/{scene.dataset}/records")[0] in (401, 403)


def label_all(argilla: World, dataset: str, n_people: int) -> dict[str, int]:
    """People who prefetch ten and answer them one by one until nothing is left; answers each."""
    answered: dict[str, int] = {}

    def work(who: str, caller: Caller) -> None:
        path = f"/me/datasets/{dataset}/records/search?{INCLUDE}&limit=10&offset=0"
        count = 0
        while page := caller.post(path, PENDING)["items"]:
            for item in page:
                caller.post(
                    f"/records/{item['record']['id']}/responses",
                    {"status": "submitted", "values": {"choice": {"value": "A"}}},
                )
                count += 1
        answered[who] = count

    threads = [threading.Thread(target=work, args=row) for row in argilla.annotators(n_people)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answered) == n_people, "a thread failed"
    return answered


@pytest.mark.parametrize(("n_records", "n_people", "wanted"), [(150, 10, 1), (16, 4, 2)])
def test_no_record_gets_more_answers_than_wanted(
    argilla: World, n_records: int, n_people: int, wanted: int
) -> None:
    dataset = argilla.dataset(wanted=wanted)
    fill(argilla.database, dataset, [Row(uuid.uuid4(), {"a": "x"}) for _ in range(n_records)])
    answered = label_all(argilla, dataset, n_people)
    surplus = sum(answered.values()) - n_records * wanted
    assert surplus <= 0.01 * n_records  # stock Argilla: 67 of 150 with five people
    progress = argilla.owner().get(f"/datasets/{dataset}/progress")
    # Near the end the last records may be in the hands of somebody who has just left.
    assert progress["completed"] >= n_records - 10 * (wanted - 1)


def test_discarded_records_go_to_others_and_drafts_stay(argilla: World) -> None:
    dataset = argilla.dataset()
    fill(argilla.database, dataset, [Row(uuid.uuid4(), {"a": "x"}) for _ in range(3)])
    (_, ana), (_, ben) = argilla.annotators(2)
    path = f"/me/datasets/{dataset}/records/search"
    mine = [item["record"]["id"] for item in ana.post(f"{path}?limit=3", PENDING)["items"]]
    assert len(mine) == 3
    assert ben.post(path, PENDING) == {"items": [], "total": 0}
    assert ana.post(f"{path}?limit=3", PENDING)["total"] == 3  # a reloaded page sees the same
    ana.post(f"/records/{mine[0]}/responses", {"status": "discarded"})
    ana.post(
        f"/records/{mine[1]}/responses",
        {"status": "draft", "values": {"choice": {"value": "A"}}},
    )
    assert [item["record"]["id"] for item in ben.post(path, PENDING)["items"]] == [mine[0]]
