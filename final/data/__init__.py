"""The data: databases of typed values, and the data structures that Python lacks. It does not know commands."""
