"""Store in SQL what callers have used of their limits, at all servers together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa

from tokenauthority.domain.leases import CallerUsage, DayCount, Lease, LeaseRequest, lease_items
from tokenauthority.domain.rates import Bucket
from tokenauthority.domain.times import DAY, Millis
from tokenauthority.storage.database import SqlOperations, insert_or, query, transaction
from tokenauthority.storage.schema import Id, metadata


caller_usage: Final = sa.Table(
    "caller_usage",
    metadata,
    sa.Column("caller", Id, primary_key=True),
    sa.Column("day", sa.BigInteger, nullable=False),
    sa.Column("used", sa.BigInteger, nullable=False),
    sa.Column("missing", sa.BigInteger, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
)
"""`day` and `used` are the `DayCount`, `missing` and `at` the `Bucket` of a `CallerUsage`."""

_LOCK_ID: Final = 0x746F6B656E6C
"""The key of the advisory lock; any number will do that nothing else on the database uses."""

_LOCK: Final = sa.select(sa.func.pg_advisory_xact_lock(sa.literal_column(str(_LOCK_ID))))
_CLOCK: Final = sa.text("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
_OF: Final = sa.select(caller_usage).where(caller_usage.c.caller.in_(sa.bindparam("callers", expanding=True)))
_ALL: Final = sa.select(caller_usage).order_by(caller_usage.c.caller)

_UNUSED: Final = 31
"""Days after which the usage of a caller that has leased nothing is deleted."""


class SqlUsageStore(SqlOperations):
    """Implements `UsageStore`."""

    @transaction
    def lease(self, connection: sa.Connection, requests: Sequence[LeaseRequest], now: Millis) -> Sequence[Lease]:
        if connection.dialect.name == "postgresql":
            # First, so that what follows sees what the last holder committed; the clock after it, so that it never
            # runs backwards from one holder to the next.
            connection.execute(_LOCK)
            now = Millis(connection.execute(_CLOCK).scalar_one())
        rows = connection.execute(_OF, {"callers": [request.caller for request in requests]}).mappings()
        usages = {row["caller"]: _usage(row) for row in rows}
        leases, counted = [], []
        for request in requests:
            before = usages.get(request.caller) or CallerUsage(caller=request.caller)
            after, lease = lease_items(before, request, now)
            leases.append(lease)
            # Also where the clock went back: the bucket refills from the new moment on.
            if lease.items or request.returned or after.bucket.at < before.bucket.at:
                counted.append(_row(after))
        if counted:
            insert = insert_or(connection, caller_usage).values(counted)
            changed = {name: insert.excluded[name] for name in ("day", "used", "missing", "at")}
            connection.execute(insert.on_conflict_do_update(index_elements=["caller"], set_=changed))
        return leases

    @query
    def list_usage(self, connection: sa.Connection) -> Sequence[CallerUsage]:
        return [_usage(row) for row in connection.execute(_ALL).mappings()]

    @transaction
    def delete_old_usage(self, connection: sa.Connection, now: Millis) -> int:
        """Delete the usage of callers that have leased nothing for 31 days, and return how many there were."""
        # By the day and not by the bucket: without a rate it is never touched.
        oldest = now // (DAY * 1000) - _UNUSED
        return connection.execute(sa.delete(caller_usage).where(caller_usage.c.day < oldest)).rowcount


def _usage(row: sa.RowMapping) -> CallerUsage:
    day, bucket = DayCount(row["day"], row["used"]), Bucket(row["missing"], Millis(row["at"]))
    return CallerUsage(caller=row["caller"], day=day, bucket=bucket)


def _row(usage: CallerUsage) -> dict[str, object]:
    day, bucket = usage.day, usage.bucket
    return {"caller": usage.caller, "day": day.day, "used": day.used, "missing": bucket.missing, "at": bucket.at}
