"""The hops that a booking, its payment and its refund must make."""

from functools import partial

from local_stack.demo_clients import Clients
from local_stack.demo_deals import Deal
from local_stack.demo_hops import Hop, Journey
from local_stack.demo_sights import Sights
from local_stack.services import GATEWAY, PAYMENTS, STATS, USERS


def booking_journey(clients: Clients, deal: Deal) -> Journey:
    """From the row in the legacy table to the user's totals beside it in the admin's listing."""
    see = Sights(clients, deal)
    hops = (
        Hop("captured", GATEWAY, "the gateway made no event of it", see.booking_captured),
        Hop("broker", GATEWAY, "the broker did not confirm its event", see.booking_sent),
        Hop("user", USERS, "users linked no user to it", see.linked_by_users),
        Hop("link", GATEWAY, "its row in the legacy table got no user_id", see.linked_in_table),
        Hop("totals", STATS, "its user's totals in the listing were not the table's", see.totals_shown),
    )
    return Journey(f"{deal.first_name.title()} books {deal.amount} by {deal.by}", partial(deal.book, clients), hops)


def payment_journey(clients: Clients, deal: Deal) -> Journey:
    """From a PaymentIntent confirmed at localstripe to the booking's PAID and the user's money."""
    see = Sights(clients, deal)
    hops = (
        Hop("webhook", PAYMENTS, "no webhook of it was stored", see.payment_webhook_stored),
        Hop("payment", PAYMENTS, "no payment.succeeded was made of it", see.payment_succeeded),
        Hop("broker", PAYMENTS, "the broker did not confirm payment.succeeded", see.payment_sent),
        Hop("booking", GATEWAY, "its booking did not become PAID", see.booking_paid),
        Hop("totals", STATS, "it did not appear in its user's total_paid", see.paid_counted),
    )
    return Journey(f"{deal.first_name} pays {deal.amount} by card", partial(deal.pay, clients), hops)


def refund_journey(clients: Clients, deal: Deal) -> Journey:
    """From a refund to the booking's paymentStatus and the user's money."""
    see = Sights(clients, deal)
    hops = (
        Hop("webhook", PAYMENTS, "no webhook of it was stored", see.refund_webhook_stored),
        Hop("payment", PAYMENTS, "no payment.refunded was made of it", see.payment_refunded),
        Hop("broker", PAYMENTS, "the broker did not confirm payment.refunded", see.refund_sent),
        Hop("booking", GATEWAY, "its booking did not become partially_refunded", see.booking_refunded),
        Hop("totals", STATS, "it did not appear in its user's total_refunded", see.refund_counted),
    )
    return Journey(f"{deal.first_name} gets {deal.refunded} back *", partial(deal.refund, clients), hops)
