"""The setup page in a real browser, with everything behind it: the sandbox as Microsoft, all four services."""
