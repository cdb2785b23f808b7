# Packages without a build: for each name that the hive uses, a small derivation.
system:
let
  write =
    name: text:
    derivation {
      inherit name system text;
      passAsFile = [ "text" ];
      builder = "/bin/sh";
      args = [
        "-c"
        ''/bin/cp "$textPath" "$out"''
      ];
    };
  stub =
    pname:
    derivation {
      name = "${pname}-1";
      inherit system;
      builder = "/bin/sh";
      args = [
        "-c"
        ''echo > "$out"''
      ];
    }
    // {
      inherit pname;
      version = "1";
    };
  # A claude that can be run: the scripted agent, which the tests put here.
  claude =
    derivation {
      name = "claude-code-1";
      inherit system;
      agent = ./claude.py;
      builder = "/bin/sh";
      args = [
        "-c"
        ''
          PATH=/usr/bin:/bin
          mkdir -p "$out/bin"
          { echo '#!/usr/bin/python3 -IS'; cat "$agent"; } > "$out/bin/claude"
          chmod +x "$out/bin/claude"
        ''
      ];
    }
    // {
      pname = "claude-code";
      version = "1";
    };
  named = names: builtins.listToAttrs (map (name: { inherit name; value = stub name; }) names);
in
named [
  "bubblewrap"
  "gitMinimal"
  "gnumake"
  "nix"
  "nixos-container"
  "procps"
  "python3"
  "socat"
  "systemd"
  "util-linux"
]
// {
  claude-code = claude;
  stdenv.hostPlatform = { inherit system; };
  lib = {
    licenses.mit.spdxId = "MIT";
    platforms.linux = [ system ];
  };
  writeText = write;
  formats.toml = _: {
    type = (import ./modules.nix).types.attrs;
    generate = name: value: write name (builtins.toJSON value);
  };
  mkShell = _: stub "shell";
  python3Packages =
    named [
      "attrs"
      "automat"
      "idna"
      "jinja2"
      "klein"
      "markdown-it-py"
      "mcp"
      "nh3"
      "pyopenssl"
      "service-identity"
      "setuptools"
      "treq"
      "twisted"
      "txaio"
    ]
    // {
      buildPythonApplication = given: stub given.pname // { inherit given; };
    };
}
