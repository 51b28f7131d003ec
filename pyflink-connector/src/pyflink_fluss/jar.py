"""Where the connector jar is, and how a job gets it when PyFlink does not find it by itself.

A regular `pip install` puts the jar into `pyflink/lib` next to Flink's own: nothing is left to do. An editable install,
or a user-site install beside a system-wide PyFlink, needs `add_jar` once, before the first use of the connector.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyflink
from pyflink.java_gateway import get_gateway

if TYPE_CHECKING:
    from pyflink.datastream import StreamExecutionEnvironment
    from pyflink.table import TableEnvironment

_PATTERN = "flink-sql-connector-fluss-*.jar"
_DISTRIBUTION = "pyflink-connector-fluss"
_MARKER_CLASS = "io/fluss/flink/catalog/FlussCatalogFactory.class"


def _candidate_directories() -> Iterator[Path]:
    for package_directory in pyflink.__path__:
        yield Path(package_directory) / "lib"
    try:
        installed = importlib.metadata.distribution(_DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        pass  # used straight from a source tree
    else:
        yield Path(str(installed.locate_file("pyflink/lib")))
    # An editable install: pyflink-connector/src/pyflink_fluss/jar.py stands beside flink-sql/.
    yield Path(__file__).resolve().parents[3] / "flink-sql" / "target"


def jar_path() -> Path:
    """Returns the path of the jar: $FLUSS_CONNECTOR_JAR, else the installed one, else the one built in the checkout.

    Raises FileNotFoundError, with the places looked at, when there is none.
    """
    named = os.environ.get("FLUSS_CONNECTOR_JAR")
    if named:
        if not Path(named).is_file():
            raise FileNotFoundError(f"FLUSS_CONNECTOR_JAR={named} is not a file")
        return Path(named).resolve()
    others = ("-sources.jar", "-javadoc.jar", "-tests.jar", "-shaded.jar")
    directories = list(_candidate_directories())
    for directory in directories:
        jars = [jar for jar in directory.glob(_PATTERN) if not jar.name.endswith(others)]
        if jars:
            return max(jars, key=lambda jar: jar.stat().st_mtime).resolve()
    places = ", ".join(map(str, directories))
    raise FileNotFoundError(f"no {_PATTERN} in {places}; build it with `mvn -f flink-sql/pom.xml package`")


def is_on_class_path() -> bool:
    """True when PyFlink's Java process has the connector on its class path, as after a regular `pip install`."""
    loader = get_gateway().jvm.java.lang.ClassLoader.getSystemClassLoader()
    return loader.getResource(_MARKER_CLASS) is not None


def add_jar(environment: StreamExecutionEnvironment | TableEnvironment) -> None:
    """Makes the connector available to the jobs of `environment`; does nothing when PyFlink has it already.

    To be called before CREATE CATALOG or before a source or sink of this package is built. Raises FileNotFoundError
    when the jar cannot be found.
    """
    if is_on_class_path():
        return
    url = jar_path().as_uri()
    if hasattr(environment, "add_jars"):
        environment.add_jars(url)
        return
    configuration = environment.get_config()
    present = [jar for jar in configuration.get("pipeline.jars", "").strip("[]").replace(",", ";").split(";") if jar]
    if url not in present:
        configuration.set("pipeline.jars", ";".join([*map(str.strip, present), url]))
