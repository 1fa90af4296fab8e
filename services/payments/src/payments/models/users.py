"""Who counts as whom, and who was erased."""

from collections.abc import Mapping, Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts import UserErasedSnapshot

_DIGEST_BYTES = 32

# The newest version stands whatever order they come in. Sorted, so that overlapping groups wait for each other.
_ADD_MERGES = text(
    """
    INSERT INTO user_merge (user_id, merged_into, sequence)
    SELECT user_id, merged_into, sequence
    FROM unnest(CAST(:users AS text[]), CAST(:into AS text[]), CAST(:sequences AS bigint[]))
        AS m (user_id, merged_into, sequence)
    ORDER BY user_id
    ON CONFLICT (user_id) DO UPDATE SET merged_into = excluded.merged_into, sequence = excluded.sequence
    WHERE user_merge.sequence < excluded.sequence
    """
)
_ADD_ERASURES = text(
    """
    INSERT INTO user_erasure (user_id, erased_at)
    SELECT user_id, erased_at FROM unnest(CAST(:users AS text[]), CAST(:times AS timestamptz[]))
        AS e (user_id, erased_at)
    ORDER BY user_id
    ON CONFLICT DO NOTHING
    """
)

_ADD_ADDRESSES = text(
    """
    INSERT INTO erased_address AS a (digest, erased_at)
    SELECT digest, max(erased_at) FROM unnest(CAST(:digests AS bytea[]), CAST(:times AS timestamptz[]))
        AS e (digest, erased_at)
    GROUP BY digest ORDER BY digest
    ON CONFLICT (digest) DO UPDATE SET erased_at = greatest(a.erased_at, excluded.erased_at)
    """
)


async def add_merges(connection: AsyncConnection, merges: Mapping[str, tuple[int, str | None]]) -> None:
    """Remember whom users count as, by sequence and target; ``None`` is nobody but themselves."""
    if not merges:
        return
    rows = sorted(merges.items())
    columns = {
        "users": [user for user, _ in rows],
        "into": [into for _, (_, into) in rows],
        "sequences": [sequence for _, (sequence, _) in rows],
    }
    await connection.execute(_ADD_MERGES, columns)


async def add_erasures(connection: AsyncConnection, erased: Sequence[UserErasedSnapshot]) -> None:
    """Remember that these users' personal data is not to be kept, nor what has an address of theirs."""
    if not erased:
        return
    times = {each.user_id: each.erased_at for each in erased}
    await connection.execute(_ADD_ERASURES, {"users": list(times), "times": list(times.values())})
    known = [(digest, each.erased_at) for each in erased for digest in map(_digest, each.address_digests) if digest]
    if known:
        columns = {"digests": [digest for digest, _ in known], "times": [time for _, time in known]}
        await connection.execute(_ADD_ADDRESSES, columns)


def _digest(written: str) -> bytes | None:
    """A digest as it was told; ``None`` for one of a kind we do not know."""
    try:
        digest = bytes.fromhex(written)
    except ValueError:
        return None
    return digest if len(digest) == _DIGEST_BYTES else None
