"""Passwords that are guessed first. Pure.

NIST SP 800-63B-4, section 3.1.1.2, asks that new passwords are compared with those that are known
to be common, expected or compromised. Where passwords have 15 characters, the lists of them come
down to a few words and runs put in a row, so these are what is listed, not every combination.
"""

import unicodedata
from collections.abc import Iterable

FREE_DIGITS = 4  # digits anywhere between: "Password2026!"
SHORTEST = 3  # characters of a name or a run
LONGEST_RUN = 40  # characters: longer ones are several

# Written down from what every published list of common passwords begins with.
_LIST = """
password passwort passw0rd p4ssword p4ssw0rd pa55word contrasena motdepasse wachtwoord parola
senha haslo heslo salasana losenord passord letmein welcome willkommen bienvenue changeme
default secret admin administrator root user guest test testing master login access service
server system temp temporary example sample demo love iloveyou loveyou princess prince monkey
dragon sunshine football baseball basketball soccer hockey superman batman spiderman pokemon
starwars trustno whatever shadow michael jennifer jessica ashley daniel charlie jordan thomas
andrew joshua matthew robert george william hunter killer ranger buster tigger pepper ginger
cookie chocolate cheese banana orange summer winter spring autumn january february march april
june july august september october november december monday tuesday wednesday thursday friday
saturday sunday hello goodbye freedom internet computer samsung google facebook linkedin apple
microsoft windows linux ubuntu debian android mustang ferrari porsche mercedes corvette harley
yankees lakers arsenal liverpool chelsea barcelona juventus london paris berlin blink mypassword
newpassword thisismy this is my your our the and for you me not ever never enter please let in
abc xyz qwe asd zxc qaz wsx edc rfv tgb zaq xsw amrgate ssh git
"""
WORDS = frozenset(_LIST.split())

RUNS = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiop",
    "qwertzuiop",
    "azertyuiop",
    "asdfghjkl",
    "qsdfghjklm",
    "zxcvbnm",
    "yxcvbnm",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm",
    "1q2w3e4r5t6y7u8i9o0p",
)


def is_guessable(password: str, names: Iterable[str] = ()) -> bool:
    """Whether nothing is in `password` but common words, `names`, runs of keys and a few digits."""
    text = "".join(letter for letter in _folded(password) if letter.isalnum())
    words = WORDS | {piece for name in names for piece in _pieces(name)}
    return _free_digits(text, words) <= FREE_DIGITS or _repeats(text)


def _pieces(name: str) -> Iterable[str]:
    folded = "".join(letter if letter.isalnum() else " " for letter in _folded(name))
    whole = folded.replace(" ", "")
    return (piece for piece in (whole, *folded.split()) if len(piece) >= SHORTEST)


def _free_digits(text: str, words: frozenset[str]) -> int:
    """The fewest digits that are left between words and runs; more than allowed if letters are."""
    longest = max(map(len, words))
    most = FREE_DIGITS + 1
    best = [0] + [most] * len(text)
    for end in range(1, len(text) + 1):
        if text[end - 1].isdigit():
            best[end] = min(most, best[end - 1] + 1)
        for begin in range(max(0, end - longest), end):
            if best[begin] < best[end] and text[begin:end] in words:
                best[end] = best[begin]
        for begin in range(end - SHORTEST, max(-1, end - LONGEST_RUN), -1):
            if not _is_run(text[begin:end]):
                break
            best[end] = min(best[end], best[begin])
    return best[-1]


def _is_run(piece: str) -> bool:
    return len(set(piece)) == 1 or any(piece in run or piece[::-1] in run for run in RUNS)


def _repeats(text: str) -> bool:
    """Whether it is one short piece over and over."""
    return any(
        text == (text[:length] * len(text))[: len(text)]
        for length in range(1, min(8, len(text) // 2) + 1)
    )


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
