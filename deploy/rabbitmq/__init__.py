"""RabbitMQ's definitions: who exists on the broker and what each may do there."""
