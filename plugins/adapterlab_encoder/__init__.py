"""Post-LayerNorm encoders (BERT, RoBERTa, XLM-R) run frozen, for many lanes at once."""
