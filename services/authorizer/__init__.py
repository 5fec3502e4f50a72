"""Keeps the right to read each organisation: verification, credentials, policies, enumeration jobs."""
