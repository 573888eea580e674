"""Access control lists: which users there are, and what each may do. The names are those of Redis's `acl.c`."""
