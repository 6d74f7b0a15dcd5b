"""AdapterSoup: average the parameters of the source adapters whose tasks read like the target."""
