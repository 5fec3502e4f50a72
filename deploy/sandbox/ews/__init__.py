"""Exchange in the sandbox: EWS over the same calendars that Graph shows, with sign-in, scopes and limits of its own."""
