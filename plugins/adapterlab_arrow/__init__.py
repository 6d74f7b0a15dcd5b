"""Arrow: every token is routed to the LoRAs whose strongest direction it points along."""
