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
  named = names: builtins.listToAttrs (map (name: { inherit name; value = stub name; }) names);
in
named [
  "bubblewrap"
  "claude-code"
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
