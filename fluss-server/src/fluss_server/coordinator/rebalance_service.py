"""RPC methods about the placement of replicas: server tags and rebalances."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.coordinator.cluster_controller import ClusterController
from fluss_server.coordinator.cluster_state import MoveState
from fluss_server.coordinator.events import RebalanceRequested, ServersTagged, ServersUntagged
from fluss_server.coordinator.reassignments import no_rebalance
from fluss_server.coordinator.rebalance_plan import ALL_GOALS, RebalanceGoal
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.rebalance_records import ServerTag
from fluss_server.rpc.service import RequestContext, ResponseBody, rpc

MAX_SERVERS = 1_000
"""Server ids or racks in a request."""


class RebalanceService:
    """Server tags and rebalances.

    Args:
        controller: makes the changes.
        new_id: a name that no other rebalance has.
    """

    def __init__(self, controller: ClusterController, new_id: Callable[[], str]) -> None:
        self._controller = controller
        self._new_id = new_id

    @rpc(ApiKey.ADD_SERVER_TAG)
    async def add_server_tag(self, request: pb.AddServerTagRequest, context: RequestContext) -> ResponseBody:
        """All of the servers get the tag, or none."""
        await self._controller.change_placement(ServersTagged(_ids(request.server_ids), _tag(request.server_tag)))
        return pb.AddServerTagResponse()

    @rpc(ApiKey.REMOVE_SERVER_TAG)
    async def remove_server_tag(self, request: pb.RemoveServerTagRequest, context: RequestContext) -> ResponseBody:
        await self._controller.change_placement(ServersUntagged(_ids(request.server_ids), _tag(request.server_tag)))
        return pb.RemoveServerTagResponse()

    @rpc(ApiKey.ADD_SERVER_TAG_BY_RACK)
    async def add_server_tag_by_rack(
        self, request: pb.AddServerTagByRackRequest, context: RequestContext
    ) -> ResponseBody:
        """As :meth:`add_server_tag`, for every member in some racks."""
        servers = self._in_racks(request.racks)
        await self._controller.change_placement(ServersTagged(servers, _tag(request.server_tag)))
        return pb.AddServerTagByRackResponse()

    @rpc(ApiKey.REMOVE_SERVER_TAG_BY_RACK)
    async def remove_server_tag_by_rack(
        self, request: pb.RemoveServerTagByRackRequest, context: RequestContext
    ) -> ResponseBody:
        servers = self._in_racks(request.racks)
        await self._controller.change_placement(ServersUntagged(servers, _tag(request.server_tag)))
        return pb.RemoveServerTagByRackResponse()

    @rpc(ApiKey.REBALANCE)
    async def rebalance(self, request: pb.RebalanceRequest, context: RequestContext) -> ResponseBody:
        """Begin; the response does not wait for the end."""
        rebalance_id = self._new_id()
        await self._controller.rebalance(RebalanceRequested(rebalance_id, goals_of(request.goals)))
        return pb.RebalanceResponse(rebalance_id=rebalance_id)

    @rpc(ApiKey.LIST_REBALANCE_PROGRESS)
    def list_rebalance_progress(
        self, request: pb.ListRebalanceProgressRequest, context: RequestContext
    ) -> ResponseBody:
        """The current rebalance or the last one; an empty response before the first."""
        state = self._controller.queue.state
        rebalance = state.rebalance
        if request.HasField("rebalance_id") and (rebalance is None or rebalance.rebalance_id != request.rebalance_id):
            raise no_rebalance(request.rebalance_id)
        if rebalance is None:
            return pb.ListRebalanceProgressResponse()
        response = pb.ListRebalanceProgressResponse(
            rebalance_id=rebalance.rebalance_id, rebalance_status=rebalance.status
        )
        tables: dict[int, pb.PbRebalanceProgressForTable] = {}
        for bucket, move in state.moves.items():
            if bucket.table_id not in tables:
                tables[bucket.table_id] = response.table_progress.add(table_id=bucket.table_id)
            _add_move(tables[bucket.table_id], move)
        return response

    @rpc(ApiKey.CANCEL_REBALANCE)
    async def cancel_rebalance(self, request: pb.CancelRebalanceRequest, context: RequestContext) -> ResponseBody:
        """Success when nothing is under way."""
        await self._controller.cancel_rebalance(request.rebalance_id if request.HasField("rebalance_id") else None)
        return pb.CancelRebalanceResponse()

    def _in_racks(self, racks: Sequence[str]) -> tuple[int, ...]:
        servers = self._controller.queue.state.servers
        unknown = set(racks) - {server.node.rack for server in servers.values()}
        if unknown or len(racks) > MAX_SERVERS:
            raise FlussError(
                ErrorCode.SERVER_NOT_EXIST_EXCEPTION, f"no tablet server is in the racks {sorted(unknown)}"
            )
        return tuple(sorted(number for number, server in servers.items() if server.node.rack in racks))


def goals_of(numbers: Iterable[int]) -> tuple[RebalanceGoal, ...]:
    """The goals of a request, each once; all of them when it has none.

    Raises:
        FlussError: ``REBALANCE_FAILURE_EXCEPTION`` for an unknown one.
    """
    try:
        return tuple(dict.fromkeys(RebalanceGoal(number) for number in numbers)) or ALL_GOALS
    except ValueError as error:
        known = ", ".join(f"{goal.value} {goal.name}" for goal in RebalanceGoal)
        raise FlussError(
            ErrorCode.REBALANCE_FAILURE_EXCEPTION, f"unknown goal: {error}", hint=f"there are {known}"
        ) from None


def _ids(server_ids: Sequence[int]) -> tuple[int, ...]:
    if len(server_ids) > MAX_SERVERS:
        raise FlussError(ErrorCode.SERVER_NOT_EXIST_EXCEPTION, f"more than {MAX_SERVERS} servers in one request")
    return tuple(dict.fromkeys(server_ids))


def _tag(number: int) -> ServerTag:
    try:
        return ServerTag(number)
    except ValueError:
        raise FlussError(
            ErrorCode.SEVER_TAG_NOT_EXIST_EXCEPTION,
            f"there is no server tag {number}",
            hint=", ".join(f"{tag.value} is {tag.name}" for tag in ServerTag),
        ) from None


def _add_move(table: pb.PbRebalanceProgressForTable, state: MoveState) -> None:
    move = state.move
    entry = table.buckets_progress.add(rebalance_status=state.status)
    plan = entry.rebalance_plan
    plan.bucket_id = move.bucket.bucket
    if move.bucket.partition_id is not None:
        plan.partition_id = move.bucket.partition_id
    plan.original_leader, plan.new_leader = move.original_leader, move.new_leader
    plan.original_replicas.extend(move.origin_replicas)
    plan.new_replicas.extend(move.new_replicas)
