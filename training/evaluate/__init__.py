"""How good models and runs are."""
