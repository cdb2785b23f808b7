"""The table ``[notify]`` of ``hive.toml``: what it sets, and what is said of wrong keys."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from hyperhive.notify_settings import (
    KINDS,
    NotifySettings,
    NtfyTarget,
    WebhookTarget,
)
from hyperhive.settings import SettingsError, load_settings


class NotifyCase(SynchronousTestCase):
    """A ``hive.toml``."""

    def file(self, text: str) -> Path:
        """A file."""
        path = Path(self.mktemp()).absolute()
        path.write_text(text)
        return path

    def load(self, text: str) -> NotifySettings:
        """What it sets."""
        return load_settings({}, self.file(text)).notify


class ReadingTests(NotifyCase):
    """Right ones."""

    def test_off(self) -> None:
        """Nobody is told anything unless a target is set, and links are off."""
        for notify in (load_settings({}).notify, self.load("[notify]\n")):
            self.assertEqual(notify.targets, ())
            self.assertFalse(notify.links)
            self.assertEqual(notify.kinds, frozenset(KINDS))

    def test_everything(self) -> None:
        """Every key."""
        notify = self.load(
            '[notify]\npublic-url = "https://Hive.example:8443/"\nlinks = true\n'
            'link-ttl = 600\nkinds = ["approval", "dead"]\nmute = true\n'
            '[notify.ntfy]\nurl = "https://push.example"\ntopic = "hive-7"\n'
            'token = "tk_1"\n'
            '[notify.webhook]\nurl = "https://u:p@hooks.example/x"\n'
            'secret = "0123456789abcdef"\n'
        )
        self.assertEqual(
            notify,
            NotifySettings(
                frozenset({"approval", "dead"}),
                True,
                "https://hive.example:8443/",
                True,
                600.0,
                NtfyTarget("https://push.example", "hive-7", "tk_1"),
                WebhookTarget("https://u:p@hooks.example/x", "0123456789abcdef"),
            ),
        )
        self.assertEqual(notify.targets, ("ntfy", "webhook"))
        self.assertEqual(notify.public_name, "hive.example")

    def test_ntfy_sh(self) -> None:
        """A topic is enough: then it is one of ntfy.sh."""
        notify = self.load('[notify.ntfy]\ntopic = "hive-7"\n')
        self.assertEqual(notify.ntfy, NtfyTarget("https://ntfy.sh", "hive-7"))

    def test_secrets_from_files(self) -> None:
        """What is secret can lie in a file of its own."""
        topic, token = self.file("hive-7\n"), self.file("tk_1")
        notify = self.load(
            f'[notify.ntfy]\ntopic.file = "{topic}"\ntoken = {{ file = "{token}" }}\n'
        )
        self.assertEqual(notify.ntfy, NtfyTarget("https://ntfy.sh", "hive-7", "tk_1"))

    def test_not_shown(self) -> None:
        """A settings value can be logged."""
        notify = self.load(
            '[notify.ntfy]\ntopic = "topical"\ntoken = "tokenish"\n'
            '[notify.webhook]\nurl = "https://u:p@h/path"\nsecret = "secretsecretsecret"\n'
        )
        for secret in ("topical", "tokenish", "path", "secretsecret"):
            self.assertNotIn(secret, repr(notify))


class WrongTests(NotifyCase):
    """Wrong ones: the line and the key are named, and what was found is not told."""

    def test_wrong(self) -> None:
        """Each with its line and what is allowed."""
        for text, said in (
            ("[notify]\nlink = true", "line 2: notify.link is not a setting; allowed"),
            ("notify = 1", "line 1: notify must be a table"),
            ("[notify]\nmute = 'yes'", "line 2: notify.mute must be true or false"),
            ("[notify]\n\nkinds = ['x']", "line 3: notify.kinds must be a list of"),
            ("[notify]\nkinds = 'dead'", "notify.kinds must be a list of"),
            ("[notify]\nkinds = [['dead']]", "notify.kinds must be a list of"),
            ("[notify]\nlink-ttl = 5", "notify.link-ttl must be a number of seconds"),
            ("[notify]\nlink-ttl = true", "notify.link-ttl must be a number"),
            ("[notify]\nlinks = true", "notify.links needs notify.public-url"),
            ("[notify]\npublic-url = 'hive'", "notify.public-url must be an address"),
            ("[notify]\npublic-url = 'https://h/p'", "without a path"),
            ("[notify]\npublic-url = 'https://u@h'", "without a path"),
            ("[notify]\npublic-url = 'https://h/?q'", "without a path"),
            ("[notify.ntfy]\nurl = 'https://h'", "line 1: notify.ntfy needs a topic"),
            ("[notify.ntfy]\ntopic = 'a/b'", "notify.ntfy.topic must be 1 to 64"),
            ("[notify.ntfy]\ntopic = 5", "notify.ntfy.topic must be a text"),
            ("[notify.ntfy]\ntopic = 'a'\ntoken = ''", "line 3: notify.ntfy.token"),
            ("[notify.ntfy]\ntopic = 'a'\nurl = 'ftp://h'", "must be an address"),
            ("[notify.ntfy]\ntopic = 'a'\nurl = 'https://h:x'", "must be an address"),
            ("[notify.ntfy]\ntopic.file = '/no/such'", "topic.file can't be read: No"),
            ("[notify.ntfy]\ntopic.file = 5", "topic.file must be the path"),
            ("[notify.webhook]\nurl = 'https://h'", "notify.webhook needs a secret"),
            (
                "[notify.webhook]\nurl = 'https://h'\nsecret = 'short'",
                "line 3: notify.webhook.secret must have at least 16 characters",
            ),
        ):
            with self.assertRaises(SettingsError) as raised:
                self.load(text + "\n")
            self.assertIn(said, str(raised.exception), text)
            self.assertNotIn("\n", str(raised.exception))

    def test_wrong_files(self) -> None:
        """A file that holds no secret is named by its key."""
        for content, said in ((b"\xff", "no text"), (b"x" * 5000, "over 4096 bytes")):
            path = Path(self.mktemp()).absolute()
            path.write_bytes(content)
            with self.assertRaises(SettingsError) as raised:
                self.load(f'[notify.ntfy]\ntopic.file = "{path}"\n')
            self.assertIn(said, str(raised.exception))

    def test_found_is_not_told(self) -> None:
        """A wrong value may be a secret in the wrong place."""
        for text in (
            "[notify.webhook]\nurl = 'https://h'\nsecret = 'hunter2'",
            "[notify.ntfy]\ntopic = 'hunter2/'",
            "[notify]\nlinks = 'hunter2'",
        ):
            with self.assertRaises(SettingsError) as raised:
                self.load(text + "\n")
            self.assertNotIn("hunter2", str(raised.exception))
