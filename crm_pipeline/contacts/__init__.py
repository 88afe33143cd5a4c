"""The contacts and their queue: the state machine, its journal and its counts. `ls transitions` shows it."""
