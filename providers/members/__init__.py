"""The member register: what happens to every member of every request."""
