"""How many tokens a request has for a model: estimates from the text's characters and from the media."""
