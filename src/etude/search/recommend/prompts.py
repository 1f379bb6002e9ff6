"""Prompts of generative recommendation, as words: what a user had, and what comes next."""

from __future__ import annotations

from collections.abc import Sequence

SEQUENTIAL = (
    "{user} has bought {items} , predict what comes next :",
    "What will {user} buy after {items} ?",
    "After {items} , what should be recommended to {user} ?",
    "The purchases of {user} in order : {items} . The next one :",
    "Knowing that {user} bought {items} , name another item :",
    "{user} went from {items} on to",
    "Here is the list of {user} : {items} . Continue it :",
    "Given {items} , which item does {user} need next ?",
    "{user} chose {items} . What would {user} choose now ?",
    "History of {user} : {items} . Recommendation :",
)
"""Of a user and the items so far; the target is the next one."""

DIRECT = (
    "Recommend an item to {user} :",
    "What should {user} buy ?",
    "Choose one of the items for {user} :",
    "Which item would {user} like ?",
    "Suggest something to {user} :",
)
"""Of a user alone; the target is any item of that user."""


def words(template: str, user: int, items: Sequence[int]) -> list[str | int]:
    """The words of a prompt, items as their numbers.

    Examples
    --------
    >>> words("{user} went from {items} on to", 3, [7, 9])
    ['user_3', 'went', 'from', 7, ',', 9, 'on', 'to']
    """
    found: list[str | int] = []
    for word in template.split():
        if word == "{items}":
            found += [piece for item in items for piece in (item, ",")][:-1]
        else:
            found.append(word.replace("{user}", f"user_{user}"))
    return found
