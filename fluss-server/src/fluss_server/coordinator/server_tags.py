"""Server tags: which servers are to have nothing. Pure.

A server with PERMANENT_OFFLINE gets no replicas of new tables. A rebalance moves everything away from servers with
either tag, and elections prefer others.
"""

from __future__ import annotations

from collections.abc import Sequence

from fluss_server.coordinator.cluster_state import Draft
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.rebalance_records import ServerTag


def tag_servers(draft: Draft, server_ids: Sequence[int], tag: ServerTag) -> None:
    """Give servers a tag that they may have already.

    Raises:
        FlussError: ``SERVER_NOT_EXIST_EXCEPTION``, ``SEVER_TAG_ALREADY_EXIST_EXCEPTION`` when one has the other tag;
            nothing is changed then.
    """
    tags = draft.tags()
    for server_id in server_ids:
        if draft.server(server_id) is None:
            raise FlussError(
                ErrorCode.SERVER_NOT_EXIST_EXCEPTION,
                f"tablet server {server_id} is no member of the cluster",
                hint="the command 'fluss cluster' lists the members",
            )
        if tags.get(server_id, tag) is not tag:
            raise FlussError(
                ErrorCode.SEVER_TAG_ALREADY_EXIST_EXCEPTION,
                f"tablet server {server_id} has the tag {tags[server_id].name}",
                hint="remove that tag first",
            )
    for server_id in server_ids:
        if server_id not in tags:
            draft.put_tag(server_id, tag)


def untag_servers(draft: Draft, server_ids: Sequence[int], tag: ServerTag) -> None:
    """Take a tag from servers, which need not be members.

    Raises:
        FlussError: ``SEVER_TAG_NOT_EXIST_EXCEPTION`` when one does not have it; nothing is changed then.
    """
    tags = draft.tags()
    for server_id in server_ids:
        if tags.get(server_id) is not tag:
            raise FlussError(
                ErrorCode.SEVER_TAG_NOT_EXIST_EXCEPTION, f"tablet server {server_id} has no tag {tag.name}"
            )
    for server_id in server_ids:
        draft.put_tag(server_id, None)
