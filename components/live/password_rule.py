# pyright: strict
"""What a password has to be, so that bcrypt takes it whole. Pure, for the settings and the hash."""

from __future__ import annotations

# bcrypt reads 72 bytes of a password and no more (bcrypt's README, "Maximum Password Length").
MAX_BYTES = 72
SIZE_RULE = f"a password has 1 to {MAX_BYTES} bytes in UTF-8"


def password_problem(password: str) -> str | None:
    """What is wrong with a password, in words that don't repeat it; None if nothing is."""
    try:
        size = len(password.encode())
    except UnicodeEncodeError:
        return "a password is UTF-8 text; this one isn't"
    if size == 0:
        return f"{SIZE_RULE}; this one is empty"
    if size > MAX_BYTES:
        return f"{SIZE_RULE}; this one has {size}"
    if "\0" in password:
        return "a password has no NUL character; this one has"
    return None
