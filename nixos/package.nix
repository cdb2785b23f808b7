# The daemon and its command line, as setup.cfg describes them.
{ pkgs, self }:
let
  python = pkgs.python3Packages;
  declared = builtins.match ''.*__version__ = "([^"]+)".*'' (
    builtins.readFile "${self}/hyperhive/__init__.py"
  );
in
python.buildPythonApplication {
  pname = "hyperhive";
  version = builtins.head declared;
  pyproject = true;
  src = self;

  build-system = [ python.setuptools ];
  dependencies = with python; [
    attrs
    automat
    idna
    jinja2
    klein
    markdown-it-py
    mcp
    nh3
    pyopenssl
    service-identity
    treq
    twisted
    txaio
  ];

  # The tests start sandboxes, browsers and nix itself: `make test` runs them.
  doCheck = false;
  pythonImportsCheck = [ "hyperhive" ];

  meta = {
    description = "A swarm of Claude Code agents that a person can trust overnight";
    license = pkgs.lib.licenses.mit;
    mainProgram = "hive-c0re";
    platforms = pkgs.lib.platforms.linux;
  };
}
