"""How any call to Google is made: clients, attempts, deadlines, pages, errors."""
