"""What people and agents may write into approvals and questions."""

from collections.abc import Sequence

from hyperhive.approvals.interfaces import MAX_OPTION, MAX_OPTIONS
from hyperhive.errors import BadRequest, TooLarge


def needed(what: str, text: str, most: int) -> str:
    """Answer a text that says something, without the white space around it.

    :param what: what it is, to begin a sentence with.
    :param most: bytes of UTF-8.
    :raises BadRequest: if it is empty, or no Unicode text.
    :raises TooLarge: with both numbers.
    """
    text = text.strip()
    if not text:
        raise BadRequest(f"{what} is empty: write something.")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise BadRequest(
            f"{what} is no Unicode text: it has half of a surrogate pair in it."
        ) from None
    if "\0" in text:
        raise BadRequest(f"{what} has a NUL character in it.")
    if size > most:
        raise TooLarge(f"{what} has {size} bytes; it may have at most {most}.")
    return text


def optional(what: str, text: str | None, most: int) -> str | None:
    """The same of a text that may be missing, or empty, which is then ``None``."""
    if text is None or not text.strip():
        return None
    return needed(what, text, most)


def options(texts: Sequence[str]) -> tuple[str, ...]:
    """Answer the options of a question.

    :raises BadRequest: if there are too many, one is too long or is there twice.
    """
    if len(texts) > MAX_OPTIONS:
        raise BadRequest(
            f"A question has at most {MAX_OPTIONS} options; these are {len(texts)}."
        )
    checked = tuple(needed("An option", text, 4 * MAX_OPTION) for text in texts)
    for text in checked:
        if len(text) > MAX_OPTION:
            raise BadRequest(
                f"An option has at most {MAX_OPTION} characters; one has {len(text)}."
            )
        if len(text.splitlines()) > 1:
            raise BadRequest("An option is one line; explain it in the question.")
    if len(set(checked)) < len(checked):
        raise BadRequest("Two options are the same.")
    return checked
