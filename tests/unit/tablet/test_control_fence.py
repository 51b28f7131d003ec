"""Control requests that come too late, or to the wrong process, are refused."""

from __future__ import annotations

from error_support import code_of
from fluss_server.cluster.messages import ControlStamp
from fluss_server.cluster.metadata_cache import MetadataCache
from fluss_server.errors import ErrorCode
from fluss_server.tablet.control_fence import ControlFence


def test_only_newer_requests_and_repetitions_pass() -> None:
    fence = ControlFence(MetadataCache(), "second")
    fence.check(3, ControlStamp("second", 5))
    fence.check(3, ControlStamp("second", 5))
    fence.check(3, ControlStamp("second", 9))
    late = ControlStamp("second", 8)
    assert code_of(lambda: fence.check(3, late)) is ErrorCode.INVALID_UPDATE_VERSION_EXCEPTION
    fence.check(4, ControlStamp("second", 1))
    assert code_of(lambda: fence.check(3, ControlStamp("second", 10))) is ErrorCode.INVALID_COORDINATOR_EXCEPTION


def test_a_request_for_the_process_before_changes_not_even_the_epoch() -> None:
    metadata = MetadataCache()
    fence = ControlFence(metadata, "second")
    assert code_of(lambda: fence.check(7, ControlStamp("first", 1))) is ErrorCode.SERVER_NOT_EXIST_EXCEPTION
    assert metadata.coordinator_epoch == -1


def test_a_coordinator_that_does_not_number_its_requests_is_known_by_its_epoch() -> None:
    fence = ControlFence(MetadataCache(), "second")
    fence.check(3, None)
    fence.check(3, None)
    assert code_of(lambda: fence.check(2, None)) is ErrorCode.INVALID_COORDINATOR_EXCEPTION
