"""How far scores can be trusted: intervals, paired tests, and when neither holds. NumPy only."""
