"""Images, documents, audio and video in a request: what each weighs in tokens, from its first bytes."""
