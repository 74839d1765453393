"""What the app is about."""


def greet(who: str) -> str:
    return f"hello {who}"
