"""Other gateways beside this one: started by path, measured in rounds, and killed to see what each keeps."""
