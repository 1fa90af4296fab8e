"""The legacy listing as one query: the legacy columns in their old wire types, and what is added, as one JSON text.

PostgreSQL builds the JSON, so a listing costs no work per row in this process.
"""

from dataclasses import dataclass

from sqlalchemy import TextClause, text

from bookings_gateway.legacy_table import LegacyTable, quoted
from bookings_gateway.wire import wire
from shared.money import exponent

# The object in the contact, be it encoded once more; NULL for every other kind of contact.
_OBJECT_IN_JSONB = """
    CASE jsonb_typeof(b.{contact}) WHEN 'object' THEN b.{contact}
         WHEN 'string' THEN gateway.decoded(b.{contact} #>> '{{}}') END
"""
_OBJECT_IN_TEXT = "gateway.decoded(CAST(b.{contact} AS text))"
# The totals are not known before the first user_totals.changed; until then there is no user to show.
_USER = """
    CASE WHEN t.user_id IS NOT NULL THEN json_build_object(
        'id', t.user_id, 'totalBookings', t.total_bookings,
        'totalSpent', CAST(round(t.total_spent, {decimals}) AS text)
    ) END
"""
_PAYMENT_STATUS = """
    CASE WHEN coalesce(p.received, 0) = 0 THEN 'unpaid'
         WHEN p.refunded = 0 THEN 'paid'
         WHEN p.refunded < p.received THEN 'partially_refunded'
         ELSE 'refunded' END
"""

# page is narrowed first, so that a page of 50 reads 50 links and payments; without a limit PostgreSQL hashes them.
_LISTING = """
    WITH page AS MATERIALIZED (
        SELECT b.* FROM {table} b CROSS JOIN LATERAL ({contact_object}) c
        WHERE {condition} {paging}
    ), paid AS (
        SELECT booking_id, sum(received) AS received, sum(refunded) AS refunded FROM gateway.booking_payment
        WHERE status = 'succeeded' AND booking_id IN (SELECT CAST({id} AS text) FROM page)
        GROUP BY booking_id
    )
    SELECT '[' || coalesce(string_agg(CAST(row_to_json(r.*) AS text), ',' ORDER BY b.{created_at} DESC, b.{id}), '')
               || ']' AS body,
           ({total}) AS total
    FROM page b
    CROSS JOIN LATERAL ({contact_object}) c
    LEFT JOIN gateway.booking_user l ON l.booking_id = CAST(b.{id} AS text)
    LEFT JOIN gateway.user_totals t ON t.user_id = l.user_id
    LEFT JOIN paid p ON p.booking_id = CAST(b.{id} AS text)
    CROSS JOIN LATERAL (SELECT {fields}) r
"""
_PAGING = "ORDER BY b.{created_at} DESC, b.{id} LIMIT :limit OFFSET :offset"
_MATCHING = "SELECT count(*) FROM {table} b CROSS JOIN LATERAL ({contact_object}) c WHERE {condition}"

_STATUS_IS = "lower(CAST(b.{status} AS text)) = lower(CAST(:status AS text))"
_MATCHES = "concat_ws(' ', {searched}) ILIKE :search"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which bookings are wanted; ``None`` means no restriction."""

    search: str | None = None
    status: str | None = None
    limit: int | None = None
    offset: int = 0

    @property
    def is_paged(self) -> bool:
        """Whether not all that match are wanted; sorting them once, at the end, is then not enough."""
        return self.limit is not None or self.offset > 0

    @property
    def parameters(self) -> dict[str, str | int | None]:
        """What the query of this filter binds."""
        bound: dict[str, str | int | None] = {"limit": self.limit, "offset": self.offset} if self.is_paged else {}
        if self.search:
            bound["search"] = f"%{_literal(self.search)}%"
        if self.status:
            bound["status"] = self.status
        return bound


def _literal(search: str) -> str:
    """Escape what LIKE takes as a pattern."""
    return search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def listing_query(table: LegacyTable, wanted: Filter, *, currency: str, zone: str) -> TextClause:
    """Return the query for one row: ``body`` is the JSON array, ``total`` counts the matches before the limit."""
    conditions = [*([_MATCHES] if wanted.search else []), *([_STATUS_IS] if wanted.status else [])]
    condition = " AND ".join(conditions) or "true"
    total = _MATCHING if conditions else "SELECT count(*) FROM {table}"
    return _query(table, condition, total, _PAGING if wanted.is_paged else "", currency=currency, zone=zone)


def booking_query(table: LegacyTable, *, currency: str, zone: str) -> TextClause:
    """Return the same query for the one booking ``:id``."""
    return _query(table, "b.{id} = CAST(CAST(:id AS text) AS {id_type})", "SELECT 1", "", currency=currency, zone=zone)


def _query(table: LegacyTable, condition: str, total: str, paging: str, *, currency: str, zone: str) -> TextClause:
    names = {**table.names, "searched": _searched(table)}
    names["contact_object"] = f"SELECT {_contact_object(table)} AS contact"
    names["condition"] = condition.format(**names)
    names["paging"] = paging.format(**names)
    names["total"] = total.format(**names)
    return text(_LISTING.format(fields=_fields(table, currency=currency, zone=zone), **names))


def _contact_object(table: LegacyTable) -> str:
    """The object in the contact column; NULL for every other kind of contact."""
    if table.layout.contact is None:
        return "CAST(NULL AS jsonb)"
    in_jsonb = table.columns[table.layout.contact] == "jsonb"
    return (_OBJECT_IN_JSONB if in_jsonb else _OBJECT_IN_TEXT).format(**table.names)


def _contact(table: LegacyTable, key: str) -> str:
    """One field of the contact as text: what the object says, else the column that holds it on its own."""
    said = [f"c.contact ->> '{key}'"] if table.layout.contact is not None else []
    if key in table.layout.contact_columns:
        said.append(f"CAST(b.{quoted(table.layout.contact_columns[key])} AS text)")
    return (
        f"coalesce({', '.join(f'gateway.shown({each})' for each in said)})"
        if len(said) > 1
        else "".join(said) or "NULL"
    )


def _customer_name(table: LegacyTable) -> str:
    parts = ", ".join(_contact(table, key) for key in ("firstName", "lastName", "name"))
    return f"gateway.display_name({parts})"


def _searched(table: LegacyTable) -> str:
    """Everything the search looks in."""
    contact = [_contact(table, key) for key in ("email", "phone", "company")]
    reference = [f"b.{quoted(table.layout.reference)}"] if table.layout.reference else []
    return ", ".join([_customer_name(table), *contact, *reference])


def _fields(table: LegacyTable, *, currency: str, zone: str) -> str:
    """Legacy columns under their own names, then the additions; a legacy column of an addition's name stands."""
    added = {  # whatever is put here changes the contract
        "customerName": _customer_name(table),
        "customerEmail": f"nullif(btrim({_contact(table, 'email')}), '')",
        "user": _USER.format(decimals=exponent(currency)),
        "paymentStatus": _PAYMENT_STATUS,
    }
    ours = table.layout.user_id
    legacy = {
        name: wire(f"b.{quoted(name)}", type_, zone=zone) for name, type_ in table.columns.items() if name != ours
    }
    fields = {**legacy, **{name: expression for name, expression in added.items() if name not in legacy}}
    return ", ".join(f"{expression} AS {quoted(name)}" for name, expression in fields.items())
