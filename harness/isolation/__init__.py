"""A replica in a process of its own: the client, the supervisor, and the protocol between them."""
