"""Options that change while the server runs; no I/O.

The effective values are those given at the start with the overrides on top. An override of None unsets an option that
was given at the start. A change goes through in the order plan, validate, apply; who calls this makes it durable last
and takes it back when that fails.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple, TypeAlias

from fluss_server.config.option import Configuration, Option, OptionType, find_option
from fluss_server.errors import ErrorCode, FlussError

logger = logging.getLogger(__name__)

MAX_VALUE_LENGTH = 64 * 1024
"""Longest value of an override, in characters."""

Overrides: TypeAlias = "Mapping[str, str | None]"
Listener: TypeAlias = "Callable[[Configuration], None]"


class AlterOperation(IntEnum):
    """What a change does with an option; the numbers are the protocol's."""

    SET = 0
    DELETE = 1
    APPEND = 2
    SUBTRACT = 3


class Alteration(NamedTuple):
    """One change.

    Attributes:
        key: of the option.
        value: None only for ``DELETE``.
        operation: what to do.
    """

    key: str
    value: str | None
    operation: AlterOperation


class DescribedOption(NamedTuple):
    """An option and its effective value.

    Attributes:
        key: of the option.
        value: with secrets hidden; None = unset by an override, and without a default.
        dynamic: set while the server ran.
    """

    key: str
    value: str | None
    dynamic: bool


class _Subscription(NamedTuple):
    keys: frozenset[str]
    validate: Listener
    apply: Listener


class DynamicConfiguration:
    """The effective values, and the subscribers to their changes.

    Args:
        options: all options; those marked dynamic can change.
        initial: what was given at the start, by key.

    Raises:
        FlussError: ``INVALID_CONFIG_EXCEPTION`` for unknown keys and bad values in ``initial``.
    """

    def __init__(self, options: Mapping[str, Option], initial: Mapping[str, str]) -> None:
        self._options = options
        self._initial = dict(initial)
        self._overrides: dict[str, str | None] = {}
        self._current = Configuration(options, initial)
        self._subscriptions: list[_Subscription] = []

    @property
    def current(self) -> Configuration:
        """The effective values. Immutable: read them again after a change."""
        return self._current

    @property
    def overrides(self) -> Overrides:
        """What was set while the server ran."""
        return dict(self._overrides)

    def subscribe(self, keys: Collection[str], validate: Listener, apply: Listener) -> None:
        """Call the two when a change concerns one of ``keys``.

        Args:
            keys: of dynamic options.
            validate: raises FlussError to refuse a configuration; changes nothing.
            apply: takes it over at once, and back again when a later one fails; should not raise.
        """
        for key in keys:
            assert find_option(self._options, key).dynamic, f"{key} is not dynamic"
        self._subscriptions.append(_Subscription(frozenset(keys), validate, apply))

    @property
    def subscribed(self) -> frozenset[str]:
        """Keys that somebody listens to."""
        return frozenset().union(*(subscription.keys for subscription in self._subscriptions))

    def load(self, overrides: Overrides) -> dict[str, str | None]:
        """Take over what was stored before this start; before anybody has subscribed.

        Returns:
            what cannot be used, each reported in the log: keys that are unknown or not dynamic here, bad values.
        """
        assert not self._subscriptions, "load first, subscribe then"
        unusable: dict[str, str | None] = {}
        for key, value in overrides.items():
            try:
                self._check(key, value)
            except FlussError as error:
                logger.error("ignoring the stored setting of %s: %s", key, error)
                unusable[key] = value
            else:
                self._overrides[key] = value
        self._current = self._with(self._overrides)
        return unusable

    def plan(self, alterations: Iterable[Alteration]) -> dict[str, str | None]:
        """The overrides after some changes, made one after the other; nothing changes yet.

        Raises:
            FlussError: ``CONFIG_EXCEPTION`` for what is not dynamic, bad values and changes that contradict each other.
        """
        planned = dict(self._overrides)
        for key, value, operation in alterations:
            option = self._dynamic_option(key)
            if operation is AlterOperation.DELETE:
                planned.pop(key, None)
                continue
            if value is None:
                raise _refused(f"{operation.name} of {key} needs a value")
            if operation is AlterOperation.SET:
                planned[key] = value
            else:
                before = planned[key] if key in planned else self._initial.get(key)
                planned[key] = _changed_entries(option, before, value, operation)
            self._check(key, planned[key])
        return planned

    def apply(self, overrides: Overrides) -> None:
        """Apply overrides: let every subscriber validate, then notify them; undo it when one fails.

        Raises:
            FlussError: ``CONFIG_EXCEPTION``, and everything is as before.
        """
        before, after = self._current, self._with(overrides)
        changed = {key for key in {*overrides, *self._overrides} if before.find(key) != after.find(key)}
        concerned = [subscription for subscription in self._subscriptions if subscription.keys & changed]
        applied: list[_Subscription] = []
        try:
            for subscription in concerned:
                subscription.validate(after)
            for subscription in concerned:
                applied.append(subscription)
                subscription.apply(after)
        except Exception as error:
            for subscription in reversed(applied):
                subscription.apply(before)
            if isinstance(error, FlussError):
                raise _refused(error.message, error.hint) from error
            raise
        self._overrides = dict(overrides)
        self._current = after
        if changed:
            logger.info("changed while running: %s", ", ".join(sorted(changed)))

    def take_over(self, overrides: Overrides) -> None:
        """Make the overrides of another server effective here, as far as they can be.

        What is unknown here, or not accepted, keeps its value and is reported in the log.
        """
        usable: dict[str, str | None] = {}
        for key, value in overrides.items():
            try:
                self._check(key, value)
            except FlussError as error:
                logger.error("ignoring the setting of %s from the coordinator: %s", key, error)
            else:
                usable[key] = value
        try:
            self.apply(usable)
        except FlussError as all_together:
            logger.error("not all settings from the coordinator can be used: %s", all_together)
            for key in sorted({*usable, *self._overrides}):
                one = {**self._overrides, key: usable[key]} if key in usable else dict(self._overrides)
                if key not in usable:
                    one.pop(key)
                try:
                    self.apply(one)
                except FlussError as error:
                    logger.error("ignoring the setting of %s from the coordinator: %s", key, error)

    def describe(self) -> Sequence[DescribedOption]:
        """Every option that has a value or was changed, by key, with its effective value."""
        described = {
            key: DescribedOption(key, option.default, False)
            for key, option in self._options.items()
            if option.default is not None
        }
        described.update((key, DescribedOption(key, value, False)) for key, value in self._initial.items())
        for key, value in self._overrides.items():
            effective = self._option(key).default if value is None else value
            described[key] = DescribedOption(key, effective, True)
        return [
            entry if entry.value is None else entry._replace(value=self._option(entry.key).redact(entry.value))
            for _, entry in sorted(described.items())
        ]

    def _option(self, key: str) -> Option:
        return find_option(self._options, key)

    def _dynamic_option(self, key: str) -> Option:
        try:
            option = self._option(key)
        except FlussError as error:
            raise _refused(error.message, error.hint) from None
        if not option.dynamic:
            raise _refused(f"{key} cannot be changed while the server runs", "set it and start the server again")
        return option

    def _check(self, key: str, value: str | None) -> None:
        option = self._dynamic_option(key)
        if value is None:
            return
        if len(value) > MAX_VALUE_LENGTH:
            raise _refused(f"the value of {key} has {len(value)} characters, the limit is {MAX_VALUE_LENGTH}")
        try:
            option.parse(value)
        except FlussError as error:
            raise _refused(error.message, error.hint) from None

    def _with(self, overrides: Overrides) -> Configuration:
        merged = {**self._initial, **overrides}
        return Configuration(self._options, {key: value for key, value in merged.items() if value is not None})


def _changed_entries(option: Option, before: str | None, value: str, operation: AlterOperation) -> str | None:
    """The text of a LIST or MAP with entries added or taken out; None when no entry is left."""
    if option.type not in (OptionType.LIST, OptionType.MAP):
        raise _refused(f"{operation.name} is for lists and maps, {option.key} is neither")
    entries = _entries(before or "")
    given = _entries(value)
    if operation is AlterOperation.APPEND:
        # A repeated key of a MAP is refused when the result is read.
        entries += given
    else:
        gone = {_name(option, entry) for entry in given}
        entries = [entry for entry in entries if _name(option, entry) not in gone]
    return ",".join(entries) if entries else None


def _entries(text: str) -> list[str]:
    return [entry.strip() for entry in text.split(",") if entry.strip()]


def _name(option: Option, entry: str) -> str:
    return entry.partition(":")[0] if option.type is OptionType.MAP else entry


def _refused(message: str, hint: str | None = None) -> FlussError:
    return FlussError(ErrorCode.CONFIG_EXCEPTION, message, hint=hint)
