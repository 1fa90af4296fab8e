"""What staff write about people and correct in them, and who may be one person."""

from support.bearer import BEARER
from support.office import Office
from support.system import System


async def test_what_staff_write_is_written_once_and_a_repetition_is_answered_as_the_service_answers_it(
    office: Office,
) -> None:
    user_id = await office.user_of(await office.book({"firstName": "Nora", "email": "nora@notes.example"}, "10.00"))
    note = {"kind": "complaint", "text": "waited", "internal": False}
    sent = {"channel": "email", "direction": "outbound", "subject": "Hello", "bookingId": "b-1"}
    for what, body in (("notes", note), ("communications", sent)):
        path = f"/users/{user_id}/{what}"
        first = await office.post(path, body, status=201, key=f"key-{what}")
        again = await office.post(path, body, status=200, key=f"key-{what}")
        assert again == first
        assert body.items() <= first.items()
        changed = {**body, "text" if what == "notes" else "subject": "something else"}
        await office.post(path, changed, status=422, key=f"key-{what}")
        assert (await office.get(path))["data"] == [first]
    lines = await office.get("/audit", entity=f"user/{user_id}")
    assert {line["action"] for line in lines["data"]} == {"note.added", "communication.added"}


async def test_a_correction_needs_the_version_that_was_seen_and_shows_in_the_list(office: Office) -> None:
    user_id = await office.user_of(await office.book({"firstName": "Cora", "email": "cora@patch.example"}, "10.00"))
    await office.settled()
    path = f"/users/{user_id}"
    seen = (await office.ask("GET", path)).headers["ETag"]
    body = {"lastName": "Correctedly"}

    assert (await office.ask("PATCH", path, json=body)).status_code == 428
    changed = await office.ask("PATCH", path, json=body, headers={"If-Match": seen})
    assert (changed.status_code, changed.json()["lastName"]) == (200, "Correctedly")
    assert (await office.ask("PATCH", path, json=body, headers={"If-Match": seen})).status_code == 412
    renewed = changed.headers["ETag"]
    assert (await office.ask("PATCH", path, json={"lastName": None}, headers={"If-Match": renewed})).status_code == 200
    await office.settled()
    assert (await office.get(path))["lastName"] is None


async def test_likely_duplicates_are_listed_and_stay_away_once_dismissed(whole: System, office: Office) -> None:
    twins = [
        await office.user_of(
            await office.book({"lastName": "Duplo", "email": email, "phone": "020 7946 0123"}, "10.00")
        )
        for email in ("duplo@one.example", "duplo@two.example")
    ]
    await office.settled()
    await office.http.post(f"{whole.services['users'].url}/internal/duplicates/find", headers=BEARER)

    found = (await office.get("/users/duplicates"))["data"]
    assert [sorted(user["id"] for user in pair["users"]) for pair in found] == [sorted(twins)]
    await office.post("/users/duplicates/dismiss", {"users": twins}, status=204)
    await office.http.post(f"{whole.services['users'].url}/internal/duplicates/find", headers=BEARER)
    assert (await office.get("/users/duplicates"))["data"] == []
    assert (await office.get("/audit", action="duplicate.dismissed"))["data"][0]["entity"] == f"user/{min(twins)}"
