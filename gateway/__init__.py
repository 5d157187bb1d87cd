"""Everything that touches a socket: the listener, the way to a provider, sign-in, the operator's side, the commands."""
