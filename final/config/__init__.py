"""The options: declared in one table, read from a configuration file and the command line, shown and set by CONFIG."""
