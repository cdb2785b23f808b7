"""How systemd-run is called for a process in a NixOS container."""

from twisted.trial.unittest import SynchronousTestCase

from hyperhive.containers.interfaces import Command
from hyperhive.containers.nixos_run import arguments


def called(command: Command, literal: bool = True) -> tuple[list[str], dict[str, str]]:
    """With a container and a unit that do not matter."""
    return arguments("h-bob", "hive-turn-1.service", command, literal)


class ArgumentsTests(SynchronousTestCase):
    """The command line, and the client's environment."""

    def test_where(self) -> None:
        """It names the container, the unit, the directory, and then the program."""
        words, secret = called(Command(("/bin/x", "-n", "--"), {}, "/state"))
        self.assertEqual(words[:2], ["--machine=h-bob", "--unit=hive-turn-1.service"])
        self.assertIn("--working-directory=/state", words)
        self.assertEqual(words[-4:], ["--", "/bin/x", "-n", "--"])
        self.assertEqual(secret, {})

    def test_literal(self) -> None:
        """Variables in arguments are not expanded, however old the systemd."""
        command = Command(("/bin/$x", "$HOME", "${A}$$", "%i"), {}, "/")
        words, _ = called(command)
        self.assertIn("--expand-environment=no", words)
        self.assertEqual(words[-4:], list(command.argv))
        words, _ = called(command, literal=False)
        self.assertNotIn("--expand-environment=no", words)
        self.assertEqual(words[-4:], ["/bin/$x", "$$HOME", "$${A}$$$$", "%i"])

    def test_environment(self) -> None:
        """Only what is a secret by its name gets into the environment of systemd-run itself."""
        given = {
            "ANTHROPIC_API_KEY": "1",
            "CLAUDE_CODE_OAUTH_TOKEN": "2",
            "https_proxy": "http://user:word@proxy",
            "LD_PRELOAD": "/root/evil.so",
            "PATH": "/nowhere",
            "SYSTEMD_LOG_TARGET": "x",
            "KEYS": "a=b c",
        }
        words, secret = called(Command(("/bin/x",), given, "/"))
        named = [words[number + 1] for number, word in enumerate(words) if word == "-E"]
        self.assertEqual(
            set(secret),
            {"ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN", "https_proxy"},
        )
        self.assertEqual(
            named,
            [
                key if key in secret else f"{key}={value}"
                for key, value in given.items()
            ],
        )
        self.assertEqual([word for word in words if "user:word" in word], [])

    def test_search(self) -> None:
        """A program's name is looked for in the command's PATH, folder by folder."""
        search = ["-p", "ExecSearchPath=/a", "-p", "ExecSearchPath=/b/c"]
        words, _ = called(Command(("x",), {"PATH": "/a:/b/c"}, "/"))
        start = words.index("ExecSearchPath=/a") - 1
        self.assertEqual(words[start : start + 4], search)
        for program, path in (("/bin/x", "/a"), ("x", "a:/b"), ("x", ""), ("x", "/a:")):
            words, _ = called(Command((program,), {"PATH": path}, "/"))
            self.assertEqual([word for word in words if "ExecSearch" in word], [])
