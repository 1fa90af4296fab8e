"""What a person can do about each code of the error desk."""

from collections.abc import Mapping

WHAT_TO_DO: Mapping[str, str] = {
    "id_unusable": "give the row an id in the legacy application, then retry",
    "reference_too_long": "shorten the reference, in the row or by `errors fix`",
    "contact_too_long": "shorten the contact, in the row or by `errors fix`",
    "created_in_future": "say the right createdAt by `errors fix`, or correct the row and retry",
    "row_unreadable": "look at the row (`errors show`), say what it should have said by `errors fix`",
    "refused_by_database": "the detail is PostgreSQL's reason: say what the row should have said by `errors fix`",
    "change_unreadable": "correct the row in the legacy application: its next change replaces this one; then waive",
    "amount_unusable": "no payment was recorded: record one by hand if money came, then waive",
    "status_proves_little": "look for the money in the bank: cancel the payment if none came, then waive",
    "paid_then_cancelled": "was it given back? refund, or record that, in the payments; then waive",
    "refund_amount_assumed": "compare with the bank or Stripe how much went back, then waive",
    "intent_shared": "find in Stripe whose payment it is; record the other's by hand if there was one, then waive",
    "intent_not_paid": "look the PaymentIntent up in Stripe: cancel the payment if it was never paid, then waive",
    "payment_date_unusable": "find when, and whether, it was paid; record that by hand if it was, then waive",
    "created_at_missing": "the payment's or the last change's time stands in for it: waive if that will do",
    "amount_disagrees": "Stripe received another amount than the row says, and Stripe's counts: pence taken for "
    "pounds, rounding, a discount? correct the row in the legacy application, or waive",
    "paid_besides": "money is here already: another amount than the row's came by Stripe or by hand, and both count. "
    "Were both paid? cancel the payment from history if not; then waive",
}
