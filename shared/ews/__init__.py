"""Exchange Web Services: requests as values, sessions that sign in, answers decoded as they come."""
