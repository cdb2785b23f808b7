"""Names: which agents may have, and what is derived from them."""

import re
import string

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from hyperhive.names import (
    AGENT_PORTS,
    EVERYONE,
    FIRST_AGENT_PORT,
    MANAGER,
    MANAGER_MAILBOX,
    MAX_LENGTH,
    OPERATOR,
    RESERVED,
    SYSTEM,
    InvalidName,
    check_agent_name,
    check_new_agent_name,
    container_name,
    mailbox,
    mailbox_owner,
    port_hash,
)

_INNER = string.ascii_lowercase + string.digits + "-"
_OUTER = string.ascii_lowercase + string.digits

#: Built as the rules say, letter by letter, not by the pattern under test.
good_names = (
    st.builds(
        lambda first, rest, last: first + rest + last,
        st.sampled_from(string.ascii_lowercase),
        st.text(_INNER, max_size=MAX_LENGTH - 2),
        st.sampled_from([*_OUTER, ""]),
    )
    .map(lambda name: name.rstrip("-"))
    .filter(lambda name: name not in RESERVED)
)


def is_good(name: str) -> bool:
    """The rules of the wire page, spelled out."""
    return (
        1 <= len(name) <= MAX_LENGTH
        and all(letter in _INNER for letter in name)
        and name[0] in string.ascii_lowercase
        and name[-1] != "-"
        and name not in RESERVED
    )


class NewNameTests(SynchronousTestCase):
    """What a new agent may be called."""

    @given(good_names)
    def test_takes_every_good_name(self, name: str) -> None:
        """1 to 9 of a-z, 0-9 and '-', first a letter, last not '-', not reserved."""
        self.assertEqual(check_new_agent_name(name), name)

    @given(st.text(max_size=12) | st.text(_INNER + "A_.\n/", max_size=12))
    @example("")
    @example("a\n")
    @example("a\0b")
    @example("..")
    @example("a/b")
    @example("é")
    @example("a٣")
    @example("abcdefghij")
    @example("bob-")
    @example("-bob")
    @example("1bob")
    @example(EVERYONE)
    def test_refuses_every_other(self, name: str) -> None:
        """A name is taken exactly if the rules allow it."""
        if is_good(name):
            self.assertEqual(check_new_agent_name(name), name)
        else:
            self.assertRaises(InvalidName, check_new_agent_name, name)

    def test_refuses_reserved_names(self) -> None:
        """Nobody is called manager, operator, system, host or hm1nd; the text says so."""
        reserved = {"manager", "operator", "system", "host", "hm1nd"}
        self.assertEqual(RESERVED, reserved)
        for name in reserved:
            error = self.assertRaises(InvalidName, check_new_agent_name, name)
            self.assertIn("reserved", str(error))
            for each in reserved:
                self.assertIn(each, str(error))

    def test_says_what_is_allowed(self) -> None:
        """The text names the rule, and a long name is not repeated in full."""
        error = self.assertRaises(InvalidName, check_new_agent_name, "X" * 5000)
        self.assertIn("a-z, 0-9 and '-'", str(error))
        self.assertIn("1 to 9", str(error))
        self.assertLess(len(str(error)), 300)


class NameTests(SynchronousTestCase):
    """What is derived from a name."""

    def test_the_manager_has_a_good_form(self) -> None:
        """An agent's name may be the manager's, which no new agent may have."""
        self.assertEqual(check_agent_name(MANAGER), MANAGER)
        for name in (MANAGER_MAILBOX, OPERATOR, SYSTEM, "host", "A"):
            self.assertRaises(InvalidName, check_agent_name, name)

    @given(good_names)
    def test_container_fits(self, name: str) -> None:
        """A container is called h-<name>, within nixos-container's 11 characters."""
        self.assertEqual(container_name(name), f"h-{name}")
        self.assertLessEqual(len(container_name(name)), 11)
        self.assertNotEqual(container_name(name), container_name(MANAGER))

    def test_managers_container(self) -> None:
        """The manager's container has its own name."""
        self.assertEqual(container_name("hm1nd"), "hm1nd")

    @given(good_names | st.sampled_from([MANAGER, OPERATOR]))
    def test_mailboxes_and_owners(self, name: str) -> None:
        """Each mailbox has one owner; only the manager's is called otherwise."""
        self.assertEqual(mailbox_owner(mailbox(name)), name)
        self.assertEqual(mailbox(mailbox(name)), mailbox(name))
        self.assertEqual(mailbox(name) == name, name != MANAGER)

    def test_managers_mailbox(self) -> None:
        """hm1nd is written to as manager."""
        self.assertEqual(mailbox("hm1nd"), "manager")
        self.assertEqual(mailbox_owner("manager"), "hm1nd")


class PortTests(SynchronousTestCase):
    """The port that an agent's page prefers."""

    def test_known_ports(self) -> None:
        """8100 + FNV-1a-32(name) mod 900: others rely on these."""
        # FNV's own published vectors: "" 811c9dc5, "a" e40c292c, "foobar" bf9cf968.
        self.assertEqual(port_hash("test"), 8945)
        self.assertEqual(port_hash(""), 8100 + 0x811C9DC5 % 900)
        self.assertEqual(port_hash("a"), 8100 + 0xE40C292C % 900)
        self.assertEqual(port_hash("foobar"), 8100 + 0xBF9CF968 % 900)

    @given(good_names)
    def test_in_range(self, name: str) -> None:
        """Always one of the 900 ports of agents."""
        self.assertIn(
            port_hash(name), range(FIRST_AGENT_PORT, FIRST_AGENT_PORT + AGENT_PORTS)
        )
        self.assertTrue(re.fullmatch(r"8[1-9]\d\d", str(port_hash(name))))
