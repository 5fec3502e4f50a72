"""Weeks in minutes: everything in one process under a clock that leaps, checked against the calendars every day."""
