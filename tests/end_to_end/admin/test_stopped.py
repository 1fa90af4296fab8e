"""A service that does not answer."""

import signal

from support.office import Office
from support.system import System


async def test_a_service_that_is_stopped_costs_its_part_alone(whole: System, office: Office) -> None:
    booking_id = await office.book({"firstName": "Stella", "email": "stella@stopped.example"}, "10.00")
    by_hand = {"method": "cash", "amount": "5.00", "currency": "GBP", "paidAt": "2026-03-01T10:00:00.000Z"}
    payment = await office.post("/payments/manual", {**by_hand, "booking": booking_id}, status=201, key="stopped-1")
    user_id = await office.user_of(booking_id)
    await office.settled()
    paths = {
        "users": [f"/users/{user_id}/notes", f"/users/{user_id}/erase-preview", "/users/duplicates"],
        "stats": [f"/users/{user_id}/activity"],
        "payments": [],
    }
    for stopped in paths:
        whole.services[stopped].signal(signal.SIGSTOP)
        try:
            for service, asked in paths.items():
                for path in asked:
                    assert (await office.ask("GET", path)).status_code == (503 if service == stopped else 200), path
            detail = await office.get(f"/payments/{payment['id']}")
            assert (detail["timeline"] is None) == (stopped == "payments")
            assert (await office.get(f"/users/{user_id}"))["totalBookings"] == 1
        finally:
            whole.services[stopped].signal(signal.SIGCONT)
