"""What nix says, old and new, and what is made of it."""

from twisted.trial.unittest import SynchronousTestCase

from hyperhive.deploy.interfaces import (
    BuildError,
    BuildFailed,
    EvalError,
    FetchError,
    NoSpace,
)
from hyperhive.deploy.nix_errors import MAX_TEXT, explain, readable

SOURCE = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-source"

OPTION_OLD = f"""\
warning: not writing modified lock file of flake 'path:/x'
error: The option `hyperhive.modle' does not exist. Definition values:
       - In `{SOURCE}/agent/agent.nix': "haiku"
(use '--show-trace' to show detailed location information)
"""
OPTION_NEW = f"""\
error:
       … while evaluating the attribute 'config.system.build.toplevel'
         at /nix/store/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-source/lib/modules.nix:334:9:
          333|         options = checked options;
          334|         config = checked (removeAttrs config [ "_module" ]);
             |         ^

       … while evaluating a branch condition
         at {SOURCE}/agent/sub/more.nix:12:3:

       (stack trace truncated; use '--show-trace' to show the full, detailed trace)

       error: The option `hyperhive.modle' does not exist. Definition values:
       - In `{SOURCE}/agent/agent.nix': "haiku"
"""
SYNTAX = f"""\
error: syntax error, unexpected ';'

       at {SOURCE}/agent/agent.nix:2:15:

            1| {{
            2|   hyperhive = ;
             |               ^
"""
BUILDER_OLD = """\
building '/nix/store/0123456789abcdfghijklmnpqrsvwxyz-hello-2.12.drv'...
hello> compiling
other> not of it
hello> No rule to make target
error: builder for '/nix/store/0123456789abcdfghijklmnpqrsvwxyz-hello-2.12.drv' failed with exit code 2
error: 1 dependencies of derivation '/nix/store/0123456789abcdfghijklmnpqrsvwxyz-top.drv' failed to build
"""
BUILDER_NEW = """\
error: Cannot build '/nix/store/0123456789abcdfghijklmnpqrsvwxyz-hello-2.12.drv'.
       Reason: builder failed with exit code 2.
       Output paths:
         /nix/store/0123456789abcdfghijklmnpqrsvwxyz-hello-2.12
       Last 2 log lines:
       > error: unable to download it
       > No rule to make target
       For full logs, run:
         nix log /nix/store/0123456789abcdfghijklmnpqrsvwxyz-hello-2.12.drv
error: Build failed due to failed dependency
"""


class ExplainTests(SynchronousTestCase):
    """Which error becomes of which words."""

    def explained(self, said: str, kind: type[BuildFailed]) -> BuildFailed:
        """The error, which must be of just this kind and in bounds."""
        error = explain(said)
        self.assertIs(type(error), kind, str(error))
        self.assertLessEqual(len(str(error).encode()), MAX_TEXT)
        return error

    def test_option(self) -> None:
        """Old and new nix: the error without its trace, the file as the agent calls it."""
        for said in (OPTION_OLD, OPTION_NEW):
            error = self.explained(said, EvalError)
            self.assertEqual(
                str(error),
                "error: The option `hyperhive.modle' does not exist. Definition values:\n"
                '- In `agent.nix\': "haiku"',
            )
            assert isinstance(error, EvalError)
            self.assertEqual((error.file, error.line), ("agent.nix", None))

    def test_place_in_the_error(self) -> None:
        """A position in the error itself is the place, and its excerpt is kept."""
        error = self.explained(SYNTAX, EvalError)
        assert isinstance(error, EvalError)
        self.assertEqual((error.file, error.line), ("agent.nix", 2))
        self.assertIn("2|   hyperhive = ;", str(error))

    def test_place_in_the_trace(self) -> None:
        """Without one in the error, the innermost of the agent's files in the trace is."""
        said = OPTION_NEW.replace(f"{SOURCE}/agent/agent.nix", "/elsewhere.nix")
        error = self.explained(said, EvalError)
        assert isinstance(error, EvalError)
        self.assertEqual((error.file, error.line), ("sub/more.nix", 12))

    def test_no_place(self) -> None:
        """An error that is in none of the agent's files has no place."""
        error = self.explained("error: infinite recursion encountered\n", EvalError)
        assert isinstance(error, EvalError)
        self.assertEqual((error.file, error.line), (None, None))

    def test_evaluation(self) -> None:
        """The other words for a wrong configuration."""
        for words in (
            "A definition for option `a' is not of type `string'. Definition values:",
            "The option `a' has conflicting definition values:",
            "\nFailed assertions:\n- no",
            "attribute 'x' missing",
            "undefined variable 'x'",
            "flake 'path:/x' does not provide attribute 'y'",
            "getting status of '/nix/store/x': No such file or directory",
            "path '/nix/store/x/no.nix' does not exist",
            "access to absolute path '/etc' is forbidden in pure eval mode",
            "value is an integer while a set was expected",
            "'anonymous lambda' called without required argument 'x'",
            "cannot coerce an integer to a string",
            "evaluation aborted with the following error message: 'no'",
        ):
            self.explained(f"error: {words}\n", EvalError)

    def test_builder_old(self) -> None:
        """Where nix has passed the log on, its end is taken from there; what needed the
        failed package is left out."""
        error = self.explained(BUILDER_OLD, BuildError)
        self.assertEqual(
            str(error),
            "error: builder for '/nix/store/0123456789abcdfghijklmnpqrsvwxyz-hello-2.12.drv'"
            " failed with exit code 2\n> compiling\n> No rule to make target",
        )

    def test_builder_new(self) -> None:
        """Where the error has the log, whatever stands in that changes nothing."""
        text = str(self.explained(BUILDER_NEW, BuildError))
        self.assertTrue(text.startswith("error: Cannot build"))
        self.assertIn("> No rule to make target", text)
        self.assertNotIn("failed dependency", text)

    def test_hash(self) -> None:
        """A download that is not what was expected."""
        self.explained(
            "error: hash mismatch in fixed-output derivation '/nix/store/x.drv':\n"
            "         specified: sha256-a\n            got:    sha256-b\n",
            BuildError,
        )

    def test_fetch(self) -> None:
        """No network."""
        for words in (
            "unable to download 'https://x.invalid/y': Could not resolve host (6)",
            "unable to download 'https://x.invalid/y': Couldn't resolve host name (6)",
            "fatal: unable to access 'https://x.invalid/': timed out",
        ):
            self.explained(f"error: {words}\n", FetchError)

    def test_no_space(self) -> None:
        """A full disk, met by nix or by a builder."""
        self.explained("error: writing to file: No space left on device\n", NoSpace)
        self.explained(
            BUILDER_OLD.replace("No rule to make target", "No space left on device"),
            NoSpace,
        )

    def test_unknown(self) -> None:
        """What nobody has foreseen is shown as it is; so is nothing."""
        error = self.explained("error: the daemon is on holiday\n", BuildFailed)
        self.assertEqual(str(error), "error: the daemon is on holiday")
        error = self.explained("Segmentation fault\n", BuildFailed)
        self.assertEqual(str(error), "Segmentation fault")
        self.assertEqual(str(explain("")), "nix said nothing.")

    def test_bounded(self) -> None:
        """Of a long text the beginning and the end are kept, cut between characters."""
        text = str(self.explained(f"error: began\n{'é' * 9000}\nended\n", BuildFailed))
        self.assertTrue(text.startswith("error: began\n"))
        self.assertTrue(text.endswith("é\nended"))
        self.assertNotIn("\ufffd", text)

    def test_linear(self) -> None:
        """No text, which an agent may have made, takes long: each of these would take
        minutes if one of the searches were quadratic."""
        many = 10_000
        for text in (
            "error:\n" * many,
            "error: " + "/x-source/agent/" * many,
            "error: " + "/" * 16 * many,
            "error: " + "a" * 16 * many,
            "error: builder for '" + "x" * 16 * many,
            "error: " + "builder for '" * many,
            "error: " + "attribute '" * many,
            "error: " + "assertion '" * many,
            "error: " + "«" * 16 * many,
            "error: \n" + "at :1" * many,
            " " * 16 * many,
        ):
            explain(text)

    def test_readable(self) -> None:
        """What a terminal would act on is gone."""
        self.assertEqual(readable("\x1b[31;1ma\x1b[0m\tb\x07\x00\n\r"), "a\tb\n")
