"""The flights of New York in 2013 through Fluss tables and Flink SQL, checked against a direct computation.

`make demo` runs it. docs/demo.md explains what happens; the SQL statements stand in the directory sql/.
"""
