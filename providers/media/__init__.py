"""Images, documents, audio and video in a request: how many tokens each has, from its first bytes."""
