"""What two or more services need; never imports a service."""
