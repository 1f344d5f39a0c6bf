"""User code: the child process that hosts a script, and the parent's side that runs it."""
