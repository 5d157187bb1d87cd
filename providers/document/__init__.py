"""JSON read and edited by position, without decoding what is not needed."""
