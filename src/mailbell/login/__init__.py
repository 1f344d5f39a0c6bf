"""Who may log in: the users file, and the checking of passwords. For the SMTP side and the page."""
