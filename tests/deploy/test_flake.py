"""The generated flake: whatever is inserted, it says what was meant."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from hyperhive.deploy import flake
from hyperhive.deploy.flake import agent_flake, agent_nix, attribute_path
from hyperhive.deploy.nix_text import NotNix
from tests.deploy.test_nix_text import TEXTS
from tests.nixos.support import Nix, missing

few = settings(max_examples=10)


class EvaluatedTests(SynchronousTestCase):
    """What real nix makes of it."""

    skip = missing()

    def setUp(self) -> None:
        self.nix = Nix()
        self.addCleanup(self.nix.remove)

    @few
    @given(
        st.lists(
            st.tuples(TEXTS, st.sampled_from(sorted(flake.BASES)), TEXTS, TEXTS),
            min_size=20,
            max_size=40,
        )
    )
    def test_any_texts(self, given: list[tuple[str, str, str, str]]) -> None:
        """No name, URL or platform breaks out of its place; the flake is called with a
        hive whose ``extendModules`` says what it was given."""
        asked = []
        for number, one in enumerate(given):
            (self.nix.folder / f"{number}.nix").write_text(agent_flake(*one))
            asked.append(
                f"""
                let
                  flake = import ./{number}.nix;
                  base = which: {{
                    extendModules = {{ modules }}: [
                      which
                      (toString (builtins.elemAt modules 0))
                      (builtins.elemAt modules 1)
                    ];
                  }};
                  hyperhive.nixosConfigurations = {{
                    agent-base = base "agent-base";
                    manager = base "manager";
                  }};
                in
                [
                  flake.inputs.hyperhive.url
                  (flake.outputs {{ inherit hyperhive; }}).nixosConfigurations
                ]
                """
            )
        expected = [
            [
                url,
                {
                    name: [
                        flake.BASES[role],
                        str(self.nix.folder / "agent" / "agent.nix"),
                        {
                            "_file": "flake.nix",
                            "hyperhive": {"name": name},
                            "nixpkgs": {"hostPlatform": platform},
                        },
                    ]
                },
            ]
            for name, role, url, platform in given
        ]
        self.assertEqual(self.nix.values(asked), expected)

    def test_template_parses(self) -> None:
        """The module that a repo begins with is Nix."""
        file = self.nix.folder / "agent.nix"
        file.write_text(agent_nix("bob"))
        self.nix.must("nix-instantiate", "--parse", str(file))


class TextTests(SynchronousTestCase):
    """What needs no nix."""

    def test_refused(self) -> None:
        """What can't be written in Nix is refused, wherever it would go."""
        for bad in ("\0", "\ud800"):
            for texts in (
                (bad, "agent", "path:/h", "x86_64-linux"),
                ("bob", "agent", bad, "x86_64-linux"),
                ("bob", "agent", "path:/h", bad),
            ):
                with self.assertRaises(NotNix):
                    agent_flake(*texts)

    def test_escaping_is_not_opt_in(self) -> None:
        """A template's plain insertion is a string literal; nothing else gets in."""
        render = flake._templates.from_string("{{ one }}").render
        self.assertEqual(render(one='a"'), r'"a\""')
        with self.assertRaises(TypeError):
            render(one=1)
        with self.assertRaises(TypeError):
            render()

    def test_attribute_path(self) -> None:
        """What is built is the agent's whole system."""
        self.assertEqual(
            attribute_path("bob"),
            'nixosConfigurations."bob".config.system.build.toplevel',
        )
