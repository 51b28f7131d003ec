"""What the listeners of one server share."""

from __future__ import annotations

from fluss_server.rpc.frame_memory import FrameMemory
from fluss_server.rpc.frames import RECEIVE_BUFFER_SIZE
from fluss_server.rpc.limits import RpcLimits
from fluss_server.rpc.loop_budget import LoopBudget
from fluss_server.rpc.request_memory import RequestMemory, StalledRequestCheck
from fluss_server.rpc.response_memory import ResponseMemory


class SharedResources:
    """What the listeners of a server share.

    Args:
        limits: what clients may cost.

    Attributes:
        limits: as given.
        request_memory: of all connections.
        response_memory: of all connections.
        receive_buffer: of all connections: they are served by one thread.
        frame_memory: likewise.
        loop_budget: the time of the event loop that they share.
        connections: open connections.
        refused_connections: those refused so far because there were too many.
    """

    def __init__(self, limits: RpcLimits) -> None:
        self.limits = limits
        self.request_memory = RequestMemory(limits.max_server_request_bytes, limits.max_frame_bytes)
        self._stalled_requests = StalledRequestCheck(self.request_memory)
        self.response_memory = ResponseMemory(limits.max_server_response_bytes)
        self.receive_buffer = memoryview(bytearray(RECEIVE_BUFFER_SIZE))
        self.frame_memory = FrameMemory()
        self.loop_budget = LoopBudget()
        self.connections = 0
        self.refused_connections = 0
