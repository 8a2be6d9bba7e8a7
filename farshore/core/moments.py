"""Times as users read them: RFC 3339 in UTC. What is unknown stays None."""

from __future__ import annotations

from datetime import UTC, datetime


def moment(wall: float | None) -> str | None:
    """Seconds since the epoch as RFC 3339, None as None."""
    if wall is None:
        return None
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
