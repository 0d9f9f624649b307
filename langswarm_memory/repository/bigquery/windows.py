"""Which messages a query means: their range, filters and limits, counted by the server."""

from __future__ import annotations

from ..protocol import MessageQuery
from .parameters import Parameter, instant, number, texts


def message_window(table: str, query: MessageQuery) -> tuple[str, list[Parameter]]:
    """Return a SELECT of session_id, seq and message (the document) of ``@session``, and its parameters."""
    conditions = ["session_id = @session"]
    parameters: list[Parameter] = []
    for name, sign in (("after_seq", ">"), ("before_seq", "<")):
        value = getattr(query, name)
        if value is not None:
            conditions.append(f"seq {sign} @{name}")
            parameters.append(number(name, value))
    if query.since is not None:
        conditions.append("`timestamp` >= @since")
        parameters.append(instant("since", query.since))
    if query.roles is not None:
        conditions.append("role IN UNNEST(@roles)")
        parameters.append(texts("roles", sorted(query.roles)))
    if query.exclude_roles:
        conditions.append("role NOT IN UNNEST(@exclude_roles)")
        parameters.append(texts("exclude_roles", sorted(query.exclude_roles)))
    kept = "FALSE"
    if query.keep_roles:
        kept = "role IN UNNEST(@keep_roles)"
        parameters.append(texts("keep_roles", sorted(query.keep_roles)))
    # Each column that is named is paid for: tokens only where they are counted.
    tokens = ", token_count" if query.max_tokens is not None else ""
    window = (
        f"SELECT session_id, seq, document AS message, {kept} AS kept{tokens} "
        f"FROM {table} WHERE {' AND '.join(conditions)}"
    )
    if query.limit is not None:
        order = "DESC" if query.newest_first else "ASC"
        window = (
            f"SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY kept ORDER BY seq {order}) AS place "
            f"FROM ({window})) WHERE kept OR place <= @most"
        )
        parameters.append(number("most", query.limit))
    if query.max_tokens is not None:
        window = (
            "SELECT * FROM (SELECT *, SUM(token_count) OVER (PARTITION BY kept ORDER BY seq DESC) AS running, "
            f"SUM(IF(kept, token_count, 0)) OVER () AS fixed FROM ({window})) "
            "WHERE kept OR running + fixed <= @max_tokens"
        )
        parameters.append(number("max_tokens", query.max_tokens))
    return window, parameters
