"""What a coordinator serves while another one is active."""

from __future__ import annotations

from typing import Any

from fluss_server.api.keys import API_SPECS, BETWEEN_SERVERS, ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.service import RequestContext, ResponseBody, ServiceRegistry, rpc
