"""What a request gives a model to read, in numbers: text by its characters, media by kind and size."""
