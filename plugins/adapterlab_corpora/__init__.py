"""Further corpora: review sentences, counterfactual inference, calls for help after disasters."""
