"""Post-LayerNorm encoders (BERT, RoBERTa and their kin) run frozen, for many lanes at once."""
