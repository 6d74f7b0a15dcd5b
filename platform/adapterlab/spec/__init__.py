"""What the user wrote: TOML to frozen models."""
