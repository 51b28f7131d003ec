"""Whatever requests and responses are lost or late: a leader never counts with less than the coordinator's ISR."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from example_support import examples
from fluss_server.replica.followers import Followers
from fluss_server.replica.in_sync_replicas import InSyncReplicas

LEADER = 1
SERVERS = (1, 2, 3)
ALL = set(SERVERS)


class LeaderMachine(RuleBasedStateMachine):
    """A leader, followers that fetch, and a coordinator behind a network that loses and delays."""

    def __init__(self) -> None:
        super().__init__()
        self.isr: tuple[int, ...] = SERVERS
        self.bucket_epoch = 0
        self.followers = Followers(LEADER, 0, SERVERS, InSyncReplicas(self.isr, 0), epoch_start=3, min_isr=1, now_s=0.0)
        self.log_end = 3
        self.durable = 3
        self.high_watermark = 0
        self.now = 0.0
        self.has: dict[int, int] = {2: 3, 3: 0}
        self.waiting: list[tuple[int, tuple[int, ...]]] = []  # requests on their way: bucket epoch and ISR
        self.announced: list[tuple[int, tuple[int, ...]]] = []  # notifications on their way

    def advance(self) -> None:
        before = self.high_watermark
        self.high_watermark = self.followers.committable(self.durable, self.high_watermark)
        assert self.high_watermark >= before

    @rule(count=st.integers(1, 5))
    def append(self, count: int) -> None:
        self.log_end += count

    @rule()
    def flush(self) -> None:
        self.durable = self.log_end
        self.advance()

    @rule(server=st.sampled_from((2, 3)), count=st.integers(0, 5))
    def fetch(self, server: int, count: int) -> None:
        self.followers.fetched(server, self.has[server], self.log_end, self.now)
        self.has[server] = min(self.log_end, self.has[server] + count)
        self.advance()

    @rule(seconds=st.floats(0, 8))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def request(self) -> None:
        wanted = self.followers.wanted_isr(
            high_watermark=self.high_watermark, log_end=self.log_end, now_s=self.now, max_lag_s=10.0, live=ALL
        )
        if wanted is not None:
            self.waiting.append((self.followers.isr.bucket_epoch, wanted))
            self.followers.isr.requested(wanted)

    @precondition(lambda self: self.followers.isr.is_requested)
    @rule()
    def lose_response(self) -> None:
        """The request may still arrive."""
        self.followers.isr.ended(refused=False)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), lost=st.booleans())
    def arrive(self, data: st.DataObject, lost: bool) -> None:
        """A request arrives, perhaps one whose sender does not wait any more."""
        number = data.draw(st.integers(0, len(self.waiting) - 1))
        is_newest = number == len(self.waiting) - 1
        epoch, isr = self.waiting.pop(number)
        accepted = epoch == self.bucket_epoch
        if accepted:
            self.isr, self.bucket_epoch = isr, self.bucket_epoch + 1
        else:
            self.announced.append((self.bucket_epoch, self.isr))
        if self.followers.isr.is_requested and is_newest and not lost:
            self.followers.isr.ended(refused=not accepted)
            if accepted:
                self.followers.isr.confirmed(self.isr, self.bucket_epoch)
            self.advance()

    @rule(server=st.sampled_from((2, 3)))
    def server_leaves(self, server: int) -> None:
        """The coordinator takes a dead server out, and says so."""
        if server in self.isr:
            self.isr = tuple(member for member in self.isr if member != server)
            self.bucket_epoch += 1
            self.announced.append((self.bucket_epoch, self.isr))

    @precondition(lambda self: self.announced)
    @rule(data=st.data())
    def hear(self, data: st.DataObject) -> None:
        epoch, isr = self.announced.pop(data.draw(st.integers(0, len(self.announced) - 1)))
        self.followers.isr.confirmed(isr, epoch)
        self.advance()

    @invariant()
    def whoever_may_be_elected_has_what_is_acknowledged(self) -> None:
        assert set(self.isr) <= self.followers.isr.maximal
        assert self.high_watermark <= self.durable
        for server in self.isr:
            if server != LEADER:
                assert self.has[server] >= self.high_watermark


LeaderMachine.TestCase.settings = settings(max_examples=examples(60), stateful_step_count=40)
TestLeader = LeaderMachine.TestCase
