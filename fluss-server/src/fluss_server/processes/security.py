"""Authorization and credentials of a server process, from its configuration."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING

from fluss_server.config import Configuration
from fluss_server.config.dynamic import DynamicConfiguration
from fluss_server.metadata.store import MetadataStore
from fluss_server.model.acl import Resource
from fluss_server.model.principal import Principal
from fluss_server.runtime.clock import Clock
from fluss_server.security.listeners import CREDENTIALS, ListenerSecurity, check_users

if TYPE_CHECKING:
    from fluss_server.security.acl_replica import AclReplica
    from fluss_server.security.authorizer import Authorizer

logger = logging.getLogger(__name__)


def authorizer_of(
    configuration: Configuration,
    store: MetadataStore,
    distribute: Callable[[Collection[Resource]], Awaitable[None]] | None = None,
) -> Authorizer | None:
    """The authorizer that the options want, not loaded; None = everything is allowed.

    Args:
        configuration: of the server.
        store: where the entries are.
        distribute: see ``Authorizer``.

    Raises:
        FlussError: ``INVALID_CONFIG_EXCEPTION``.
    """
    if not configuration.get_bool("authorizer.enabled"):
        return None
    from fluss_server.security.authorizer import Authorizer  # most servers check no permissions

    super_users = _super_users(configuration)
    if not super_users:
        logger.warning("authorizer.enabled without super.users: only who has been granted ALL before can grant")
    ignore_case = configuration.get_bool("security.acl.principal.ignore-case")
    return Authorizer(store, super_users, ignore_case=ignore_case, distribute=distribute)


def acl_replica_of(configuration: Configuration, clock: Clock) -> AclReplica | None:
    """What decides on a tablet server that has the entries from its coordinator; None = everything is allowed.

    Raises:
        FlussError: ``INVALID_CONFIG_EXCEPTION``.
    """
    if not configuration.get_bool("authorizer.enabled"):
        return None
    from fluss_server.security.acl_replica import AclReplica

    return AclReplica(
        _super_users(configuration),
        ignore_case=configuration.get_bool("security.acl.principal.ignore-case"),
        monotonic=clock.monotonic,
        max_age_s=configuration.get_int("security.acl.max-age") / 1000,
    )


def _super_users(configuration: Configuration) -> list[Principal]:
    from fluss_server.security.authorizer import parse_super_users

    return parse_super_users(configuration.get_str("super.users"))


def follow_credentials(configuration: DynamicConfiguration, security: ListenerSecurity) -> None:
    """Take in the users that the options have now, and changes of them."""
    configuration.subscribe(
        [CREDENTIALS],
        lambda changed: check_users(changed.get_map(CREDENTIALS)),
        lambda changed: security.configure_users(changed.get_map(CREDENTIALS)),
    )
    security.configure_users(configuration.current.get_map(CREDENTIALS))
