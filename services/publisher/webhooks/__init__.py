"""Webhooks: the update log, delivered to endpoints of consumers by Standard Webhooks 1.0."""
