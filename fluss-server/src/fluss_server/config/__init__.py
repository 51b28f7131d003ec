"""Every option of servers and tables: one table each, from which values are checked and the reference is printed."""

from fluss_server.config.option import Configuration, Option, OptionType, find_option
from fluss_server.config.reference import options_reference
from fluss_server.config.server_options import SERVER_OPTIONS
from fluss_server.config.table_options import TABLE_OPTIONS

__all__ = [
    "Configuration",
    "Option",
    "OptionType",
    "SERVER_OPTIONS",
    "TABLE_OPTIONS",
    "find_option",
    "options_reference",
]
