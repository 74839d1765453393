"""Identity and Access Management: who calls, what they may, service accounts."""
