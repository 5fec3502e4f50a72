"""The only service that talks to Microsoft: finds mailboxes and reads calendars."""
