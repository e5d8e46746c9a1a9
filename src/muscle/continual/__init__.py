"""What keeps a backbone from forgetting."""
