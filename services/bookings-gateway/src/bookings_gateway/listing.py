"""The legacy API's statements: the legacy columns in their old wire types, and what is added, as JSON.

PostgreSQL builds the JSON, so a listing costs no work per row in this process.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import TextClause, text

from bookings_gateway.legacy_table import LegacyTable, quoted
from bookings_gateway.statements import (
    ANSWER,
    BY_ID,
    COUNT,
    DELETE,
    EXPORT,
    IMAGE_OF_NEW,
    IMAGES,
    INSERT,
    LISTING,
    LOCK,
    MATCHES,
    OBJECT_IN_JSONB,
    OBJECT_IN_TEXT,
    PAGE,
    PAYMENT_STATUS,
    PAYMENTS_OF_ALL,
    PAYMENTS_OF_EACH,
    PREPARE,
    SEARCHING,
    STATUS_IS,
    UPDATE,
    USER,
    USERS_OF_ALL,
    USERS_OF_EACH,
    VERSION,
    WRITTEN,
)
from bookings_gateway.wire import json_object, json_text, stored, wire
from shared.money import exponent

_MOST_STATEMENTS = 200
_CELLS = {True: "{exported}", False: "{exported_as_before}"}
_OF_ALL = {"users": USERS_OF_ALL, "payments": PAYMENTS_OF_ALL}
_OF_EACH = {"users": USERS_OF_EACH, "payments": PAYMENTS_OF_EACH}


@dataclass(frozen=True, slots=True)
class Filter:
    """Which bookings are wanted; ``None`` means no restriction."""

    search: str | None = None
    status: str | None = None
    limit: int | None = None
    offset: int = 0

    @property
    def is_page(self) -> bool:
        """Whether not all that match are wanted."""
        return self.limit is not None or self.offset > 0

    @property
    def parameters(self) -> dict[str, str | int]:
        """What the statements for this filter bind."""
        bound = {
            "search": f"%{_literal(self.search)}%" if self.search else None,
            "status": self.status or None,
            "offset": self.offset or None,
        }
        return {name: value for name, value in bound.items() if value is not None}


def _literal(search: str) -> str:
    """Escape what LIKE takes as a pattern."""
    return search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


class Queries:
    """The statements of one table, each made once: making their text costs more than sending it."""

    def __init__(self, table: LegacyTable, *, currency: str, zone: str) -> None:
        self._table = table
        self._zone = zone
        self._names = {**table.names, "fields": _fields(table, currency=currency, zone=zone)}
        self._names["contact_object"] = f"SELECT {_contact_object(table)}"
        kept = (name for name in table.columns if name != table.layout.user_id)
        self._names["kept"] = ", ".join(f"b.{quoted(name)}" for name in kept)
        self._names["searched"] = _searched(table)
        self._exported = {enriched: _exported(table, zone=zone, enriched=enriched) for enriched in _CELLS}
        for enriched, cells in self._exported.items():
            named = ", ".join(f"{text_} AS {quoted(name)}" for name, text_ in cells.items())
            self._names[_CELLS[enriched].strip("{}")] = named
        self.export_amounts = frozenset(filter(None, [table.layout.final_amount]))
        self._made: dict[object, TextClause] = {}

    def listing(self, wanted: Filter) -> TextClause:
        """Rows of ``body``, a booking each as JSON in UTF-8, newest first."""
        if not wanted.is_page:
            return self._make(LISTING, rows="{table}", **_OF_ALL, condition=_condition(wanted))
        return self._make(LISTING, **_page(wanted))

    def answer(self, wanted: Filter) -> TextClause:
        """One row: ``name`` of the snapshot and, unless it is ``:seen``, ``total`` matches and the page, ``bodies``."""
        return self._make(ANSWER, **_page(wanted), count=_searched_by(COUNT, wanted))

    def export(self, wanted: Filter, *, enriched: bool = True) -> TextClause:
        """Every match as a row of texts, named by :meth:`export_columns`; else without the read model."""
        payments = f"LEFT JOIN {PAYMENTS_OF_ALL}" if enriched else ""
        return self._make(EXPORT, cells=_CELLS[enriched], payments=payments, condition=_condition(wanted))

    def export_columns(self, *, enriched: bool = True) -> Sequence[str]:
        """The header of an export."""
        return tuple(self._exported[enriched])

    def booking(self) -> TextClause:
        """The one booking ``:id``."""
        return self._make(LISTING, rows="{table}", **_OF_EACH, condition=BY_ID)

    def version(self, *, lock: bool) -> TextClause:
        """Name the version of the booking ``:id``; with ``lock`` nobody changes it until the transaction ends."""
        return self._make(VERSION, lock=LOCK if lock else "")

    def insert(self, columns: Iterable[str], *, enriched: bool = True) -> TextClause:
        """Insert what ``:body`` says of these columns; answers ``body`` and the row ``before`` (null) and ``after``.

        Not ``enriched``, it answers ``id`` instead of ``body``, and needs no read model.
        """
        return self._write(INSERT, IMAGE_OF_NEW, columns, enriched=enriched)

    def update(self, columns: Iterable[str], *, enriched: bool = True) -> TextClause:
        """Change the booking ``:id`` likewise; answers nothing where there is none."""
        return self._write(UPDATE, IMAGES, columns, enriched=enriched)

    def delete(self) -> TextClause:
        """Delete the booking ``:id``; answers the row ``before``, and ``after``, which is null."""
        return self._make(DELETE)

    def _write(self, template: str, images: str, columns: Iterable[str], *, enriched: bool) -> TextClause:
        parts = {"before": template, "rows": "written", **_OF_EACH, "total": images}
        return self._make(LISTING if enriched else WRITTEN, tuple(columns), **parts)

    def _make(self, template: str, columns: tuple[str, ...] = (), /, **parts: str) -> TextClause:
        key = (template, columns, *parts.items())
        if key not in self._made:
            if len(self._made) >= _MOST_STATEMENTS:
                self._made.clear()
            for name, part in ({"before": "", "total": "", "condition": "true", "prepare": PREPARE} | parts).items():
                template = template.replace(f"{{{name}}}", part)
            template = template.replace("{prepare}", PREPARE)
            expressions = (stored(name, self._table.columns[name], zone=self._zone) for name in columns)
            written = {"columns": ", ".join(map(quoted, columns)), "values": ", ".join(expressions)}
            self._made[key] = text(template.format(**self._names, **written))
        return self._made[key]


def _page(wanted: Filter) -> dict[str, str]:
    """Return the parts of a listing that goes through all bookings once and builds the page's alone."""
    limit = ("ALL" if wanted.limit is None else str(wanted.limit)) + (" OFFSET :offset" if wanted.offset else "")
    page = _searched_by(PAGE, wanted).replace("{limit}", limit)
    return {"before": page, "rows": "page", **_OF_EACH}


def _searched_by(template: str, wanted: Filter) -> str:
    """Return what goes through the bookings, with their contacts at hand where these are searched."""
    searching = SEARCHING if wanted.search else ""
    return template.replace("{searching}", searching).replace("{condition}", _condition(wanted))


def _condition(wanted: Filter) -> str:
    conditions = [*([MATCHES] if wanted.search else []), *([STATUS_IS] if wanted.status else [])]
    return " AND ".join(conditions) or "true"


def _contact_object(table: LegacyTable) -> str:
    """The object in the contact column, as ``contact``; NULL for every other kind of contact."""
    if table.layout.contact is None:
        return "CAST(NULL AS jsonb) AS contact"
    in_jsonb = table.columns[table.layout.contact] == "jsonb"
    return (OBJECT_IN_JSONB if in_jsonb else OBJECT_IN_TEXT).format(**table.names)


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


def _exported(table: LegacyTable, *, zone: str, enriched: bool) -> dict[str, str]:
    """Column → its text, of what the admin's table shows: nothing of participants, notes and invoices leaves."""
    layout = table.layout
    own = (layout.id, layout.reference, layout.status, layout.final_amount, layout.payment_date, layout.payment_method)
    columns = [*own, layout.payment_reference, layout.payment_status, layout.created_at, layout.updated_at]
    shown = {name: wire(f"b.{quoted(name)}", table.columns[name], zone=zone) for name in columns if name is not None}
    people = {key: _contact(table, key) for key in ("email", "phone", "company")}
    added = {
        "customerName": _customer_name(table),
        **{f"customer{key.title()}": expression for key, expression in people.items()},
        **({"paymentStatus": PAYMENT_STATUS} if enriched else {}),
    }
    return {name: f"CAST({expression} AS text)" for name, expression in (shown | added).items()}


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
        "customerName": json_text(_customer_name(table), "text"),
        "customerEmail": json_text(f"nullif(btrim({_contact(table, 'email')}), '')", "text"),
        "user": json_text(USER.format(decimals=exponent(currency)), "json"),
        "paymentStatus": f"""'"' || {PAYMENT_STATUS} || '"'""",  # never null, nothing to escape
    }
    ours = table.layout.user_id
    legacy = {
        name: json_text(wire(f"b.{quoted(name)}", type_, zone=zone), type_)
        for name, type_ in table.columns.items()
        if name != ours
    }
    return json_object({**legacy, **{name: value for name, value in added.items() if name not in legacy}})
