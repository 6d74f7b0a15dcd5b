"""AdapterFusion: attend over the outputs of frozen source adapters, token by token."""
