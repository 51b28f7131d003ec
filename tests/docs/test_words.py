"""The documentation uses the words of Kafka, Flink, RocksDB, ZooKeeper and gRPC, and no inventions for them.

Each entry of ``INVENTED`` is a pattern and the known word. ``ALLOWED`` has the exceptions, each with its reason.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GENERATED = {"docs/reference.md", "docs/cli.md"}  # written from the texts of the program

INVENTED = {
    r"doors?": "gRPC server, gRPC endpoint",
    r"logged in|logging in|log-?ins?": "authenticate, authentication, credentials",
    r"rights": "permissions",
    r"who may come in|came? in by|lets? everybody in": "authenticated as; connected through; anonymous access",
    r"guards?": "authorization interceptor, ACL evaluator, ACL entries",
    r"answers?|answered|answering": "response, the server returns",
    r"asks? for|asked for|asked|what is asked": "requires, requested",
    r"upkeep|chores?|looked after": "maintenance, background task",
    r"room": "capacity, budget, space",
    r"turns?|in turns": "iteration, tick; response slot; round robin",
    r"marks?": "checkpoint, commit marker",
    r"shapes?|misfits?|fits?": "schema validation, matches the schema",
    r"distrusts?|judges?|judged": "validate, evaluate",
    r"stuck|patien(?:ce|t)|gets? on": "stalled, grace period, makes progress",
    r"doomed|leftovers?|left-overs?|strays?|given up|gives? up": "to delete, orphaned, discarded",
    r"anew|in force|halfway|for ever|forever|reckoned": "again, effective, partially, indefinitely, estimated",
    r"(?:two|between) looks?|a look that": "check interval",
    r"of one's own|of yours": "custom properties",
    r"worr(?:y|ies)": "alert threshold",
    r"an existing one is fine": "do not fail if it exists",
    r"bounds, not habits|outgrows|in the order of their coming|such thing of yet|stays so": "a plain sentence",
    r"nobody is asked|sleeps and hopes|everything but|half-written|takes? back": "a plain sentence",
    r"parked": "waiting; purgatory, parking lot",
    r"behind (?:the|that|it|this|them|its)": "after (offsets and positions are before and after)",
    r"in front of": "before (offsets and positions are before and after)",
}

# Lines, by a part of them, in which a word is right.
ALLOWED = {
    "server.fetch.max-parked": "the name of an option",
    "server.answer.": "the changelog names the options that were renamed",
    "answerMemoryBytes": "the changelog names the metric that was renamed",
    "grpc_door": "the changelog names the package that was renamed",
    "Public docstrings state shapes": "shapes of arrays",
}

_CODE_BLOCK = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
_TARGET = re.compile(r"\]\([^)]*\)|<!--.*?-->")


def documents() -> list[Path]:
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return sorted(path for path in found if str(path.relative_to(ROOT)) not in GENERATED)


def test_documents_use_known_words() -> None:
    found = []
    for document in documents():
        text = _CODE_BLOCK.sub(lambda block: "\n" * block[0].count("\n"), document.read_text())
        for number, line in enumerate(text.splitlines(), 1):
            if any(part in line for part in ALLOWED):
                continue
            for pattern, known in INVENTED.items():
                found += [
                    f"{document.relative_to(ROOT)}:{number}: {match[0]!r}, better: {known}"
                    for match in re.finditer(rf"\b(?:{pattern})\b", _TARGET.sub("](", line), re.IGNORECASE)
                ]
    assert found == []
