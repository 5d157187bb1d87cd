"""What is done to an account, whoever asks: the command line, a service or the person."""
