"""What an agent shows and asks: its page, the API on port 2378, metrics, and its peers' reports."""
