"""The portal's pages: what they show and what they do."""
